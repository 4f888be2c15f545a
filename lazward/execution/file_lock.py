"""A lock between processes that the kernel gives back when its holder dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def file_lock(path: Path, shared: bool = False, on_wait: Callable[[], None] | None = None) -> AsyncIterator[None]:
    """Waits for the lock of that file; `on_wait` is called before each pause while another holds it. Cancelling gives up."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        pause = 0.02
        while not _take(handle, shared):
            if on_wait:
                on_wait()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        yield
    finally:
        os.close(handle)  # which also unlocks


def try_lock(path: Path) -> int | None:
    """The handle of an exclusive lock (os.close gives it back), None when another holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if _take(handle, shared=False):
        return handle
    os.close(handle)
    return None


def _take(handle: int, shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
