from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from lazward.execution.runtime import records
from lazward.execution.runtime.shares import Shares, renounce

GIB = 1 << 30
DEVICE = 7


class Launches:
    """Folders of launches beside each other; `lives` ones hold their lock."""

    def __init__(self, root: Path, stack: contextlib.ExitStack):
        self.root = root
        self.stack = stack

    def add(self, name: str, bytes: int = 0, files: int = 0, *, whole: bool = True, ago: float = 0.0, device: int = DEVICE, ended: bool = False) -> Shares:
        folder = str(self.root / name)
        lock = records.take_lock(folder)
        assert lock is not None
        held = self.stack.enter_context(open(lock, "rb"))
        shares = Shares(folder, device)
        shares.publish(bytes, files, whole, time.time() - ago)
        if ended:
            (self.root / name / records.EXIT).touch()
            held.close()
        return shares


@pytest.fixture
def launches(tmp_path: Path):
    with contextlib.ExitStack() as stack:
        yield Launches(tmp_path, stack)


def blamed(shares: Shares, *, files: bool = False, since: float = 1.0, fell: bool = False) -> bool:
    return shares.most_is_ours(files, time.time() - since, fell)


def test_the_one_that_holds_most(launches: Launches):
    small, big, equal = launches.add("a", GIB), launches.add("b", 3 * GIB), launches.add("c", 3 * GIB)
    assert [blamed(small), blamed(big), blamed(equal)] == [False, False, True]  # of two that are equal, one


def test_files_are_another_measure(launches: Launches):
    small, many = launches.add("a", 9 * GIB, 2000), launches.add("b", GIB, 1_000_000)
    assert [blamed(small, files=True), blamed(many, files=True)] == [False, True]


def test_who_holds_little_is_no_cause(launches: Launches):
    assert not blamed(launches.add("a", 10 << 20, 10), since=1000)


def test_another_disk_does_not_matter(launches: Launches):
    launches.add("other", 9 * GIB, device=8)
    assert blamed(launches.add("a", GIB))


def test_a_launch_that_has_not_looked_yet_is_waited_for_but_not_for_ever(launches: Launches):
    launches.add("other", 0, ago=100)
    ours = launches.add("a", GIB)
    assert not blamed(ours, since=1.0)
    assert blamed(ours, since=4.0)


def test_a_launch_that_has_just_begun_is_waited_for_but_not_for_ever(launches: Launches):
    launches.add("other")
    (launches.root / "other" / records.SHARE).unlink()
    (launches.root / "other" / records.KEEPER).touch()
    ours = launches.add("a", GIB)
    assert not blamed(ours, since=1.0)
    assert blamed(ours, since=4.0)


def test_one_that_is_never_asked_is_not_waited_for(launches: Launches):
    launches.add("other")
    (launches.root / "other" / records.KEEPER).touch()
    renounce(str(launches.root / "other"))
    assert blamed(launches.add("a", GIB), since=0.1)


def test_one_that_still_counts_is_waited_for_but_not_for_ever(launches: Launches):
    launches.add("other", 100, whole=False, ago=0)
    ours = launches.add("a", GIB)
    assert not blamed(ours, since=10.0)
    assert blamed(ours, since=20.0)


def test_one_whose_keeper_is_dead_is_not_waited_for(launches: Launches):
    launches.add("other", 0, ago=100)
    launches.stack.close()
    assert blamed(launches.add("a", GIB))


def test_what_has_just_ended_is_about_to_give_back(launches: Launches):
    launches.add("other", 5 * GIB, ended=True)
    ours = launches.add("a", GIB)
    assert not blamed(ours)
    assert blamed(ours, fell=True)  # and yet it becomes less and less


def test_what_ended_long_ago_or_held_little_gives_nothing_back(launches: Launches):
    launches.add("other", 5 * GIB, ended=True, ago=1000)
    launches.add("small", GIB // 10, ended=True)
    assert blamed(launches.add("a", GIB))


def test_records_that_cannot_be_read_are_nobodys(launches: Launches):
    for name, text in (("empty", ""), ("torn", "5 5"), ("odd", "a b c d e")):
        (launches.root / name).mkdir()
        (launches.root / name / records.SHARE).write_text(text)
    (launches.root / "file").touch()
    assert blamed(launches.add("a", GIB))


def test_no_room_is_needed_to_say_more(launches: Launches):
    shares = launches.add("a")
    path = launches.root / "a" / records.SHARE
    size = path.stat().st_size
    shares.publish(1 << 62, 1 << 40, whole=True)
    assert path.stat().st_size == size
