"""kill -9 of control plane, worker and supervisor at random moments while pipelines run: they end as they do undisturbed, no step runs
twice to its end, nothing is stuck. `--kills 50 --kill-seed N` is the long form; `--kill-database postgresql`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.server import Server, until
from tests.durability.killer import Killer
from tests.durability.load import PATIENCE_S, left_over
from tests.durability.pipeline_load import CHAIN, ITEMS, SEVERAL, TRIALS, Pipelines

A_ROUND = 12  # kills; then its pipelines are let come to their end


def leaves(tree: dict) -> int:
    below = [child for rows in tree.get("children", {}).values() for child in rows]
    return sum(map(leaves, below)) if below else 1


def test_every_end_is_that_of_a_calm_run(stormy: Server, database: str, tmp_path: Path, pytestconfig: pytest.Config):
    kills, seed = pytestconfig.getoption("--kills"), pytestconfig.getoption("--kill-seed")
    pipelines = Pipelines(stormy, tmp_path / "witness")
    pipelines.submit("calm")
    until(lambda: pipelines.ended("calm"), PATIENCE_S, 0.2, lambda: pipelines.diagnosis("calm"))
    calm = pipelines.observe("calm")
    assert {name: tree["status"] for name, tree in calm.items() if name.startswith("ROUND")} == {"ROUND-large": "Completed", "ROUND-resumed": "Completed", "ROUND-canceled": "Canceled"}, pipelines.diagnosis("calm")
    assert leaves(calm["ROUND-large"]) == SEVERAL + CHAIN + ITEMS + TRIALS + 6 + 4 + 5 >= 50  # nested, rounds of the loop, and: start, files, yes, score, final
    assert calm["registered"] == 200
    assert set(calm["ended"].values()) == {1}

    killer = Killer(stormy, seed)
    rounds = killer.storm(pipelines, kills, A_ROUND)
    for name in rounds:
        assert pipelines.observe(name) == calm, f"{name}, kills {killer.done}, seed {seed}"
    until(lambda: left_over(stormy, 0, database) == [], 30, 0.1, lambda: left_over(stormy, 0, database))
    print(f"{len(killer.done)} kills ({', '.join(killer.done)}), {len(rounds)} rounds of {leaves(calm['ROUND-large'])} steps")
