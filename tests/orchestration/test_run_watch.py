"""A run whose process falls silent is given up, and taken back when the process was only cut off."""

from __future__ import annotations

import pytest

from lazward.domain.tracking.names import LOST
from lazward.orchestration import run_watch
from lazward.orchestration.durable import Work, _apply
from lazward.storage import runs, tasks
from tests.storage.tracking_data import KEY, make_run, make_workspaces

EVERY = 30.0


@pytest.fixture
def watched(db, clock):
    make_workspaces(db)
    make_run(db, "r1", started=clock())
    db.write_now(run_watch.watch, KEY, "r1", EVERY, clock())
    return db


async def go_off(db, clock) -> bool:
    """What the worker does with alarms that are due; whether there was one."""
    due = db.write_now(tasks.claim, "w", 10, clock(), 30)
    for task in due:
        work = Work(task, db, clock, None)
        outcome = await run_watch.give_up(work)
        db.write_now(_apply, task, work.state, outcome, clock())
    return bool(due)


def seen(db) -> tuple[str, float | None, str | None]:
    run = db.read_now(runs.get, KEY, "r1")
    return run.status, run.ended, db.read_now(runs.tag, run, LOST)


async def test_silence_is_doubted_and_then_given_up(watched, clock):
    began = clock()
    clock.forward(3 * EVERY - 1)
    assert not await go_off(watched, clock)
    clock.forward(1)
    assert await go_off(watched, clock)
    assert seen(watched) == ("RUNNING", None, None)
    clock.forward(2 * EVERY)
    assert await go_off(watched, clock)
    status, ended, reason = seen(watched)
    assert (status, ended) == ("FAILED", began) and "last heard of at 2027-01-15T08:00:00" in reason
    clock.forward(1e6)
    assert not await go_off(watched, clock)


async def test_a_heartbeat_puts_it_off(watched, clock):
    for _ in range(5):
        clock.forward(2 * EVERY)
        assert watched.write_now(run_watch.heard, KEY, ["r1", "unknown"], EVERY, clock()) == ["r1"]
        assert not await go_off(watched, clock)
    assert seen(watched) == ("RUNNING", None, None)


async def test_one_that_was_doubted_gets_all_its_time_again(watched, clock):
    clock.forward(3 * EVERY)
    await go_off(watched, clock)
    watched.write_now(run_watch.heard, KEY, ["r1"], EVERY, clock())
    clock.forward(2 * EVERY)
    assert not await go_off(watched, clock)
    clock.forward(EVERY)
    await go_off(watched, clock)
    assert seen(watched)[0] == "RUNNING"


async def test_a_heartbeat_at_the_very_moment_counts(watched, clock):
    clock.forward(3 * EVERY)
    await go_off(watched, clock)
    clock.forward(2 * EVERY)
    (task,) = watched.write_now(tasks.claim, "w", 10, clock(), 30)
    work = Work(task, watched, clock, None)
    outcome = await run_watch.give_up(work)
    watched.write_now(run_watch.heard, KEY, ["r1"], EVERY, clock())
    watched.write_now(_apply, task, work.state, outcome, clock())
    assert seen(watched)[0] == "RUNNING"
    await go_off(watched, clock)
    assert seen(watched)[0] == "RUNNING"


async def test_one_that_comes_back_runs_again(watched, clock):
    for silence in (3 * EVERY, 2 * EVERY):
        clock.forward(silence)
        await go_off(watched, clock)
    assert seen(watched)[0] == "FAILED"
    assert watched.write_now(run_watch.heard, KEY, ["r1"], EVERY, clock()) == ["r1"]
    assert seen(watched) == ("RUNNING", None, None)
    for silence in (3 * EVERY, 2 * EVERY):
        clock.forward(silence)
        await go_off(watched, clock)
    assert seen(watched)[0] == "FAILED"


async def test_what_the_client_says_of_the_end_holds(watched, clock):
    for silence in (3 * EVERY, 2 * EVERY):
        clock.forward(silence)
        await go_off(watched, clock)
    watched.write_now(runs.update, KEY, "r1", "FINISHED", clock(), None)
    assert seen(watched) == ("FINISHED", clock(), None)
    assert watched.write_now(run_watch.heard, KEY, ["r1"], EVERY, clock()) == []


async def test_a_run_that_failed_by_its_own_word_stays_so(watched, clock):
    watched.write_now(runs.update, KEY, "r1", "FAILED", clock(), None)
    assert watched.write_now(run_watch.heard, KEY, ["r1"], EVERY, clock()) == []
    assert seen(watched)[0] == "FAILED"


async def test_a_job_follows_its_job(watched, clock):
    watched.write_now(runs.create_job_run, KEY, "job", "e", "n", "me", {}, clock())
    watched.write_now(runs.set_status, KEY, "job", "Running", clock())
    assert watched.write_now(run_watch.heard, KEY, ["job"], EVERY, clock()) == []
    assert not watched.write_now(runs.give_up, KEY, "job", clock(), "x")


async def test_a_run_that_is_gone_ends_its_alarm(watched, clock):
    watched.write_now(runs.delete_workspace, KEY)
    clock.forward(3 * EVERY)
    await go_off(watched, clock)
    clock.forward(2 * EVERY)
    await go_off(watched, clock)
    assert watched.read_now(tasks.open_of_kind, run_watch.KIND) == []
