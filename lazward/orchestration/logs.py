"""Log files of running processes become append blobs as they grow, so clients stream them from the store, wherever that is.

The blob's size is the position, and every append says at which position it belongs: whoever died, was canceled or is late, no line
is lost or there twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazward.contract.errors import ArmError
from lazward.storage.blobs.appending import AppendRules

log = logging.getLogger("lazward.worker")

PIECE = 1 << 20
FAST, SLOW = 0.2, 2.0  # seconds between looks at a file that grows, and at one that does not


@dataclass
class LogFile:
    """A local file whose lines follow, in its blob, `base` bytes that are there already, and a heading `lead`."""

    path: Path
    base: int = 0
    lead: bytes = b""


class LogPump:
    """files: blob name -> local file."""

    def __init__(self, blobs: Any, account: str, container: str, files: Mapping[str, Path | LogFile]):
        self.blobs = blobs
        self.account = account
        self.container = container
        self.files = {name: file if isinstance(file, LogFile) else LogFile(file) for name, file in files.items()}
        self._at: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Copies what comes while the block runs, and at its end what is left; raises if that cannot be."""
        stop = asyncio.Event()
        pumping = asyncio.create_task(self._run(stop))
        try:
            yield
        finally:
            stop.set()
            await pumping
        await self.drain()

    async def _run(self, stop: asyncio.Event) -> None:
        pause = FAST
        while True:
            last = stop.is_set()
            try:
                grew = await self.drain()
            except Exception:  # the store is away, or full, for a while: the lines wait in their file
                log.warning("a log could not be copied to the store; trying again", exc_info=True)
                grew = False
            if last:
                return
            pause = FAST if grew else min(SLOW, pause * 1.5)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    async def drain(self) -> bool:
        """Copies what is there; True if there was anything."""
        grew = False
        for name, file in list(self.files.items()):
            try:
                while await self._copy(name, file):
                    grew = True
            except ArmError as error:
                if error.status >= 500:  # the store is full: the lines wait in their file
                    raise
                # Its job has replaced or removed the blob: its business, and no reason to fail.
                log.warning("the log %s is not copied any further: %s", name, error.message)
                del self.files[name]
        return grew

    async def _copy(self, name: str, file: LogFile) -> bool:
        at = self._at.get(name)
        if at is None:
            info = await self.blobs.info(self.account, self.container, name)
            at = info.size if info else 0
        file.base = min(file.base, at)  # shorter than it was: somebody has removed what was there before
        piece = await asyncio.to_thread(_read, file, at - file.base)
        if not piece:
            self._at[name] = at
            return False
        self._at.pop(name, None)  # known again once the answer is there
        try:
            await self.blobs.append(self.account, self.container, name, piece, rules=AppendRules(position=at))
        except ArmError as error:
            if error.code != "AppendPositionConditionNotMet":
                raise
            return True  # an append that was given up has come through after all: look again where it ends
        self._at[name] = at + len(piece)
        return True


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


def _read(file: LogFile, start: int) -> bytes:
    """start: in the heading and the file together."""
    if start < len(file.lead):
        return file.lead[start:]
    start -= len(file.lead)
    try:
        with file.path.open("rb") as source:
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
