"""Log files of running processes become append blobs as they grow, so clients stream them from the store, wherever that is.

The blob's size is the position, and every append says at which position it belongs: whoever died, was canceled or is late, no line
is lost or there twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from lazward.contract.errors import ArmError
from lazward.storage.blobs.appending import AppendRules

log = logging.getLogger("lazward.worker")

PIECE = 1 << 20
FAST, SLOW = 0.2, 2.0  # seconds between looks at a file that grows, and at one that does not


class LogPump:
    """files: blob name -> local file."""

    def __init__(self, blobs: Any, account: str, container: str, files: dict[str, Path]):
        self.blobs = blobs
        self.account = account
        self.container = container
        self.files = dict(files)
        self._at: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def running(self, first_s: float = 0.0) -> AsyncIterator[None]:
        """Copies what comes while the block runs, and at its end what is left; raises if that cannot be. first_s: until the first look."""
        stop = asyncio.Event()
        pumping = asyncio.create_task(self._run(stop, first_s))
        ended_well = False
        try:
            yield
            ended_well = True
        finally:
            stop.set()
            await pumping
            if not ended_well:
                await self._look()  # the block's own failure is the one to be told
        await self.drain()

    async def _run(self, stop: asyncio.Event, first_s: float) -> None:
        if first_s:
            await _within(stop, first_s)
        pause = FAST
        while not stop.is_set():  # what is left then is for running() to copy
            pause = FAST if await self._look() else min(SLOW, pause * 1.5)
            await _within(stop, pause)

    async def _look(self) -> bool:
        """drain() that can fail: the store is away, or full, for a while, and the lines wait in their file."""
        try:
            return await self.drain()
        except Exception:
            log.warning("a log could not be copied to the store; trying again", exc_info=True)
            return False

    async def drain(self) -> bool:
        """Copies what is there; True if there was anything."""
        grew = False
        for name, path in list(self.files.items()):
            try:
                while (copied := await self._copy(name, path)) is not None:
                    grew = True
                    if copied < PIECE:  # the file's end, or what was it a moment ago
                        break
            except ArmError as error:
                if error.status >= 500:  # the store is full: the lines wait in their file
                    raise
                # Its job has replaced or removed the blob: its business, and no reason to fail.
                log.warning("the log %s is not copied any further: %s", name, error.message)
                del self.files[name]
        return grew

    async def _copy(self, name: str, path: Path) -> int | None:
        """Copies the next piece; its length, None when there was none."""
        at = self._at.get(name)
        piece = await asyncio.to_thread(_read, path, at or 0)
        if piece and at is None:
            info = await self.blobs.info(self.account, self.container, name)
            if at := info.size if info else 0:  # a worker before this one has copied some
                piece = await asyncio.to_thread(_read, path, at)
        if not piece:
            if at is not None:
                self._at[name] = at
            return None
        at = at or 0
        self._at.pop(name, None)  # known again once the answer is there
        try:
            await self.blobs.append(self.account, self.container, name, piece, rules=AppendRules(position=at))
        except ArmError as error:
            if error.code != "AppendPositionConditionNotMet":
                raise
            return PIECE  # an append that was given up has come through after all: look again where it ends
        self._at[name] = at + len(piece)
        return len(piece)


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


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or that long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


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
