"""Caches are kept within their limits; what is in use stays, and a prune that is killed leaves nothing half."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lazward.domain.settings import Settings
from lazward.execution.environments import EnvironmentCache
from lazward.orchestration import housekeeping
from lazward.orchestration.housekeeping import DAY_S, EVERY_S, HOUR_S, keep_house, prune_caches
from lazward.storage import tasks

LONG_AGO = 1e9


def runtime_of(folder: Path, **settings: Any) -> Any:
    return SimpleNamespace(settings=Settings(data_dir=str(folder), **settings), data_dir=folder, environments=EnvironmentCache(folder / "envs"))


def environment(folder: Path, key: str, used: float = LONG_AGO, held_by: Path | None = None) -> Path:
    """As a build leaves it: two files of 1000 bytes each."""
    made = folder / "envs" / "envs" / key
    made.mkdir(parents=True)
    for name in ("a", "b"):
        (made / name).write_bytes(b"x" * 1000)
    os.utime(made, (used, used))
    if held_by:
        uses = folder / "envs" / "uses" / key
        uses.mkdir(parents=True)
        (uses / "holder").symlink_to(held_by)
    return made


def keys(folder: Path) -> set[str]:
    return {path.name for path in (folder / "envs" / "envs").iterdir()}


class TestPrune:
    async def test_environments_beyond_the_size_go_and_those_in_use_stay(self, tmp_path: Path):
        runtime = runtime_of(tmp_path, environments_max_bytes=4000, environments_max_days=0)
        environment(tmp_path, "held", held_by=tmp_path)
        for day, key in enumerate(("oldest", "older", "newest")):
            environment(tmp_path, key, LONG_AGO + (day + 1) * DAY_S)
        await prune_caches(runtime)
        assert keys(tmp_path) == {"held", "newest"}

    async def test_environments_go_by_age(self, tmp_path: Path):
        runtime = runtime_of(tmp_path)
        assert runtime.settings.environments_max_bytes == 0 and runtime.settings.environments_max_days == 90
        environment(tmp_path, "held", held_by=tmp_path)
        environment(tmp_path, "old")
        await prune_caches(runtime)
        assert keys(tmp_path) == {"held"}

    async def test_without_limits_all_stay(self, tmp_path: Path):
        environment(tmp_path, "old")
        await prune_caches(runtime_of(tmp_path, environments_max_days=0))
        assert keys(tmp_path) == {"old"}

    async def test_inputs_beyond_the_size_go_and_those_that_a_job_has_stay(self, tmp_path: Path):
        cache = tmp_path / "cache" / "inputs"
        (cache / "aa").mkdir(parents=True)
        for name in ("used", "unused"):
            (cache / "aa" / name).write_bytes(b"x" * 1000)
        os.link(cache / "aa" / "used", tmp_path / "input.bin")
        await prune_caches(runtime_of(tmp_path, input_cache_bytes=1500))
        assert [path.name for path in (cache / "aa").iterdir()] == ["used"]
        await prune_caches(runtime_of(tmp_path, input_cache_bytes=0))
        assert (tmp_path / "input.bin").read_bytes() == b"x" * 1000

    async def test_killed_in_the_middle_it_leaves_whole_environments_and_the_next_clears_up(self, tmp_path: Path):
        for number in range(60):
            environment(tmp_path, f"e{number}", held_by=tmp_path if number % 2 else None)
        script = (
            "import asyncio, os, shutil, signal, sys\n"
            "from pathlib import Path\n"
            "from tests.orchestration.test_housekeeping import prune_caches, runtime_of\n"
            "real, count = shutil.rmtree, [0]\n"
            "def dying(path, *args, **kwargs):\n"
            "    if 'pruned-' in str(path) and (count.append(1) or len(count) > 10):\n"
            "        os.unlink(Path(path) / 'a')\n"  # in the middle of one removal
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return real(path, *args, **kwargs)\n"
            "shutil.rmtree = dying\n"
            "asyncio.run(prune_caches(runtime_of(Path(sys.argv[1]))))\n"
        )
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, str(tmp_path)], env=environ, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        left = keys(tmp_path)
        assert 30 < len(left) < 60
        assert all((tmp_path / "envs" / "envs" / key / "a").exists() for key in left)
        assert list((tmp_path / "envs" / "tmp").iterdir())
        await prune_caches(runtime_of(tmp_path))
        assert keys(tmp_path) == {f"e{number}" for number in range(1, 60, 2)}
        assert not list((tmp_path / "envs" / "tmp").iterdir())


class Rounds:
    """Work as the worker hands it over, and what it did. now moves by hand."""

    def __init__(self, folder: Path) -> None:
        self.done: list[str] = []
        self.state: dict[str, Any] = {}
        self.at = LONG_AGO

        async def note(name: str) -> None:
            self.done.append(name)

        self.services = SimpleNamespace(
            blobs=SimpleNamespace(collect=lambda: note("collect"), sweep=lambda: note("sweep")), db=SimpleNamespace(write=lambda fn, before: note("forget")),
            settings=Settings(data_dir=str(folder)),
        )

    def now(self) -> float:
        return self.at

    async def checkpoint(self, **changes: Any) -> None:
        self.state |= changes

    async def round(self) -> list[str]:
        self.done.clear()
        outcome = await keep_house(self)  # type: ignore[arg-type]
        assert (outcome.status, outcome.delay) == ("InProgress", EVERY_S)
        return list(self.done)


async def test_each_has_its_own_pace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "run").mkdir()
    work = Rounds(tmp_path)

    async def pruned(runtime: Any) -> None:
        work.done.append("prune")

    async def emptied(runtime: Any) -> int:
        work.done.append("empty")
        return 0

    monkeypatch.setattr(housekeeping, "prune_caches", pruned)
    monkeypatch.setattr(housekeeping, "empty_old", emptied)
    assert await work.round() == ["forget", "prune", "empty", "collect", "sweep"]
    work.at += EVERY_S
    assert await work.round() == ["forget", "collect"]
    work.at += HOUR_S
    assert await work.round() == ["forget", "prune", "empty", "collect"]
    work.at += DAY_S
    assert await work.round() == ["forget", "prune", "empty", "collect", "sweep"]


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
