"""The commands in this process, against a real control plane on a TLS port of this machine, identity included."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from lazward.cli import datadir
from lazward.cli.jobs import changes_of, described
from lazward.cli.main import run
from lazward.cli.output import CliError
from lazward.domain.layout import Layout
from lazward.identity.ca import ensure_certificates
from tests.control_plane import Plane, make_plane


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Plane]:
    folder = tmp_path_factory.mktemp("jobs")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    made = make_plane(f"sqlite:///{folder}/lazward.db", folder, real=True, port=port)
    layout = Layout(str(folder / "data"))
    found = ensure_certificates(layout.keys, "localhost", dt.datetime.now(dt.UTC))
    datadir.write_endpoint(layout, datadir.Endpoint("127.0.0.1", port, 1, "localhost", f"https://localhost:{port}/", "https://localhost:1/"))
    datadir.write_server(layout, datadir.Server(os.getpid(), "", "127.0.0.1", port, 1, "", "", 0.0))
    server = uvicorn.Server(uvicorn.Config(made.chain, ssl_certfile=str(found.certificate), ssl_keyfile=str(found.key), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        thread.join(0.01)
    assert server.started
    yield made
    server.should_exit = server.force_exit = True
    thread.join(20)
    made.close()


class Cli:
    def __init__(self, plane: Plane, capsys: pytest.CaptureFixture[str]):
        self.plane, self.capsys = plane, capsys
        self.data_dir = str(plane.folder / "data")
        self.principal = json.loads((plane.folder / "data" / "keys" / "principal.json").read_text())
        self.home = (
            f"/subscriptions/{self.principal['subscription_id']}/resourceGroups/{self.principal['resource_group']}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.principal['workspace']}"
        )

    def __call__(self, *argv: str, code: int = 0) -> str:
        """What it prints: the result, or the error."""
        done = run([*argv, "--data-dir", self.data_dir])
        said = self.capsys.readouterr()
        assert done == code, said
        return said.out if code == 0 else said.err

    def job(self, name: str, **more) -> str:
        self.plane.put(f"{self.home}/environments/e/versions/1", {"properties": {"image": "library/python:3.11"}})
        self.plane.put(f"{self.home}/jobs/{name}", {"properties": {
            "jobType": "Command", "command": "echo ${{inputs.lr}}", "environmentId": f"{self.home}/environments/e/versions/1",
            "inputs": {"lr": {"jobInputType": "literal", "value": "0.1"}}, **more,
        }})
        return name


@pytest.fixture
def cli(served: Plane, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in ("LAZWARD_WORKSPACE", "LAZWARD_RESOURCE_GROUP", "LAZWARD_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return Cli(served, capsys)


class TestRelaunch:
    def test_with_changes(self, cli: Cli):
        cli.job("first")
        said = cli("relaunch", "first", "--set", "inputs.lr=0.5", "--set", "resources.instanceCount=2", "--name", "second")
        assert said.startswith("second is queued: https://localhost:")
        facts = cli.plane.get(f"{cli.home}/jobs/second")["properties"]
        assert (facts["inputs"]["lr"]["value"], facts["resources"]["instanceCount"]) == ("0.5", 2)
        assert facts["properties"]["lazward.relaunchedFrom"] == "first"

    def test_as_json(self, cli: Cli):
        cli.job("j")
        assert json.loads(cli("relaunch", "j", "--json"))["properties"]["status"] == "Queued"

    def test_a_refusal_names_the_member(self, cli: Cli):
        cli.job("k")
        assert "[inputs.lrr]" in cli("relaunch", "k", "--set", "inputs.lrr=1", code=1)
        assert "ResourceNotFound" in cli("relaunch", "nobody", code=1)
        assert "ResourceNotFound" in cli("relaunch", "k", "--workspace", "elsewhere", code=1)
        assert "ResourceGroupNotFound" in cli("relaunch", "k", "--resource-group", "elsewhere", code=1)

    def test_a_name_leads_nowhere_else(self, cli: Cli):
        assert "../" not in cli("relaunch", "../workspaces/x", code=1).split(":")[0]

    def test_no_server(self, cli: Cli, tmp_path: Path):
        (tmp_path / "keys").mkdir()
        cli.data_dir = str(tmp_path)
        assert "not running" in cli("relaunch", "x", code=3)


class TestDiff:
    def test_of_two_jobs(self, cli: Cli):
        cli.job("left")
        cli("relaunch", "left", "--set", "inputs.lr=0.7", "--set", "environmentVariables.A=1", "--name", "right")
        said = cli("diff", "left", "right")
        assert "inputs:\n  lr  0.1  0.7" in said
        assert "environmentVariables.A  -  1" in said
        assert "code: 'left' cannot be compared: it has no code asset." in said
        assert json.loads(cli("diff", "left", "right", "--json"))["inputs"][0]["name"] == "lr"
        assert "no code asset" in cli("diff", "left", "right", "--code", code=1)

    def test_of_code(self, cli: Cli):
        for name, text in (("one", "a\n"), ("two", "b\n")):
            blobs = cli.plane.chain.services.blobs
            account = cli.plane.runner.run(self.account(cli))
            cli.plane.runner.run(self.upload(blobs, account, name, text))
            code = cli.plane.put(f"{cli.home}/codes/{name}/versions/1", {"properties": {"codeUri": f"https://{account}.blob.core.windows.net/code/{name}"}})["id"]
            cli.job(name, codeId=code)
        assert cli("diff", "one", "two", "--code") == "--- a/x.py\n+++ b/x.py\n@@ -1,1 +1,1 @@\n-a\n+b\n"
        assert "code: 1 changed" in cli("diff", "one", "two")

    async def account(self, cli: Cli) -> str:
        from lazward.orchestration.data import account_of
        from lazward.storage import resources

        home = await cli.plane.db.read(resources.get, cli.home)
        assert home is not None
        return account_of(home)

    async def upload(self, blobs, account: str, name: str, text: str) -> None:
        await blobs.ensure_container(account, "code")
        await blobs.put(account, "code", f"{name}/x.py", text.encode())

    def test_who_is_not_there(self, cli: Cli):
        assert "[left]" in cli("diff", "nobody", "nobody", code=1)

    def test_words(self):
        side = {"name": "a", "displayName": "a", "codeKind": "asset", "git": {"commit": "c0ffee"}}
        code = {"comparable": True, "why": "", "identical": False, "diff": "DIFF\n", "truncated": True, "added": ["x"], "removed": [], "changed": [], "notShown": [{"path": "x", "why": "large"}]}
        said = described({"left": side, "right": side | {"git": {}}, "code": code, "inputs": [{"name": "n", "left": "x" * 100, "right": None}], "parameters": [], "settings": [], "packages": None})
        assert "git commit" in said and f"{'x' * 57}...  -" in said and "cut short" in said and said.endswith("DIFF")
        assert "the same" in described({"left": side, "right": side, "code": code | {"identical": True}, "inputs": [], "parameters": [], "settings": [], "packages": []})


class TestAssignments:
    def test_names_and_values(self):
        assert changes_of([
            "inputs.lr=0.10", "inputs.group.member=x=y", "inputs.gone=null", 'inputs.data={"mode": "Direct"}', "tags.a.b=1", "resources.instanceCount=2", "settings.force_rerun=true",
            "displayName=two words", "jobs.train.inputs.lr=0.10", "jobs.train.compute=cpu",
        ]) == {
            "inputs": {"lr": "0.10", "group.member": "x=y", "gone": None, "data": {"mode": "Direct"}}, "tags": {"a.b": "1"}, "resources": {"instanceCount": 2},
            "settings": {"force_rerun": True}, "displayName": "two words", "jobs": {"train": {"inputs": {"lr": "0.10"}, "compute": "cpu"}},
        }

    @pytest.mark.parametrize("wrong", [["inputs.lr"], ["=1"], ["inputs.=1"], ["a..b=1"], ["limits=5", "limits.timeout=PT1H"]])
    def test_what_cannot_be_read(self, wrong: list[str]):
        with pytest.raises(CliError):
            changes_of(wrong)
