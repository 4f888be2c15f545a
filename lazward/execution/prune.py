"""Removes environments that nothing uses."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from pathlib import Path

import msgspec

from lazward.execution.file_lock import try_lock

_JUST_USED_S = 3600.0  # what was asked for so lately may be about to be used
_LEFT_OVER_S = 24 * 3600.0


class Pruned(msgspec.Struct, frozen=True):
    """A removed environment. Files that uv's cache or other environments share by hard links are counted too."""

    key: str
    bytes: int
    last_used: float


class Stored(msgspec.Struct, frozen=True):
    """An environment in the cache."""

    key: str
    path: Path
    bytes: int
    last_used: float
    holders: tuple[str, ...]


async def prune(root: Path, keep_bytes: int | None, keep_days: float | None, just_used_s: float = _JUST_USED_S) -> list[Pruned]:
    """See EnvironmentCache.prune. Works in a thread: walking large folders takes seconds."""
    return await asyncio.to_thread(_prune, root, keep_bytes, keep_days, just_used_s)


def stored(root: Path) -> list[Stored]:
    """Every environment, the least recently used first."""
    found = []
    for path in (root / "envs").iterdir():
        found.append(Stored(path.name, path, _size(path), path.stat().st_mtime, tuple(holders(root / "uses" / path.name))))
    return sorted(found, key=lambda s: s.last_used)


def _prune(root: Path, keep_bytes: int | None, keep_days: float | None, just_used_s: float) -> list[Pruned]:
    _left_overs(root)
    environments = stored(root)
    total, now = sum(e.bytes for e in environments), time.time()
    removed = []
    for environment in environments:
        too_old = keep_days is not None and now - environment.last_used > keep_days * 86400
        too_much = keep_bytes is not None and total > keep_bytes
        if (too_old or too_much) and _remove(root, environment, just_used_s):
            total -= environment.bytes
            removed.append(Pruned(environment.key, environment.bytes, environment.last_used))
    return removed


def _remove(root: Path, environment: Stored, just_used_s: float) -> bool:
    handle = try_lock(root / "locks" / f"{environment.key}.lock")
    if handle is None:
        return False
    try:
        if time.time() - environment.path.stat().st_mtime < just_used_s or any(holders(root / "uses" / environment.key)):
            return False
        doomed = root / "tmp" / f"pruned-{environment.key}-{secrets.token_hex(4)}"
        environment.path.rename(doomed)  # in one step: nobody sees half an environment
    except OSError:
        return False
    finally:
        os.close(handle)
    shutil.rmtree(doomed, ignore_errors=True)
    shutil.rmtree(root / "uses" / environment.key, ignore_errors=True)
    return True


def holders(uses: Path) -> list[str]:
    """The folders that use an environment; links to folders that are gone are removed."""
    found = []
    for link in uses.iterdir() if uses.is_dir() else ():
        if link.exists():
            found.append(str(link.readlink()))
        else:
            link.unlink(missing_ok=True)
    return found


def _left_overs(root: Path) -> None:
    """Folders of builds that were killed and of removals that were."""
    for path in (root / "tmp").iterdir():
        try:
            if path.name.startswith("pruned-") or time.time() - path.stat().st_mtime > _LEFT_OVER_S:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def _size(folder: Path) -> int:
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118
            except OSError:
                continue
    return total
