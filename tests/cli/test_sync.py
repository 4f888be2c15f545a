"""`lazward sync` over TLS, as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazward.storage import run_search
from tests.apps.tracking_app import PLAIN
from tests.conformance.tracking_server import TOKEN, serve
from tests.lazward_mlflow.standin import create_run, left_behind, metric, param
from tests.storage.tracking_data import KEY

RUN = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("server")) as running:
        yield running


def lazward(*words: str, code: int = 0, **environ: str) -> str:
    done = subprocess.run([sys.executable, "-m", "lazward.cli.main", "sync", *words], env={**os.environ, **environ}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def records(run: str) -> list[dict]:
    return [create_run(run), *(metric("m", n, n, run) for n in range(5)), param("p", "v", run)]


def test_signs_in_with_the_token_or_as_the_identity_of_the_environment(server, tmp_path: Path):
    base = f"{server.services.base_url}{PLAIN}"
    identity = {"IDENTITY_ENDPOINT": f"{server.services.base_url}/msi/token", "IDENTITY_HEADER": "secret"}
    for n, signed in enumerate(({"MLFLOW_TRACKING_TOKEN": TOKEN}, identity)):
        run = RUN[:-1] + str(n)
        place = left_behind(tmp_path / "spool", *records(run), base=base)
        env = {"REQUESTS_CA_BUNDLE": str(server.bundle), "LAZWARD_SPOOL_DIR": str(tmp_path / "spool")}
        assert "1 runs/create" in lazward("--dry-run", **env, **signed)
        assert f"{place.folder}: 7 calls sent" in lazward(**env, **signed)
        full = server.db.read_now(run_search.one, KEY, run)
        assert (dict(full.params), [m[1] for m in full.metrics]) == ({"p": "v"}, [4.0])
    assert "nothing was left behind" in lazward(**env)


def test_to_another_server_by_any_of_its_addresses(server, tmp_path: Path):
    left_behind(tmp_path / "spool", *records(RUN), base="https://gone.test/mlflow/workspaces/old")
    to = f"azureml://{server.services.base_url.removeprefix('https://')}/mlflow/v1.0{PLAIN.removeprefix('/mlflow/plain')}"
    lazward(str(tmp_path / "spool"), "--to", to, MLFLOW_TRACKING_TOKEN=TOKEN, REQUESTS_CA_BUNDLE=str(server.bundle))
    assert len(server.db.read_now(run_search.one, KEY, RUN).metrics) == 1


def test_what_is_in_the_way_is_said_and_nothing_lost(server, tmp_path: Path):
    place = left_behind(tmp_path / "spool", *records(RUN), base=f"{server.services.base_url}{PLAIN}")
    out = lazward(str(tmp_path / "spool"), code=1, REQUESTS_CA_BUNDLE="", SSL_CERT_FILE="", CURL_CA_BUNDLE="", MLFLOW_TRACKING_TOKEN=TOKEN)
    assert "not trusted" in out and "REQUESTS_CA_BUNDLE" in out
    out = lazward(str(tmp_path / "spool"), code=1, REQUESTS_CA_BUNDLE=str(server.bundle), MLFLOW_TRACKING_TOKEN="old")
    assert "401" in out and "left: 5 runs/log-metric, 1 runs/create, 1 runs/log-parameter" in out
    assert Path(place.journal).exists()


def test_a_folder_that_is_not_there(tmp_path: Path):
    assert "There is no folder" in lazward(str(tmp_path / "none"), code=1)
