"""kill -9 of control plane, worker and supervisor at random moments under load: nothing that was acknowledged is lost, nothing runs
twice, nothing stops serving, and the jobs end as they do undisturbed. `--kills 50 --kill-seed N` is the long form; `--kill-database postgresql`."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.server import Server, until
from tests.durability.load import PATIENCE_S, Jobs, Scorer, Submission, Writer, left_over

PARTS = (("control",), ("worker",), ("control", "worker"), ("supervisor",), ("supervisor", "control", "worker"))
A_ROUND = 8  # kills; then its jobs are let come to their end
RESET_EVERY = 4  # kills; a new supervisor starts parts without the pauses that grow with each end of one


@pytest.fixture
def database(pytestconfig: pytest.Config) -> Iterator[str]:
    """"" for SQLite in the data dir."""
    if pytestconfig.getoption("--kill-database") == "sqlite":
        yield ""
        return
    from tests.postgres import Postgres

    with Postgres() as made:
        yield made.url


@pytest.fixture
def server(database: str) -> Iterator[Server]:
    with Server(sets=(f"database_url={database}",) if database else ()) as made:
        yield made


class Killer:
    """Kills at moments and in an order that the seed decides."""

    def __init__(self, server: Server, seed: int):
        self.server = server
        self.random = random.Random(seed)
        self.since_reset = 0
        self.done: list[str] = []

    def kill(self) -> None:
        time.sleep(self.random.uniform(0.05, 1.2))
        parts = self.random.choice(PARTS)
        if self.since_reset >= RESET_EVERY and parts[0] != "supervisor":
            parts = ("supervisor", *parts)
        until(lambda: set(parts) <= set(self.server.pids()), PATIENCE_S, what=self.server.logs)
        killed = self.server.kill(*parts)
        assert killed, parts
        self.done.append("+".join(killed))
        self.since_reset += 1
        if "supervisor" in killed:
            self.since_reset = 0
            time.sleep(self.random.uniform(0, 0.3))
            self.server.up()


def test_nothing_is_lost_and_nothing_runs_twice(server: Server, database: str, tmp_path: Path, pytestconfig: pytest.Config):
    kills, seed = pytestconfig.getoption("--kills"), pytestconfig.getoption("--kill-seed")
    jobs = Jobs(server, tmp_path / "witness")
    jobs.submit("calm")
    scorer, writer = Scorer(server), Writer(server)
    until(lambda: jobs.ended("calm"), PATIENCE_S, 0.2, lambda: jobs.diagnosis("calm"))
    calm = jobs.observe("calm")
    expected = {"short": "Completed", "long": "Completed", "failing": "Failed", "ranks": "Completed", "canceled": "Canceled", "unwanted": "Canceled",
                "built": "Completed", "unbuildable": "Failed", "big": "Completed", "last": "Completed"}
    assert {kind: calm[kind]["status"] for kind in expected} == expected

    killer = Killer(server, seed)
    scorer.start()
    writer.start()
    rounds: list[str] = []
    while len(killer.done) < kills:
        rounds.append(f"storm{len(rounds)}")
        background = Submission(jobs, rounds[-1])
        background.start()
        enough = min(kills, len(killer.done) + A_ROUND)
        while len(killer.done) < enough and not background.over():
            killer.kill()
        background.result()
    assert scorer.deploy("green", "after") == "Succeeded"  # what comes after works as ever
    writer.stop()
    scorer.stop()

    for name in rounds:
        assert jobs.observe(name) == calm, f"{name}, kills {killer.done}, seed {seed}"
    assert writer.missing() == []
    assert len(writer.acknowledged) > 10 and scorer.answers > 10
    until(lambda: left_over(server, 2, database) == [], 30, 0.1, lambda: left_over(server, 2, database))
    print(f"{len(killer.done)} kills ({', '.join(killer.done)}), {len(rounds)} rounds, {len(writer.acknowledged)} writes acknowledged, "
          f"{writer.unanswered} unanswered, {scorer.answers} requests scored")
