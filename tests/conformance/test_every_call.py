"""MLflow's whole client against Lazward and against `mlflow server` of the same version: both answer every call alike, but for the
differences below, each with its reason (they stand in docs/coverage.md too)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lazward.apps.mlflow.coverage import DIFFERENCES
from tests.apps.tracking_app import PLAIN
from tests.conformance.client_environments import MLFLOW_SERVER, python_with
from tests.conformance.tracking_server import TOKEN, serve

STARTED_S = 240

# call: why Lazward answers otherwise, in the words of docs/coverage.md
DIFFERENT: dict[str, str] = json.loads((Path(__file__).parent / "differences.json").read_text())
SCRIPT = Path(__file__).parent / "every_call.py"


@contextlib.contextmanager
def mlflow_server(python: str, folder: Path) -> Iterator[str]:
    """MLflow's own server, as lean as it can be had; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder.mkdir()
    programs = Path(python).parent
    command = [
        str(programs / "mlflow"), "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1",
        "--port", str(port), "--workers", "1",
    ]
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(b"k" * 32).decode()}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=folder, start_new_session=True)
    try:
        until = time.monotonic() + STARTED_S
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    break
            assert server.poll() is None and time.monotonic() < until, (folder / "log").read_text()[-3000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(python: str, output: Path, env: dict[str, str]) -> list[dict[str, Any]]:
    done = subprocess.run([python, str(SCRIPT), str(output)], env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(output.read_text())["answers"]


def test_every_difference_is_told():
    assert set(DIFFERENT.values()) <= set(DIFFERENCES)


@pytest.mark.parametrize("address", [PLAIN], ids=["plain"])
def test_both_answer_alike(tmp_path, address):
    python = python_with(*MLFLOW_SERVER)
    common = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "GIT_PYTHON_REFRESH": "quiet"}
    with mlflow_server(python, tmp_path / "mlflow") as url:
        theirs = answers(python, tmp_path / "theirs.json", {**os.environ, **common, "MLFLOW_TRACKING_URI": url})
    (tmp_path / "lazward").mkdir()
    with serve(tmp_path / "lazward") as server:
        env = server.environment(MLFLOW_TRACKING_URI=f"{server.services.base_url}{address}", MLFLOW_TRACKING_TOKEN=TOKEN, **common)
        ours = answers(python, tmp_path / "ours.json", env)
    assert [a["call"] for a in ours] == [a["call"] for a in theirs]
    differ = {mine["call"]: (its, mine) for its, mine in zip(theirs, ours, strict=True) if essence(its) != essence(mine)}
    unexplained = {call: pair for call, pair in differ.items() if call not in DIFFERENT}
    assert not unexplained, json.dumps(unexplained, indent=1)[:8000]
    assert set(DIFFERENT) == set(differ), f"no difference any more: {set(DIFFERENT) - set(differ)}"


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    """Codes of errors count, their words do not."""
    return {name: value for name, value in answer.items() if name != "said"}
