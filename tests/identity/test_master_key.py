import stat

import pytest

from lazward.identity.master_key import BYTES, ensure_master_key


class TestEnsureMasterKey:
    def test_is_made_once_and_private(self, tmp_path):
        key = ensure_master_key(tmp_path / "master.key")
        assert len(key) == BYTES
        assert ensure_master_key(tmp_path / "master.key") == key
        assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600

    def test_two_installs_have_different_keys(self, tmp_path):
        assert ensure_master_key(tmp_path / "a") != ensure_master_key(tmp_path / "b")

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
    def test_a_damaged_one_is_never_replaced(self, tmp_path, content):
        (tmp_path / "master.key").write_bytes(content)
        with pytest.raises(ValueError, match="backup"):
            ensure_master_key(tmp_path / "master.key")
        assert (tmp_path / "master.key").read_bytes() == content
