"""What a guard decides; that launches are stopped by it is in test_executor_limits.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazward.execution.runtime import disk, guard
from lazward.execution.runtime.guard import Guard, Trend, Trouble
from lazward.execution.runtime.order import Limits

MIB, GIB = 1 << 20, 1 << 30


class Place:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.records, self.mine, self.log = folder / "launches" / "a", folder / "mine", folder / "log"
        self.records.mkdir(parents=True)
        self.mine.mkdir()
        self.free = disk.Free(100 * GIB, 10**9, 10**10)
        monkeypatch.setattr(disk, "free", lambda path: self.free)

    def guard(self, **limits) -> Guard:
        return Guard(Limits(**limits), str(self.records), str(self.mine), [os.open(self.log, os.O_WRONLY | os.O_CREAT)], list)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def settled(made: Guard) -> Trouble | None:
    """What it says once it has counted."""
    for _ in range(1000):
        if trouble := made.look():
            return trouble
        if made._scan is None:
            return None
    raise AssertionError("it does not come to an end of counting")


def test_without_limits_it_need_never_look(place: Place):
    assert place.guard().at == float("inf")
    assert place.guard(timeout_s=1.0, memory_bytes=1, max_processes=1).at == float("inf")


@pytest.mark.parametrize(("size", "runaway"), [(MIB, None), (MIB + 1, False), (2 * MIB, True)])
def test_log(place: Place, size: int, runaway: bool | None):
    made = place.guard(log_bytes=MIB)
    os.truncate(place.log, size)
    trouble = made.look()
    assert (trouble and (trouble.reason, trouble.runaway)) == (None if runaway is None else ("log", runaway))


def test_one_log_of_two_processes_counts_once(place: Place):
    made = place.guard(log_bytes=MIB)
    made.logs *= 2
    os.truncate(place.log, MIB)
    assert made.look() is None


def test_disk(place: Place):
    made = place.guard(disk_bytes=MIB)
    assert settled(made) is None
    (place.mine / "big").write_bytes(bytes(2 * MIB))
    assert settled(made) is None  # it has just counted, and nothing says that it should again
    place.free = disk.Free(place.free.bytes - 2 * MIB)
    made._count_at = 0.0
    trouble = settled(made)
    assert trouble and trouble.reason == "disk" and trouble.runaway
    assert "1.0 MiB" in trouble.message and "'big'" in trouble.message


class TestSpace:
    def test_whoever_holds_it_is_stopped(self, place: Place):
        made = place.guard(free_disk_bytes=GIB)
        (place.mine / "big").write_bytes(bytes(70 * MIB))
        assert settled(made) is None
        place.free = disk.Free(GIB - 1)
        trouble = settled(made)
        assert trouble and (trouble.reason, trouble.runaway) == ("space", False)
        assert "1.00 GiB" in trouble.message and "'big'" in trouble.message
        place.free = disk.Free(GIB // 3)
        trouble = settled(made)
        assert trouble and trouble.runaway

    def test_whoever_holds_little_is_not(self, place: Place):
        made = place.guard(free_disk_bytes=GIB)
        (place.mine / "small").write_bytes(bytes(MIB))
        place.free = disk.Free(0)
        assert settled(made) is None

    def test_too_few_files(self, place: Place):
        made = place.guard(free_disk_bytes=GIB)
        for i in range(1001):
            (place.mine / str(i)).touch()
        place.free = disk.Free(100 * GIB, 9, 10**6)
        trouble = settled(made)
        assert trouble and trouble.reason == "space" and "only 9 more files" in trouble.message

    def test_a_disk_without_a_bound_on_files(self, place: Place):
        made = place.guard(free_disk_bytes=GIB)
        place.free = disk.Free(100 * GIB, None, 0)
        assert made.look() is None

    def test_it_does_not_count_without_end(self, place: Place, monkeypatch: pytest.MonkeyPatch):
        made = place.guard(free_disk_bytes=GIB)
        place.free = disk.Free(0)
        assert settled(made) is None
        began: list[str] = []
        monkeypatch.setattr(disk, "Scan", lambda folder: began.append(folder))
        for _ in range(5):
            made.look()
        assert began == []

    def test_records_that_are_gone(self, place: Place, tmp_path: Path):
        (place.mine / "big").write_bytes(bytes(70 * MIB))
        made = place.guard(free_disk_bytes=GIB)
        place.free = disk.Free(0)
        (tmp_path / "launches").rename(tmp_path / "elsewhere")
        assert settled(made) is None


def test_a_folder_that_is_gone(tmp_path: Path):
    made = Guard(Limits(disk_bytes=1, free_disk_bytes=1), str(tmp_path), str(tmp_path / "none"), [], list)
    assert made.look() is None


class TestPace:
    def test_slows_down_while_nothing_happens(self, place: Place, monkeypatch: pytest.MonkeyPatch):
        now = [0.0]
        monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
        made = place.guard(log_bytes=MIB, free_disk_bytes=GIB)
        waits = []
        for _ in range(6):
            assert made.look() is None
            waits.append(made.at - now[0])
            now[0] = made.at
        assert waits == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0, 1.0])

    def test_hurries_when_a_limit_comes_near(self, place: Place, monkeypatch: pytest.MonkeyPatch):
        now = [0.0]
        monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
        made = place.guard(log_bytes=10 * MIB)
        for size in (0, 6 * MIB):
            now[0] += 1.0
            os.truncate(place.log, size)
            made.look()
        assert made.at - now[0] == pytest.approx(4 / 6 / 2)

    def test_is_closer_where_the_disk_is_nearly_full(self, place: Place):
        made = place.guard(free_disk_bytes=GIB)
        made._pause = 1.0
        place.free = disk.Free(3 * GIB)
        before = guard.time.monotonic()
        made.look()
        assert made.at - before < 0.9


def test_trend():
    made = Trend()
    assert made.seconds(100, 1.0) == float("inf")  # nothing known yet
    assert made.seconds(90, 2.0) == 9.0
    assert made.seconds(95, 3.0) == float("inf")  # it becomes more
    assert made.seconds(0, 4.0) == 0.0
    assert made.seconds(-5, 4.0) == float("inf")  # no time has passed
