import os
import stat
import subprocess
import sys

import pytest

from lazward.cli import datadir
from lazward.cli.output import CliError
from lazward.domain.layout import Layout


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "data"))


class TestLocate:
    def test_flag_then_variable_then_file_then_default(self, tmp_path):
        environ = {"HOME": str(tmp_path), "LAZWARD_DATA_DIR": str(tmp_path / "variable")}
        config = {"data_dir": str(tmp_path / "file")}
        assert datadir.locate(str(tmp_path / "flag"), environ, config) == str(tmp_path / "flag")
        assert datadir.locate(None, environ, config) == str(tmp_path / "variable")
        assert datadir.locate(None, {"HOME": str(tmp_path)}, config) == str(tmp_path / "file")
        assert datadir.locate(None, {"HOME": str(tmp_path)}) == str(tmp_path / ".lazward")

    def test_is_absolute_and_without_links(self, tmp_path, monkeypatch):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        monkeypatch.chdir(tmp_path)
        assert datadir.locate("link/x", {}) == str(tmp_path / "real" / "x")


class TestPrepare:
    def test_s20_makes_private_folders(self, layout):
        datadir.prepare(layout)
        assert {stat.S_IMODE(p.stat().st_mode) for p in (layout.root, *layout.folders)} == {0o700}
        assert os.umask(0o077) == 0o077

    def test_closes_one_of_ours_that_was_open(self, layout):
        datadir.prepare(layout)
        layout.lock.touch()
        layout.root.chmod(0o755)
        datadir.prepare(layout)
        assert stat.S_IMODE(layout.root.stat().st_mode) == 0o700

    def test_refuses_a_folder_of_other_things_and_leaves_it_as_it_was(self, layout):
        layout.root.mkdir(mode=0o755)
        (layout.root / "thesis.txt").touch()
        with pytest.raises(CliError, match="not Lazward's"):
            datadir.prepare(layout)
        assert os.listdir(layout.root) == ["thesis.txt"] and stat.S_IMODE(layout.root.stat().st_mode) == 0o755

    def test_takes_a_folder_with_settings_in_it(self, layout):
        layout.root.mkdir()
        layout.settings_file.touch()
        datadir.prepare(layout)
        assert layout.keys.is_dir()

    def test_refuses_a_file(self, layout):
        layout.root.touch()
        with pytest.raises(CliError, match=r"not a folder|cannot be used"):
            datadir.prepare(layout)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else")
    def test_refuses_somebody_elses(self, layout):
        layout.root.mkdir()
        os.chown(layout.root, 12345, 12345)
        with pytest.raises(CliError, match="belongs to user 12345"):
            datadir.prepare(layout)


class TestLock:
    def test_one_at_a_time(self, layout):
        datadir.prepare(layout)
        assert datadir.holder(layout) is None
        held = datadir.lock(layout)
        assert datadir.holder(layout) == os.getpid()
        with pytest.raises(CliError, match=rf"\(pid {os.getpid()}\)"):
            datadir.lock(layout)
        held.release_in_this_process()
        assert datadir.holder(layout) is None
        datadir.lock(layout).release_in_this_process()

    def test_ends_with_its_process_however_that_ends(self, layout, wait_for):
        datadir.prepare(layout)
        code = (
            f"import signal; from lazward.cli import datadir; from lazward.domain.layout import Layout; l = datadir.lock(Layout({str(layout.root)!r}))\n"
            "print('held', flush=True); signal.pause()"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        process.stdout.readline()
        assert datadir.holder(layout) == process.pid
        process.kill()
        process.wait()
        assert datadir.holder(layout) is None and datadir.wait_for_release(layout, 0)

    def test_no_data_dir_no_holder(self, layout):
        assert datadir.holder(layout) is None


class TestRecords:
    ENDPOINT = datadir.Endpoint("127.0.0.1", 1, 2, "localhost", "https://localhost:1/", "https://localhost:2/")

    def test_come_back_as_written(self, layout):
        datadir.prepare(layout)
        datadir.write_endpoint(layout, self.ENDPOINT)
        assert datadir.read_endpoint(layout) == self.ENDPOINT
        server = datadir.Server(1, "x", "127.0.0.1", 1, 2, "u", "g", 3.5)
        datadir.write_server(layout, server)
        assert datadir.read_server(layout) == server

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"host": 1}', '{"unknown": 1}'])
    def test_damaged_ones_are_as_none(self, layout, content):
        datadir.prepare(layout)
        layout.endpoint_file.write_text(content)
        assert datadir.read_endpoint(layout) is None
        assert datadir.read_server(layout) is None
