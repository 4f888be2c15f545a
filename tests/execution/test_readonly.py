import os
import subprocess

import pytest

from lazward.execution.readonly import namespaces_work, protect, wrap


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.txt").write_text("a")
    yield tmp_path / "in"
    for path in (tmp_path / "in" / "deep", tmp_path / "in"):
        path.chmod(0o700)


class TestWrap:
    def test_a_write_into_the_folder_fails_and_reading_works(self, folder):
        if os.geteuid() == 0 and not namespaces_work():
            pytest.skip("the superuser passes by mode bits, and this kernel lets us make no mount namespace")
        protect(folder)
        script = "cat in/deep/a.txt; echo x > in/new.txt; echo x >> in/deep/a.txt; rm -f in/deep/a.txt; touch free && echo elsewhere"
        done = subprocess.run(wrap(["bash", "-c", script], folder), cwd=folder.parent, capture_output=True, text=True)
        assert done.stdout == "aelsewhere\n"
        assert (folder / "deep" / "a.txt").read_text() == "a"
        assert not (folder / "new.txt").exists()

    def test_the_exit_code_and_arguments_come_through(self, folder):
        done = subprocess.run(wrap(["bash", "-c", 'echo "$0|$1"; exit 7', "a b", "c'd"], folder), capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (7, "a b|c'd\n")
