import os

from lazward.cli.children import child_environment, children
from lazward.cli.env import IDENTITY_VARIABLES
from lazward.cli.ports import Listener
from lazward.domain.settings import Source, merge

SETTINGS = merge([Source("flags", {"data_dir": "/data"})]).settings


class TestChildren:
    def test_the_parts(self):
        specs = children(SETTINGS, Listener("127.0.0.1", 0), {"PATH": "/bin"})
        assert [(s.name, s.argv[-1]) for s in specs] == [("control", "control"), ("worker", "worker")]
        assert len({s.log for s in specs}) == len(specs)
        control, worker = specs
        assert control.listener and control.serves_tls and not worker.listener

    def test_the_working_folder_cannot_replace_a_module(self):
        for spec in children(SETTINGS, Listener("127.0.0.1", 0), {}):
            assert "-P" in spec.argv

    def test_a_worker_is_ready_when_it_has_said_so_itself(self, tmp_path):
        settings = merge([Source("flags", {"data_dir": str(tmp_path)})]).settings
        (tmp_path / "run").mkdir()
        worker = children(settings, Listener("127.0.0.1", 0), {})[1]
        assert not worker.ready(41)
        (tmp_path / "run" / "worker.ready").write_text("42\n")
        assert worker.ready(42) and not worker.ready(41)

    def test_a_control_plane_that_does_not_answer_is_not_ready(self, tmp_path):
        settings = merge([Source("flags", {"data_dir": str(tmp_path)})]).settings
        assert not children(settings, Listener("127.0.0.1", 0), {})[0].ready(1)


class TestChildEnvironment:
    def test_settings_come_in_the_file_alone(self):
        env = child_environment(SETTINGS, {"LAZWARD_PORT": "1", "LAZWARD_WORKSPACE": "w", "PATH": os.defpath})
        assert {k for k in env if k.startswith("LAZWARD_")} == {"LAZWARD_DATA_DIR", "LAZWARD_RESOLVED_SETTINGS"}
        assert env["PATH"] == os.defpath

    def test_no_identity_of_a_client(self):
        assert not IDENTITY_VARIABLES & set(child_environment(SETTINGS, dict.fromkeys(IDENTITY_VARIABLES, "x")))
