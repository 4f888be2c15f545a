"""Log files of the parts: rotation by size, last lines.

A part writes to its file itself (opened for append) and does not notice the rotation: the file is copied, then emptied. So a part that outlives
the supervisor (the gateway) goes on logging; lines written between the copy and the emptying, microseconds apart, are lost.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_TAIL_BYTES = 64 * 1024


def open_log(path: Path) -> int:
    """A file descriptor for append; the file is made with mode 0600."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def append(path: Path, line: str) -> None:
    fd = open_log(path)
    try:
        os.write(fd, line.rstrip("\n").encode("utf-8", "replace") + b"\n")
    finally:
        os.close(fd)


def rotate(path: Path, max_bytes: int, keep: int) -> bool:
    """When `path` is larger: x.log.1 -> x.log.2 ... up to `keep`, x.log -> x.log.1, x.log empty. Returns whether it did."""
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep, 1, -1):
        older = numbered(path, number - 1)
        if older.exists():
            older.replace(numbered(path, number))
    if keep:
        with path.open("rb") as source, os.fdopen(os.open(numbered(path, 1), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            shutil.copyfileobj(source, target)
    os.truncate(path, 0)
    return True


def numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def last_lines(path: Path, count: int, since: int = 0) -> list[str]:
    """The last lines that are not blank, from byte `since` on; fewer where the file has fewer."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if since > end:  # rotated meanwhile
                since = 0
            file.seek(max(since, end - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:] if count else []
