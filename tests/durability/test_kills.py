"""kill -9 of control plane, worker and supervisor at random moments under load: nothing that was acknowledged is lost, nothing runs
twice, nothing stops serving, and the jobs end as they do undisturbed. `--kills 50 --kill-seed N` is the long form; `--kill-database postgresql`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.server import Server, until
from tests.durability.killer import Killer
from tests.durability.load import PATIENCE_S, Jobs, Scorer, Writer, left_over

A_ROUND = 8  # kills; then its jobs are let come to their end


def test_nothing_is_lost_and_nothing_runs_twice(stormy: Server, database: str, tmp_path: Path, pytestconfig: pytest.Config):
    kills, seed = pytestconfig.getoption("--kills"), pytestconfig.getoption("--kill-seed")
    jobs = Jobs(stormy, tmp_path / "witness")
    jobs.submit("calm")
    scorer, writer = Scorer(stormy), Writer(stormy)
    until(lambda: jobs.ended("calm"), PATIENCE_S, 0.2, lambda: jobs.diagnosis("calm"))
    calm = jobs.observe("calm")
    expected = {"short": "Completed", "long": "Completed", "failing": "Failed", "again": "Completed", "ranks": "Completed", "canceled": "Canceled", "unwanted": "Canceled",
                "built": "Completed", "unbuildable": "Failed", "big": "Completed", "last": "Completed"}
    assert {kind: calm[kind]["status"] for kind in expected} == expected

    killer = Killer(stormy, seed)
    scorer.start()
    writer.start()
    rounds = killer.storm(jobs, kills, A_ROUND)
    assert scorer.deploy("green", "after") == "Succeeded"  # what comes after works as ever
    writer.stop()
    scorer.stop()

    for name in rounds:
        assert jobs.observe(name) == calm, f"{name}, kills {killer.done}, seed {seed}"
    assert writer.missing() == []
    assert len(writer.acknowledged) > 10 and scorer.answers > 10
    until(lambda: left_over(stormy, 2, database) == [], 30, 0.1, lambda: left_over(stormy, 2, database))
    print(f"{len(killer.done)} kills ({', '.join(killer.done)}), {len(rounds)} rounds, {len(writer.acknowledged)} writes acknowledged, "
          f"{writer.unanswered} unanswered, {scorer.answers} requests scored")
