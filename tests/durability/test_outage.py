"""kill -9 of the whole server, and of some of its clients, while they log: everything that was acknowledged is there afterwards, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.server import Server, until
from lazward.execution.client_plugin import installed
from tests.durability.load import PATIENCE_S
from tests.durability.logger import VALUES

LOGGER = Path(__file__).with_name("logger.py")


class Client:
    """One training: its process and what it has noted."""

    def __init__(self, env: dict[str, str], witness: Path, calls: int):
        self.witness = witness
        self.calls = calls
        self.errors = witness.with_suffix(".err").open("w+")
        self.process = subprocess.Popen([sys.executable, str(LOGGER), str(witness), str(calls), "0"], env=env, stderr=self.errors, stdout=subprocess.DEVNULL)
        self.killed = False

    def words(self) -> list[str]:
        text = self.witness.read_text() if self.witness.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    @property
    def run(self) -> str:
        return self.words()[0].split()[1]

    def acknowledged(self) -> list[int]:
        return [int(word) for word in self.words() if word.isdecimal()]

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.killed = True


def environment(server: Server, spool: Path, plugin: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": str(spool), **server.env, "PYTHONPATH": str(plugin), "MLFLOW_TRACKING_URI": f"{server.base}/mlflow/plain{server.workspace}",
        "MLFLOW_TRACKING_TOKEN": server.token("https://management.azure.com"), "LAZWARD_SPOOL": "on", "LAZWARD_SPOOL_DIR": str(spool), "LAZWARD_SPOOL_TIMEOUT": "3",
        "LAZWARD_SPOOL_EXIT_WAIT": "5", "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet",
    }


@pytest.fixture
def clients(stormy: Server, tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[list[Client]]:
    metrics = pytestconfig.getoption("--metrics")
    count = 16 if metrics >= 16_000 else 4
    env = environment(stormy, tmp_path / "spool", installed(tmp_path / "plugin"))
    made = [Client(env, tmp_path / f"client{n}", metrics // VALUES // count) for n in range(count)]
    yield made
    for one in made:
        one.kill()
        one.process.wait()
        one.errors.close()


def history(server: Server, run: str, key: str) -> list[tuple[int, float]]:
    arm, found, token = server.client(), [], ""
    while True:
        page = arm.get(f"/mlflow/plain{server.workspace}/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key={key}&max_results=20000{token}")
        found += [(m["step"], m["value"]) for m in page.get("metrics", [])]
        if not page.get("next_page_token"):
            return found
        token = f"&page_token={page['next_page_token']}"


def test_a_killed_server_and_killed_clients(stormy: Server, clients: list[Client], tmp_path: Path, pytestconfig: pytest.Config):
    chance = random.Random(pytestconfig.getoption("--kill-seed"))
    until(lambda: all(len(one.words()) > 2 for one in clients), PATIENCE_S, what=stormy.logs)
    for share in (4, 2):  # the server goes down twice, a quarter of the clients with it the first time
        until(lambda share=share: sum(len(one.words()) for one in clients) > sum(one.calls for one in clients) / share / 2, PATIENCE_S)
        stormy.kill("supervisor", "control", "worker")
        if share == 4:
            time.sleep(chance.uniform(0, 0.5))
            for one in chance.sample(clients, len(clients) // 4):
                one.kill()
            until(lambda: list((tmp_path / "spool").rglob("journal")), PATIENCE_S)
        stormy.up()
    for one in clients:
        one.process.wait(PATIENCE_S)
        assert one.killed or one.process.returncode == 0, Path(one.errors.name).read_text()[-3000:]

    env = environment(stormy, tmp_path / "spool", tmp_path)
    words = [sys.executable, "-m", "lazward.cli.main", "sync", str(tmp_path / "spool")]
    done = subprocess.run(words, env={**os.environ, **env, "PYTHONPATH": stormy.environ["PYTHONPATH"]}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert any(one.killed for one in clients)
    for one in clients:
        acknowledged = one.acknowledged()
        assert acknowledged == list(range(len(acknowledged))) and (one.killed or len(acknowledged) == one.calls)
        for n in range(VALUES):
            stored = history(stormy, one.run, f"m.{n}")
            told = [(step, step + n / 10) for step in acknowledged]
            # The call that a killed client was in may have come to pass or not.
            assert stored == told or (one.killed and stored == [*told, (len(told), len(told) + n / 10)]), (one.run, n, len(stored), len(told))
    statuses = {one.run: status(stormy, one.run) for one in clients}
    assert all(one.killed or statuses[one.run] == "FINISHED" for one in clients)


def status(server: Server, run: str) -> str:
    return server.client().get(f"/mlflow/plain{server.workspace}/api/2.0/mlflow/runs/get?run_id={run}")["run"]["info"]["status"]


def test_four_ranks_of_a_job_log_into_one_run_while_the_server_is_killed(stormy: Server, tmp_path: Path):
    """They end while nobody is there to take what they log: the worker sends it, and only then the job is over. No rank ends the run."""
    arm, calls = stormy.client(), 40
    plugin = installed(tmp_path / "plugin")
    code = stormy.put_code("ranks", {"logger.py": LOGGER.read_text()})
    arm.put(stormy.path("environments/plain/versions/1"), {"properties": {"image": "library/python:3.11"}})
    facts: dict[str, Any] = {
        "jobType": "Command", "command": f"{sys.executable} logger.py {tmp_path}/rank$RANK {calls} 0.05", "codeId": code, "experimentName": "ranks",
        "environmentId": f"{stormy.workspace}/environments/plain/versions/1", "distribution": {"distributionType": "PyTorch", "processCountPerInstance": 4},
        "environmentVariables": {"PYTHONPATH": str(plugin), "LAZWARD_SPOOL_TIMEOUT": "2", "LAZWARD_SPOOL_EXIT_WAIT": "0", "GIT_PYTHON_REFRESH": "quiet"},
        "resources": {"properties": {"cores": "0.5"}},
    }
    arm.put(stormy.path("jobs/ranks-1"), {"properties": facts})
    witnesses = [tmp_path / f"rank{n}" for n in range(4)]

    def words(witness: Path) -> list[str]:
        return witness.read_text().splitlines() if witness.exists() else []

    until(lambda: all(len(words(w)) > 5 for w in witnesses), PATIENCE_S, what=stormy.logs)
    assert status(stormy, "ranks-1") == "RUNNING"
    stormy.kill("supervisor", "control", "worker")
    until(lambda: all("ended" in words(w) for w in witnesses), PATIENCE_S)
    stormy.up()

    def job() -> dict[str, Any]:
        return stormy.client().get(stormy.path("jobs/ranks-1"))["properties"]

    until(lambda: job()["status"] in ("Completed", "Failed"), PATIENCE_S, 0.1, stormy.logs)
    assert job()["status"] == "Completed", (job(), stormy.logs())
    for rank in range(4):
        for n in range(VALUES):
            assert history(stormy, "ranks-1", f"m{rank}.{n}") == [(step, step + n / 10) for step in range(calls)]
    run = stormy.client().get(f"/mlflow/plain{stormy.workspace}/api/2.0/mlflow/runs/get?run_id=ranks-1")["run"]
    assert {t["key"]: t["value"] for t in run["data"]["tags"] if t["key"].startswith("last")} == {f"last{n}": str(calls - 1) for n in range(4)}
    assert run["info"]["status"] == "FINISHED"
    files = stormy.client().get(f"/mlflow/plain{stormy.workspace}/api/2.0/mlflow/artifacts/list?run_id=ranks-1&path=texts")["files"]
    assert [f["path"] for f in files] == [f"texts/{n}.txt" for n in range(4)]
    assert not list((stormy.data_dir / "jobs").glob("*.spool"))


def test_a_run_whose_process_was_killed_is_failed_with_a_reason_and_one_that_was_cut_off_runs_on(stormy: Server, tmp_path: Path):
    env = {**environment(stormy, tmp_path / "spool", installed(tmp_path / "plugin")), "LAZWARD_HEARTBEAT": "1"}
    killed, stopped, plain = (Client({**env, **more}, tmp_path / name, 10**6) for name, more in (("killed", {}), ("stopped", {}), ("plain", {"LAZWARD_SPOOL": "off"})))
    try:
        until(lambda: all(len(one.words()) > 2 for one in (killed, stopped, plain)), PATIENCE_S, what=stormy.logs)
        killed.kill()
        plain.kill()
        stopped.process.send_signal(signal.SIGSTOP)  # as a machine that sleeps, or a network that is gone
        until(lambda: {status(stormy, one.run) for one in (killed, stopped)} == {"FAILED"}, PATIENCE_S, 0.1, stormy.logs)
        run = stormy.client().get(f"/mlflow/plain{stormy.workspace}/api/2.0/mlflow/runs/get?run_id={killed.run}")["run"]
        (reason,) = (t["value"] for t in run["data"]["tags"] if t["key"] == "lazward.failedReason")
        assert "last heard of at" in reason and int(run["info"]["end_time"]) >= int(run["info"]["start_time"])
        stopped.process.send_signal(signal.SIGCONT)
        until(lambda: status(stormy, stopped.run) == "RUNNING", PATIENCE_S, 0.1, stormy.logs)
        assert (status(stormy, killed.run), status(stormy, plain.run)) == ("FAILED", "RUNNING")
    finally:
        for one in (killed, stopped, plain):
            one.process.send_signal(signal.SIGCONT)
            one.kill()
            one.process.wait()
            one.errors.close()
