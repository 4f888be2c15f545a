from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.layout import Layout, default_data_dir


class TestLayout:
    def test_everything_lies_below_the_root(self):
        layout = Layout("/data")
        names = [name for name in vars(Layout) if isinstance(getattr(Layout, name), property) and name not in ("root", "folders")]
        assert len(names) > 15
        for name in names:
            assert layout.root in getattr(layout, name).parents

    def test_no_two_names_for_one_path(self):
        layout = Layout("/data")
        paths = [getattr(layout, n) for n in vars(Layout) if isinstance(getattr(Layout, n), property) and n not in ("root", "folders")]
        assert len(paths) == len(set(paths))

    def test_folders_hold_the_files(self):
        layout = Layout("/data")
        for file in (layout.server_key, layout.parts_file, layout.principal_file):
            assert file.parent in layout.folders


class TestDefaultDataDir:
    def test_home(self):
        assert default_data_dir({}, "/home/u") == "/home/u/.lazward"
        assert default_data_dir({"XDG_DATA_HOME": ""}, "/home/u/") == "/home/u/.lazward"

    def test_xdg(self):
        assert default_data_dir({"XDG_DATA_HOME": "/home/u/.local/share/"}, "/home/u") == "/home/u/.local/share/lazward"

    def test_a_relative_xdg_folder_is_ignored(self):
        assert default_data_dir({"XDG_DATA_HOME": "share"}, "/home/u") == "/home/u/.lazward"

    @given(st.text(alphabet="abc/._-", min_size=1))
    def test_is_absolute(self, folder):
        assert default_data_dir({"XDG_DATA_HOME": folder}, "/root").startswith("/")
