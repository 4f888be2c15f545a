"""Real MLflow stores, filled by the real client, imported: the real client sees the same in Lazward, however often."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.server import Server
from lazward.cli import processes
from lazward.cli.main import run
from tests.conformance.client_environments import MLFLOW_2, MLFLOW_SERVER, python_with
from tests.conformance.test_every_call import mlflow_server

SCRIPT = Path(__file__).with_name("mlflow_script.py")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def mlflow(python: str, verb: str, folder: Path, uri: str, **environ: str) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "GIT_PYTHON_REFRESH": "quiet", "PYTHONWARNINGS": "ignore", "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run([python, str(SCRIPT), verb], env={**os.environ, **quiet, "MLFLOW_TRACKING_URI": uri, **environ}, capture_output=True, text=True, timeout=400, check=False, cwd=folder)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return json.loads(done.stdout.rsplit("SHOWN", 1)[1]) if verb == "show" else {}


def workspace(server: Server, name: str) -> str:
    """A fresh workspace; its id."""
    home = server.workspace.rpartition("/")[0] + f"/{name}"
    client = server.client()
    client.put(f"{home}?api-version=2025-12-01", {"location": "local", "properties": {}})
    assert processes.wait_until(lambda: client.get(f"{home}?api-version=2025-12-01")["properties"]["provisioningState"] == "Succeeded", 60)
    return home


def seen(server: Server, home: str, python: str, folder: Path) -> dict[str, Any]:
    ca = server.env["SSL_CERT_FILE"]
    return mlflow(python, "show", folder, f"{server.base}/mlflow/plain{home}", MLFLOW_TRACKING_TOKEN=server.token("https://ml.azure.com"), REQUESTS_CA_BUNDLE=ca, SSL_CERT_FILE=ca)


def bring(server: Server, source: str, home: str, capsys: Any, *words: str) -> dict[str, Any]:
    code = run(["import-mlflow", source, "--data-dir", str(server.data_dir), "--workspace", home.rpartition("/")[2], "--json", *words])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["refused"]) == (0, [])
    return told


def twice(server: Server, source: str, home: str, capsys: Any, *words: str) -> None:
    first, again = (bring(server, source, home, capsys, *words) for _ in range(2))
    assert again["imported"] == {} and again["metric_values"] == 0
    assert again["already_there"]["runs"] == first["imported"]["runs"] and first["metric_values"] > 900


def test_a_server_and_its_database(server, tmp_path, capsys):
    python = python_with(*MLFLOW_SERVER)
    with mlflow_server(python, tmp_path / "store") as url:
        mlflow(python, "fill", tmp_path / "fill", url)
        theirs = mlflow(python, "show", tmp_path / "theirs", url)
        by_rest = workspace(server, "rest")
        twice(server, url, by_rest, capsys)
    by_file = workspace(server, "file")
    twice(server, f"sqlite:///{tmp_path}/store/mlflow.db", by_file, capsys, "--artifacts", str(tmp_path / "store" / "artifacts"))
    for home in (by_rest, by_file):
        ours = seen(server, home, python, tmp_path / home.rpartition("/")[2])
        assert ours.keys() == theirs.keys()
        for what, told in theirs.items():
            assert ours[what] == told, (home, what)


def test_a_folder_of_mlflow_2(server, tmp_path, capsys):
    python = python_with(*MLFLOW_2)
    store = tmp_path / "mlruns"
    mlflow(python, "fill", tmp_path / "fill", store.as_uri())
    theirs = mlflow(python, "show", tmp_path / "theirs", store.as_uri())
    moved = tmp_path / "elsewhere"  # the paths in it are no longer true
    shutil.move(store, moved)
    home = workspace(server, "folder")
    twice(server, str(moved), home, capsys)
    ours = seen(server, home, python, tmp_path / "ours")
    assert ours.keys() == theirs.keys()
    for what, told in theirs.items():
        assert ours[what] == told, what
    chosen = workspace(server, "chosen")
    told = bring(server, str(moved), chosen, capsys, "--experiment", "deleted one", "--no-artifacts")
    assert told["imported"] == {"experiments": 1}


@pytest.mark.parametrize("source, says", [
    ("sqlite:///no/such.db", "There is no file"), ("mysql://x/y", "is none of"), ("no-such-folder", "There is no folder"), ("http://127.0.0.1:1", "does not answer"),
    ("http://", "is no address of a server"), ("https://user@[::1/x", "is no address"),
])
def test_what_is_no_source_is_said(server, capsys, source, says):
    assert run(["import-mlflow", source, "--data-dir", str(server.data_dir)]) == 1
    assert says in capsys.readouterr().err


def test_a_database_of_something_else(server, tmp_path, capsys):
    import sqlite3

    sqlite3.connect(tmp_path / "x.db").execute("create table t (a)").connection.close()
    (tmp_path / "y.db").write_bytes(b"no database, but long enough to be looked into" * 100)
    for name, says in (("x.db", "it has no table"), ("y.db", "cannot be read")):
        assert run(["import-mlflow", f"sqlite:///{tmp_path}/{name}", "--data-dir", str(server.data_dir)]) == 1
        assert says in capsys.readouterr().err
