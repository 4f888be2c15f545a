from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from lazward.execution.serving import (
    MAX_SOCKET_PATH,
    Service,
    probe,
    probe_socket,
    process_spec,
    read_status,
    socket_folder,
    worker_count,
    worker_sockets,
)


@pytest.fixture
def service(tmp_path):
    def make(**change) -> Service:
        values = {
            "python": Path("/env/bin/python"),
            "socket": Path("/tmp/lz/s"),
            "state": tmp_path / "state.json",
            "log": tmp_path / "log",
            "app_root": tmp_path,
            "entry_script": "score.py",
            "env": {"HOME": "/home/user", "MINE": "1"},
        }
        return Service(**{**values, **change})

    (tmp_path / "score.py").write_text("")
    return make


class TestProcessSpec:
    def test_nothing_is_inherited_and_the_contract_is_set(self, service, tmp_path):
        spec = process_spec(service(model_dir=Path("/models/m"), workers=3, timeout_s=1.5, collect_dir=Path("/collected")))
        assert spec.argv[0] == "/env/bin/python"
        assert spec.env["AML_APP_ROOT"] == spec.env["AZUREML_APP_ROOT"] == str(tmp_path)
        assert spec.env["AZUREML_MODEL_DIR"] == "/models/m"
        assert spec.env["AZUREML_ENTRY_SCRIPT"] == "score.py"
        assert spec.env["LAZWARD_SERVE_COLLECT_DIR"] == "/collected"
        assert spec.env["SCORING_TIMEOUT_MS"] == "1500"
        assert spec.env["PATH"].startswith("/env/bin:")
        assert (spec.env["MINE"], spec.env["HOME"]) == ("1", "/home/user")
        assert not set(spec.env) & (set(os.environ) - {"PATH", "LANG", "HOME", "PYTHONUNBUFFERED", "VIRTUAL_ENV"})

    def test_the_user_may_set_limits_but_not_what_the_server_needs(self, service):
        env = {"SCORING_TIMEOUT_MS": "7", "LAZWARD_SERVE_SOCKET": "/etc/x", "LAZWARD_SERVE_NEW": "1", "AML_APP_ROOT": "/etc"}
        made = process_spec(service(env=env)).env
        assert made["SCORING_TIMEOUT_MS"] == "7"
        assert made["LAZWARD_SERVE_SOCKET"] == "/tmp/lz/s"
        assert "LAZWARD_SERVE_NEW" not in made
        assert made["AML_APP_ROOT"] != "/etc"

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"entry_script": "../score.py"}, "outside"),
            ({"entry_script": "/etc/passwd"}, "outside"),
            ({"entry_script": "none.py"}, "not a file"),
            ({"entry_script": None}, "either entry_script or mlflow_model"),
            ({"mlflow_model": Path("/m")}, "either entry_script or mlflow_model"),
            ({"workers": 0}, "workers"),
            ({"timeout_s": 0}, "timeout_s"),
            ({"socket": Path("/tmp/" + "x" * 100)}, "too long"),
        ],
    )
    def test_wrong_input_is_named(self, service, change, said):
        with pytest.raises(ValueError, match=said):
            process_spec(service(**change))

    def test_a_link_that_leads_out_of_the_code_is_refused(self, service, tmp_path):
        (tmp_path / "link.py").symlink_to("/etc/passwd")
        with pytest.raises(ValueError, match="outside"):
            process_spec(service(entry_script="link.py"))


def test_the_worker_count_is_the_users():
    assert worker_count({}) == worker_count({"WORKER_COUNT": " "}) == 1
    assert worker_count({"WORKER_COUNT": "4"}) == 4
    for wrong in ("0", "-1", "many", "1.5", "1000"):
        with pytest.raises(ValueError, match="WORKER_COUNT"):
            worker_count({"WORKER_COUNT": wrong})


def test_sockets_are_named_after_their_base(service):
    assert worker_sockets(service(workers=2)) == ("/tmp/lz/s.0", "/tmp/lz/s.1")
    assert probe_socket(service()) == "/tmp/lz/s.probe"


def test_no_state_file_is_no_status(tmp_path):
    assert read_status(tmp_path / "none") is None


class TestSocketFolder:
    def test_is_private_and_short_enough_for_any_data_folder(self, tmp_path):
        long = tmp_path / ("x" * 100)
        for data_dir in (Path("/tmp") / f"lz{os.getpid()}", long):
            folder = socket_folder(data_dir)
            try:
                assert folder.stat().st_mode & 0o777 == 0o700
                assert len(str(folder)) <= MAX_SOCKET_PATH - 50
                assert socket_folder(data_dir) == folder
            finally:
                folder.rmdir()
        (Path("/tmp") / f"lz{os.getpid()}").rmdir()

    def test_refuses_a_link_that_somebody_put_there(self, tmp_path):
        folder = socket_folder(tmp_path / ("y" * 100))
        folder.rmdir()
        folder.symlink_to("/tmp")
        try:
            with pytest.raises(PermissionError):
                socket_folder(tmp_path / ("y" * 100))
        finally:
            folder.unlink()


class TestProbe:
    async def test_says_why_there_is_no_answer(self, tmp_path):
        answer = await probe(str(tmp_path / "none"))
        assert (answer.status, answer.ok) == (0, False)
        assert "no connection" in answer.text

    async def test_reads_status_and_text(self, tmp_path):
        async def reply(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 No\r\nConnection: close\r\n\r\nnot yet")
            writer.close()

        path = f"/tmp/lz-probe-{os.getpid()}"
        server = await asyncio.start_unix_server(reply, path)
        answer = await probe(path)
        server.close()
        assert (answer.status, answer.text, answer.ok) == (503, "not yet", False)

    async def test_gives_up_after_the_time(self, tmp_path):
        async def silence(_reader, writer):
            await asyncio.Event().wait()

        path = f"/tmp/lz-silent-{os.getpid()}"
        server = await asyncio.start_unix_server(silence, path)
        assert "no answer within" in (await probe(path, timeout_s=0.05)).text
        server.close()


