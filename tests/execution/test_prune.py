"""Pruning removes what is least recently used, and nothing that is in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazward.execution.file_lock import file_lock
from lazward.execution.prune import prune, stored


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three environments of 1000 bytes: a was used longest ago."""
    for name in ("envs", "uses", "locks", "tmp"):
        (tmp_path / name).mkdir()
    for day, key in enumerate("abc"):
        folder = tmp_path / "envs" / key
        folder.mkdir()
        (folder / "file").write_bytes(b"x" * 1000)
        os.utime(folder, (1e9 + day * 86400,) * 2)
    return tmp_path


def keys(root: Path) -> set[str]:
    return {p.name for p in (root / "envs").iterdir()}


async def test_removes_the_least_recently_used_down_to_a_size(root: Path) -> None:
    removed = await prune(root, keep_bytes=2000, keep_days=None)
    assert [(r.key, r.bytes) for r in removed] == [("a", 1000)]
    assert keys(root) == {"b", "c"}
    assert not list((root / "tmp").iterdir())


async def test_removes_what_was_not_used_for_days(root: Path) -> None:
    os.utime(root / "envs/c")
    await prune(root, keep_bytes=None, keep_days=1)
    assert keys(root) == {"c"}


async def test_without_a_limit_nothing_is_removed(root: Path) -> None:
    assert await prune(root, None, None) == []
    assert keys(root) == {"a", "b", "c"}


async def test_what_was_just_used_stays(root: Path) -> None:
    os.utime(root / "envs/b")
    await prune(root, keep_bytes=0, keep_days=None)
    assert keys(root) == {"b"}


async def test_what_a_folder_holds_stays_until_the_folder_is_gone(root: Path) -> None:
    job = root / "job"
    job.mkdir()
    (root / "uses/a").mkdir()
    (root / "uses/a/1").symlink_to(job)
    await prune(root, keep_bytes=0, keep_days=None)
    assert keys(root) == {"a"}
    assert stored(root)[0].holders == (str(job),)
    job.rmdir()
    await prune(root, keep_bytes=0, keep_days=None)
    assert keys(root) == set()
    assert not (root / "uses/a").exists()


async def test_what_is_locked_stays(root: Path) -> None:
    async with file_lock(root / "locks/a.lock", shared=True):
        await prune(root, keep_bytes=0, keep_days=None)
    assert keys(root) == {"a"}


async def test_left_overs_of_killed_builds_and_removals_go(root: Path) -> None:
    for name in ("pruned-x", "old-build", "new-build"):
        (root / "tmp" / name).mkdir()
    os.utime(root / "tmp/old-build", (1e9, 1e9))
    await prune(root, None, None)
    assert [p.name for p in (root / "tmp").iterdir()] == ["new-build"]
