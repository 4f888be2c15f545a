"""Log files of running processes become append blobs as they grow, so clients stream them from the store, wherever that is.

The blob's size is the position: after a restart the pump goes on where the last acknowledged append ended.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIECE = 1 << 20
FAST, SLOW = 0.2, 2.0  # seconds between looks at a file that grows, and at one that does not


class LogPump:
    """files: blob name -> local file. Blob names may come with a `rewrite` (bytes -> bytes) for redaction."""

    def __init__(self, blobs: Any, account: str, container: str, files: dict[str, Path]):
        self.blobs = blobs
        self.account = account
        self.container = container
        self.files = files
        self._at: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled; call drain() after the processes have ended."""
        pause = FAST
        while True:
            grew = await self.drain()
            pause = FAST if grew else min(SLOW, pause * 1.5)
            await asyncio.sleep(pause)

    async def drain(self) -> bool:
        """Copies what is there; True if there was anything."""
        grew = False
        for name, path in self.files.items():
            if name not in self._at:
                info = await self.blobs.info(self.account, self.container, name)
                self._at[name] = info.size if info else 0
            while True:
                piece = await asyncio.to_thread(_read, path, self._at[name])
                if not piece:
                    break
                await self.blobs.append(self.account, self.container, name, piece)
                self._at[name] += len(piece)
                grew = True
        return grew


class LineLog:
    """A log of our own lines (preparation, environment build): buffered, written to a local file and pumped like any other."""

    def __init__(self, path: Path, clock: Callable[[], str] | None = None):
        self.path = path
        self.clock = clock
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, text: str) -> None:
        stamp = f"[{self.clock()}] " if self.clock else ""
        with self.path.open("a", encoding="utf-8", errors="replace") as out:
            for line in text.splitlines() or [""]:
                out.write(f"{stamp}{line}\n")


def _read(path: Path, start: int) -> bytes:
    try:
        with path.open("rb") as source:
            source.seek(0, os.SEEK_END)
            if source.tell() <= start:
                return b""
            source.seek(start)
            return source.read(PIECE)
    except FileNotFoundError:
        return b""


def tail(path: Path, lines: int = 10, limit: int = 4000) -> str:
    """The last lines of a file, as evidence in an error message."""
    try:
        with path.open("rb") as source:
            source.seek(0, os.SEEK_END)
            source.seek(max(0, source.tell() - limit * 2))
            text = source.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])[-limit:]
