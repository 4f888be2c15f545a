import os
import stat

import pytest

from lazward.identity.private_files import write_private


class TestWritePrivate:
    def test_s20_nobody_else_may_read_whatever_the_umask(self, tmp_path):
        old = os.umask(0)
        try:
            write_private(tmp_path / "f", b"secret")
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600

    def test_replaces_whole(self, tmp_path):
        write_private(tmp_path / "f", b"a much longer text")
        write_private(tmp_path / "f", b"short")
        assert (tmp_path / "f").read_bytes() == b"short"
        assert os.listdir(tmp_path) == ["f"]

    def test_a_link_is_replaced_and_not_followed(self, tmp_path):
        (tmp_path / "victim").write_text("kept")
        (tmp_path / "f").symlink_to(tmp_path / "victim")
        write_private(tmp_path / "f", b"new")
        assert (tmp_path / "victim").read_text() == "kept"
        assert not (tmp_path / "f").is_symlink()

    def test_a_failure_leaves_the_old_file_and_no_other(self, tmp_path):
        write_private(tmp_path / "f", b"old")
        with pytest.raises(TypeError):
            write_private(tmp_path / "f", "text")
        assert (tmp_path / "f").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["f"]
