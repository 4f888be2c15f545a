"""kill -9 at chosen moments, with real processes: those that random kills seldom meet."""

from __future__ import annotations

import http.server
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.server import Server, until
from tests.durability.load import PATIENCE_S
from tests.execution.wheelhouse import Wheelhouse


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        made.client().put(made.path("environments/plain/versions/1"), {"properties": {"image": "library/python:3.11"}})
        yield made


class Index:
    """A package index with one package. Its first answer about it does not come until `go` is set."""

    def __init__(self, folder: Path):
        wheel = Wheelhouse(folder).add("lazward-durability", "1.0", text="print('built')\n")
        self.asked = threading.Semaphore(0)
        self.go = threading.Event()
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith(".whl"):
                    return self.say(wheel.read_bytes(), "application/zip")
                index.asked.release()
                index.go.wait(PATIENCE_S)
                self.say(f'<a href="/{wheel.name}">{wheel.name}</a>'.encode(), "text/html")

            def say(self, body: bytes, kind: str) -> None:
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # who asked was killed

            def log_message(self, *_: object) -> None:
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}/simple"

    def close(self) -> None:
        self.go.set()
        self.httpd.shutdown()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index(tmp_path / "wheels")
    yield made
    made.close()


def submit(server: Server, name: str, command: str, environment: str = "plain") -> None:
    server.client().put(server.path(f"jobs/{name}"), {"properties": {
        "jobType": "Command", "command": command, "environmentId": f"{server.workspace}/environments/{environment}/versions/1",
    }})


def over(server: Server, name: str) -> dict:
    arm = server.client()

    def ask():
        facts = arm.patiently("GET", server.path(f"jobs/{name}")).json()["properties"]
        return facts["status"] in ("Completed", "Failed", "Canceled") and facts

    return until(ask, PATIENCE_S, what=server.logs)


def test_the_worker_while_it_builds_an_environment(server: Server, index: Index):
    """The next one builds it again, and jobs that wait for the same one get it too."""
    conda = f"dependencies: [{{pip: ['--index-url {index.url}', lazward-durability==1.0]}}]"
    server.client().put(server.path("environments/slow/versions/1"), {"properties": {"image": "library/python:3.11", "condaFile": conda}})
    for name in ("first", "second"):
        submit(server, name, "python -c 'import lazward_durability'", "slow")
    assert index.asked.acquire(timeout=PATIENCE_S)
    server.kill("worker")
    assert index.asked.acquire(timeout=PATIENCE_S)
    index.go.set()
    ended = [over(server, name) for name in ("first", "second")]
    assert [facts["status"] for facts in ended] == ["Completed", "Completed"], ended
    assert list((server.data_dir / "envs" / "tmp").iterdir()) == []


def test_everything_but_the_job_and_the_job_ends_meanwhile(server: Server, tmp_path: Path):
    """Nobody is there when it ends. Its log, its exit code and its end are there afterwards all the same."""
    submit(server, "alone", f"touch {tmp_path}/began; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo spoken; touch {tmp_path}/ended; exit 7")
    until((tmp_path / "began").exists, PATIENCE_S)
    server.kill("supervisor", "control", "worker", "gateway")
    (tmp_path / "go").touch()
    until((tmp_path / "ended").exists, PATIENCE_S)
    server.up()
    facts = over(server, "alone")
    assert (facts["status"], facts["exit"]["code"]) == ("Failed", 7)
    assert "spoken" in facts["error"]["message"]


def test_the_worker_together_with_the_job_and_its_keeper(server: Server, tmp_path: Path):
    """As when the machine is short of memory. The next worker says what happened, and the job does not stay Running."""
    submit(server, "felled", f"echo before; echo $PPID $$ > {tmp_path}/pids.new; mv {tmp_path}/pids.new {tmp_path}/pids; sleep 600")
    until((tmp_path / "pids").exists, PATIENCE_S, what=server.logs)
    keeper, leader = (int(word) for word in (tmp_path / "pids").read_text().split())
    server.kill("worker")
    for pid in (keeper, leader):
        os.kill(pid, signal.SIGKILL)
    facts = over(server, "felled")
    assert (facts["status"], facts["error"]["code"], facts["exit"]["reason"]) == ("Failed", "JobLost", "lost")
    assert "before" in facts["error"]["message"]


def test_the_supervisor_alone_and_all_parts_are_taken_over(server: Server):
    server.client().put(server.path("onlineEndpoints/taken-over"), {"location": "local", "properties": {"authMode": "Key"}})  # with the first one comes the gateway
    gateway = until(lambda: server.pids().get("gateway"), PATIENCE_S)
    server.kill("supervisor")
    server.up()
    assert server.pids()["gateway"] == gateway
    submit(server, "after", "echo after")
    assert over(server, "after")["status"] == "Completed"
