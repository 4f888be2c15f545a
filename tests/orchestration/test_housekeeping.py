from __future__ import annotations

import fcntl
import time

import pytest

from lazward.orchestration import housekeeping
from lazward.storage import tasks


@pytest.fixture
def rounds(place, monkeypatch) -> list[str]:
    """What each round removed bytes with; a round is due at once after the last."""
    seen: list[str] = []

    async def collect():
        seen.append("collect")

    async def sweep():
        seen.append("sweep")

    monkeypatch.setattr(place.blobs, "collect", collect)
    monkeypatch.setattr(place.blobs, "sweep", sweep)
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.01)
    (place.folder / "run").mkdir(exist_ok=True)
    place.db.write_now(tasks.enqueue, "housekeeping", "server", {}, time.time())
    return seen


async def test_collects_each_time_and_sweeps_once_a_day(place, rounds):
    await place.start()
    await place.until(lambda: rounds.count("collect") > 2)
    assert rounds[:3] == ["collect", "sweep", "collect"] and rounds.count("sweep") == 1


async def test_a_round_that_fails_is_not_the_last(place, rounds, monkeypatch):
    async def full():
        rounds.append("failed")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(place.blobs, "collect", full)
        await place.start()
        await place.until(lambda: rounds.count("failed") > 1)
    await place.until(lambda: "collect" in rounds)
    assert place.db.read_now(tasks.open_for, "server", "housekeeping") is not None


async def test_no_byte_is_removed_while_a_backup_is_made(place, rounds):
    with place.settings.layout.removal_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        await place.start()
        first = place.db.read_now(tasks.open_for, "server", "housekeeping").due
        await place.until(lambda: place.db.read_now(tasks.open_for, "server", "housekeeping").due > first + 0.1)
        assert rounds == []
    await place.until(lambda: "collect" in rounds)
