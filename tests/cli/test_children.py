import os

import pytest

from lazward.cli.children import child_environment, children
from lazward.cli.env import IDENTITY_VARIABLES
from lazward.cli.ports import Listener
from lazward.domain.settings import Source, merge


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "run").mkdir()
    return merge([Source("flags", {"data_dir": str(tmp_path)})]).settings


@pytest.fixture
def specs(settings):
    return {spec.name: spec for spec in children(settings, Listener("127.0.0.1", 0), {"PATH": "/bin"})}


class TestChildren:
    def test_the_parts(self, specs):
        assert set(specs) == {"gateway", "control", "worker"}
        assert len({s.log for s in specs.values()}) == len(specs)
        assert [n for n, s in specs.items() if s.listener] == ["control"]
        assert [n for n, s in specs.items() if s.outlives] == ["gateway"]
        assert [n for n, s in specs.items() if s.serves_tls] == ["control"]

    def test_the_working_folder_cannot_replace_a_module(self, specs):
        for name in ("control", "worker"):
            assert specs[name].argv[1:] == ("-P", "-m", "lazward.apps.main", name)

    def test_s16_no_secret_is_an_argument(self, specs, settings):
        for spec in specs.values():
            assert all("password" not in word.lower() and settings.database_url not in word for word in spec.argv)

    def test_a_worker_is_ready_when_it_has_said_so_itself(self, specs, tmp_path):
        worker = specs["worker"]
        assert not worker.ready(41)
        (tmp_path / "run" / "worker.ready").write_text("42\n")
        assert worker.ready(42) and not worker.ready(41)

    def test_the_gateway_alone_waits_until_there_is_something_for_it_to_do(self, specs):
        assert [n for n, s in specs.items() if s.wanted] == ["gateway"]
        assert not specs["gateway"].wanted()

    @pytest.mark.parametrize("name", ["control", "gateway"])
    def test_one_that_does_not_answer_is_not_ready(self, specs, name):
        assert not specs[name].ready(1)


class TestChildEnvironment:
    def test_settings_come_in_the_file_alone(self, settings):
        env = child_environment(settings, {"LAZWARD_PORT": "1", "LAZWARD_WORKSPACE": "w", "PATH": os.defpath})
        assert {k for k in env if k.startswith("LAZWARD_")} == {"LAZWARD_DATA_DIR", "LAZWARD_RESOLVED_SETTINGS"}
        assert env["PATH"] == os.defpath

    def test_no_identity_of_a_client(self, settings):
        assert not IDENTITY_VARIABLES & set(child_environment(settings, dict.fromkeys(IDENTITY_VARIABLES, "x")))
