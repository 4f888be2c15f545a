"""What a database says of work whose processes are on another machine, or nowhere."""

from __future__ import annotations

import json
import time

import pytest

from lazward.orchestration.jobs import request_cancel
from lazward.orchestration.restored import settle_once
from lazward.storage import tasks
from tests.orchestration.place import HOME

A = f"{HOME}/jobs/a".lower()


def put_phase(place, phase: str) -> None:
    """As a worker leaves it that is killed in that phase; the backup is made then."""
    (held,) = place.db.write_now(tasks.claim, "worker", 1, time.time(), 30)
    assert held.subject == A
    place.db.write_now(tasks.checkpoint, held, {**held.state, "phase": phase, "processes": 1})


async def restored(place) -> None:
    mark = place.settings.layout.restored_mark
    mark.write_text(json.dumps({"made": 1_800_000_000.0}))
    await settle_once(place.db, mark, time.time())
    assert not mark.exists()
    await place.start()


@pytest.mark.parametrize("phase", ["launched", "finishing"])
async def test_a_job_that_ran_fails_with_the_reason_and_is_not_run_again(place, tmp_path, phase):
    place.job("a", f"touch {tmp_path}/ran")
    put_phase(place, phase)
    await restored(place)
    facts = await place.over("a")
    assert (facts["status"], facts["error"]["code"]) == ("Failed", "JobLost")
    assert "backup of 2027-01-15T08:00:00" in facts["error"]["message"]
    assert not (tmp_path / "ran").exists()
    assert place.launches() == [] and place.folders("jobs") == []


@pytest.mark.parametrize("phase", ["queued", "preparing"])
async def test_a_job_that_had_not_begun_runs(place, tmp_path, phase):
    place.job("a", f"touch {tmp_path}/ran")
    put_phase(place, phase)
    await restored(place)
    assert (await place.over("a"))["status"] == "Completed"
    assert (tmp_path / "ran").exists()


async def test_a_job_that_was_to_be_canceled_is(place):
    place.job("a", "true")
    put_phase(place, "launched")
    place.db.write_now(request_cancel, A, time.time())
    await restored(place)
    assert (await place.over("a"))["status"] == "Canceled"


async def test_without_a_restore_nothing_is_touched(place):
    place.job("a", "true")
    put_phase(place, "launched")
    before = place.db.read_now(tasks.open_for, A, "job.run")
    await settle_once(place.db, place.settings.layout.restored_mark, time.time())
    assert place.db.read_now(tasks.open_for, A, "job.run") == before
