"""The master as a process: probes, restarts, stop, and the state file."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading

import httpx2
import psutil
import pytest

from lazward.execution.runtime.serve import master
from lazward.execution.runtime.serve.settings import Settings
from lazward.execution.runtime.serve.state import WorkerState
from lazward.execution.serving import probe, probe_socket, process_spec, worker_sockets
from tests.execution.runtime.serve.processes import DEADLINE_S, wait_for

ECHO = """
import logging, os, sys
def init():
    print("printed in init")
    logging.info("logged in init")
def run(data):
    if data == "crash":
        os._exit(9)
    return {"pid": os.getpid(), "argv": sys.argv, "cwd": os.getcwd(), "path": sys.path[:2], "data": data,
            "env": sorted(name for name in os.environ if name.endswith("_FD"))}
"""
WAITING = """
import os, time
def init():
    pass
def run(data):
    open("begun", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.005)
    return "done"
"""


async def test_workers_listen_apart_and_the_master_answers_probes(run):
    server = run(ECHO, workers=2).ready()
    pids = {server.client(index).post("/score", content="x").json()["pid"] for index in (0, 1)}
    assert pids == {worker.pid for worker in server.status.workers}
    answer = await probe(probe_socket(server.service))
    assert (answer.status, answer.text) == (200, "Healthy")
    answer = await probe(probe_socket(server.service), "/state")
    assert '"status": "ready"' in answer.text
    for path in (*worker_sockets(server.service), probe_socket(server.service)):
        assert os.stat(path).st_mode & 0o777 == 0o600


async def test_probes_are_answered_during_a_long_run_and_term_waits_for_it(run):
    server = run(WAITING).ready()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(server.client().post("/score", content="x")))
    thread.start()
    wait_for(lambda: (server.folder / "begun").exists())
    assert (await probe(probe_socket(server.service))).text == "Healthy"
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: server.status.status == "stopping")
    assert server.process.poll() is None
    (server.folder / "go").touch()
    thread.join(DEADLINE_S)
    assert (answers[0].status_code, answers[0].json()) == (200, "done")
    assert server.process.wait(DEADLINE_S) == 0
    assert server.status.status == "stopped"
    assert not any(os.path.exists(path) for path in worker_sockets(server.service))


def test_work_that_outlasts_the_grace_is_killed(run):
    server = run(WAITING, grace_s=0.3).ready()
    worker = psutil.Process(server.status.workers[0].pid)
    outcomes = []

    def score() -> None:
        try:
            outcomes.append(server.client().post("/score"))
        except httpx2.HTTPError as error:
            outcomes.append(error)

    thread = threading.Thread(target=score)
    thread.start()
    wait_for(lambda: (server.folder / "begun").exists())
    server.process.terminate()
    assert server.process.wait(DEADLINE_S) == 0
    thread.join(DEADLINE_S)
    assert isinstance(outcomes[0], httpx2.HTTPError)
    assert not worker.is_running()


def test_a_process_that_dies_in_init_ends_the_server_after_some_tries(run):
    server = run("import os\ndef init(): os.kill(os.getpid(), 9)\ndef run(d): pass")
    assert server.process.wait(DEADLINE_S) == 3
    assert "SIGKILL" in server.status.error
    assert "before init() had finished" in server.status.error
    assert server.status.workers[0].restarts == 2


async def test_a_crashed_worker_is_started_again_and_the_state_says_why(run):
    server = run(ECHO).ready()
    first = server.status.workers[0].pid
    with pytest.raises(httpx2.HTTPError):
        server.client().post("/score", content="crash")
    wait_for(lambda: server.status.workers[0].restarts == 1)
    wait_for(lambda: server.status.ready)
    worker = server.status.workers[0]
    assert worker.pid != first
    assert server.client().post("/score", content="x").json()["pid"] == worker.pid
    assert "ended with code 9" in server.log


def test_a_server_starts_over_what_a_killed_one_left_behind(run):
    server = run(ECHO).ready()
    server.process.kill()
    wait_for(lambda: not psutil.pid_exists(server.status.workers[0].pid))
    spec = process_spec(server.service)
    with open(spec.log, "ab") as log:
        server.process = subprocess.Popen(spec.argv, env=dict(spec.env), stdout=log, stderr=log)
    wait_for(lambda: server.status.pid == server.process.pid and server.status.ready)
    assert server.client().post("/score", content="x").status_code == 200


def test_wrong_settings_are_named(run):
    server = run(ECHO, env={"SCORING_TIMEOUT_MS": "soon"})
    assert server.process.wait(DEADLINE_S) == 2
    assert "SCORING_TIMEOUT_MS must be a number, not 'soon'" in server.log


async def test_a_worker_that_does_not_answer_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(master, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(master, "HUNG_AFTER_S", 0.05)
    env = {"LAZWARD_SERVE_SOCKET": f"/tmp/lz-hung-{os.getpid()}", "LAZWARD_SERVE_STATE": str(tmp_path / "state")}
    settings = Settings.read({**env, "AZUREML_ENTRY_SCRIPT": "score.py", "SCORING_TIMEOUT_MS": "1"})
    killed = asyncio.Event()

    class Process:
        kill = staticmethod(killed.set)

    async def silence(_reader, _writer):
        await killed.wait()

    worker = WorkerState(0, f"{settings.socket}.0")
    server = await asyncio.start_unix_server(silence, worker.socket)
    watching = asyncio.create_task(master.Master(settings)._watch(worker, Process()))
    await asyncio.sleep(0.1)
    assert not killed.is_set()  # it is not ready yet: init() may take its time
    worker.become("ready")
    await asyncio.wait_for(watching, DEADLINE_S)
    assert killed.is_set()
    server.close()
