"""Reading a growing log that belongs to a process we do not trust: it may have put a link or a pipe in its place."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_piece(path: str | bytes | Path, start: int, limit: int) -> bytes:
    """At most `limit` bytes from `start`, where a negative start counts from the end. b"" when there is nothing there (yet), or no
    regular file of that name."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            return b""
        if start < 0:
            start = max(0, facts.st_size + start)
        return os.pread(fd, limit, start) if start < facts.st_size else b""
    finally:
        os.close(fd)
