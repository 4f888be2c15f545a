"""Runs whose process is gone: a client that says at intervals that it lives (runs/heartbeat) is watched, and when it falls silent its run
becomes FAILED, with the reason in a tag. Should it come back, because it was only cut off, the run is RUNNING again.

Each watched run has a task, an alarm that every heartbeat puts off. Runs of clients that never sent one are left alone, and so are those of
jobs, which follow their job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazward.contract.envelope import timestamp
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.storage import runs, tasks
from lazward.storage.db import Tx

KIND = "run.watch"
LEAST_S, MOST_S = 1.0, 3600.0  # of the interval that a client may name
MISSED, CHANCE = 3, 2  # intervals of silence after which a run is doubted, and given up


def watch(tx: Tx, workspace: str, run_id: str, every: float, now: float) -> None:
    """From now on the run is expected to be heard of every so many seconds."""
    every = min(max(every, LEAST_S), MOST_S)
    state = {"workspace": workspace, "run": run_id, "every": every, "heard": now}
    tasks.postpone(tx, KIND, f"{workspace}/runs/{run_id}", state, now + MISSED * every, now)


def heard(tx: Tx, workspace: str, run_ids: Sequence[str], every: float, now: float) -> list[str]:
    """A heartbeat of these runs; those of them that are still to be heard of."""
    going = [run_id for run_id in sorted(set(run_ids)) if runs.alive(tx, workspace, run_id)]
    for run_id in going:
        watch(tx, workspace, run_id, every, now)
    return going


def farewell(tx: Tx, workspace: str, run_ids: Sequence[str], now: float) -> None:
    """The process has ended in good order and left these runs open: they are as those of clients that never sent a heartbeat."""
    for run_id in sorted(set(run_ids)):
        ended(tx, workspace, run_id, now)


def ended(tx: Tx, workspace: str, run_id: str, now: float) -> None:
    """The client has ended the run: nobody need watch it."""
    tasks.call_off(tx, KIND, f"{workspace}/runs/{run_id}", now)


@handler(KIND)
async def give_up(work: Work) -> Outcome:
    """The alarm has gone off. The first time the run is only doubted: the server may have been down itself, and its clients get their
    chance to be heard of, which puts the alarm off again."""
    state: dict[str, Any] = work.state
    now, last, every = work.now(), state["heard"], state["every"]
    if now < last + MISSED * every:
        return Outcome("InProgress", delay=last + MISSED * every - now)
    if not state.get("doubted"):
        doubted = {**state, "doubted": True}
        return Outcome(also=lambda tx: tasks.postpone(tx, KIND, work.subject, doubted, now + CHANCE * every, now))
    reason = f"The process that logged this run was last heard of at {timestamp(last)}; it was killed, or its machine is down or cut off."
    return Outcome(also=lambda tx: runs.give_up(tx, state["workspace"], state["run"], last, reason))
