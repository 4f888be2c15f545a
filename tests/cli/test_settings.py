import json

import pytest

from lazward.cli.output import USAGE, CliError
from lazward.cli.settings import load


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path), "LAZWARD_DATA_DIR": str(tmp_path / "data")}


def refused(*args, **kwargs):
    with pytest.raises(CliError) as caught:
        load(*args, **kwargs)
    assert caught.value.code == USAGE and caught.value.next_step
    return caught.value.cause


class TestLoad:
    def test_flags_then_set_then_environment_then_file_then_default(self, tmp_path, environ):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "settings.toml").write_text('port = 1\ngateway_port = 1\nlocation = "file"\nlog_keep = 1\n')
        environ |= {"LAZWARD_PORT": "2", "LAZWARD_GATEWAY_PORT": "2", "LAZWARD_LOCATION": "environment"}
        merged = load({"port": 4, "host": None}, ["port=3", "gateway-port=3"], environ=environ)
        s, origins = merged.settings, merged.origins
        assert (s.port, s.gateway_port, s.location, s.log_keep, s.log_level) == (4, 3, "environment", 1, "info")
        assert [origins[n] for n in ("port", "gateway_port", "location", "log_keep", "log_level", "host")] == [
            "flags", "--set", "environment", str(tmp_path / "data" / "settings.toml"), "default", "default"]

    def test_a_config_file_takes_the_place_of_the_data_dirs(self, tmp_path, environ):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "settings.toml").write_text("port = 1")
        (tmp_path / "other.toml").write_text(f'log_keep = 2\ndata_dir = "{tmp_path}/elsewhere"')
        assert load({}, config=str(tmp_path / "other.toml"), environ=environ).settings.port == 8443
        environ["LAZWARD_CONFIG"] = str(tmp_path / "other.toml")
        assert load({}, environ=environ).settings.log_keep == 2
        assert load({}, environ=environ).settings.data_dir == str(tmp_path / "data")
        del environ["LAZWARD_DATA_DIR"]
        assert load({}, environ=environ).settings.data_dir == str(tmp_path / "elsewhere")

    def test_the_default_data_dir(self, tmp_path):
        assert load({}, environ={"HOME": str(tmp_path)}).settings.data_dir == str(tmp_path / ".lazward")
        assert load({}, environ={"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}).settings.data_dir == str(tmp_path / "lazward")

    @pytest.mark.parametrize(("text", "message"), [
        ("port = ", "is not TOML"), ('port = "8443"', "expected int, got '8443'"), ("prot = 1", "Did you mean port?"),
        ('data_dir = "/x"', "cannot be set by a file that lies in the data dir"), ("[server]\nport = 1", "Setting server"),
        ("data_dir = 3", "data_dir"), ("\xff", "cannot be read"),
    ])
    def test_a_wrong_file_is_named(self, tmp_path, environ, text, message):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "settings.toml").write_text(text, "latin-1")
        cause = refused({}, environ=environ)
        assert message in cause and "settings.toml" in cause

    def test_a_folder_for_a_file(self, tmp_path, environ):
        assert "cannot be read" in refused({}, config=str(tmp_path), environ=environ)

    @pytest.mark.parametrize("assignment", ["", "=1", "port", "port=", "colour=1", "port=1=2"])
    def test_wrong_assignments(self, environ, assignment):
        assert "--set" in refused({}, [assignment], environ=environ)


class TestSettingsCommand:
    def test_shows_values_and_where_they_come_from_without_passwords(self, install):
        done = install("settings", "--json", "--set", "database_url=postgresql://u:hunter2@h/db", environ={"LAZWARD_LOG_LEVEL": "debug"})
        rows = {row["name"]: row for row in json.loads(done.stdout)}
        assert (rows["log_level"]["value"], rows["log_level"]["origin"]) == ("debug", "environment")
        assert rows["database_url"]["value"] == "postgresql+psycopg://u:***@h/db"
        assert "hunter2" not in done.stdout
        assert rows["max_body_bytes"]["unit"] == "bytes" and rows["port"]["origin"] == "default"
        assert "hunter2" not in install("settings", "--set", "database_url=postgresql://u:hunter2@h/db").stdout

    def test_the_guide_describes_every_setting_and_command(self):
        from pathlib import Path

        from lazward.cli.main import COMMANDS
        from lazward.domain.settings import describe, variable

        guide = (Path(__file__).parents[2] / "docs" / "guides" / "settings.md").read_text()
        for one in describe():
            assert f"`{one.name}`" in guide, one.name
            assert variable(one.name) in guide, one.name
            assert one.text in guide, f"the description of {one.name} differs"
            default = {True: "true", False: "false"}.get(one.default, one.default) if isinstance(one.default, bool) else one.default
            row = next(line for line in guide.splitlines() if line.startswith(f"| `{one.name}`"))
            assert one.default == "" or f"`{default}`" in row, one.name
        for name in COMMANDS:
            assert f"`lazward {name}" in guide, name
