"""Log files of running processes become append blobs as they grow, so clients stream them from the store, wherever that is.

The blob's size is the position, and every append says at which position it belongs: whoever died, was canceled or is late, no line
is lost or there twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazward.contract.errors import ArmError
from lazward.execution.log_files import read_piece
from lazward.storage.blobs.appending import AppendRules

log = logging.getLogger("lazward.worker")

PIECE = 4 << 20  # what the store keeps as it is (FOLD_LIMIT): smaller pieces of a flood would be written several times
FAST, SLOW = 0.2, 2.0  # seconds between looks at a file that grows, and at one that does not


Source = Callable[[int, int], Awaitable[bytes]]  # (start, limit) -> at most so many bytes from there; b"" where there are none yet


@dataclass
class Log:
    """A log whose bytes follow, in its blob, `base` bytes that are there already, and a heading `lead`."""

    read: Source
    base: int = 0
    lead: bytes = b""

    async def piece(self, start: int) -> bytes:
        """Of the heading and the log together, PIECE bytes at most."""
        lead = self.lead[start : start + PIECE]
        return lead + await self.read(max(0, start - len(self.lead)), PIECE - len(lead))


class LogPump:
    """sources: blob name -> where its bytes come from. gate: shared by the pumps of one worker, for how many pieces are in memory."""

    def __init__(self, blobs: Any, account: str, container: str, sources: Mapping[str, Source | Log], gate: asyncio.Semaphore):
        self.blobs = blobs
        self.account = account
        self.container = container
        self.sources = {name: source if isinstance(source, Log) else Log(source) for name, source in sources.items()}
        self.gate = gate
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
        """Copies what is there; True if there was anything. Each log has its turn: one that floods keeps no other waiting."""
        grew = False
        full = list(self.sources)
        while full:
            pending, full = full, []
            for name in pending:
                copied, more = await self._turn(name)
                grew = grew or copied
                if more:
                    full.append(name)
        return grew

    async def _turn(self, name: str) -> tuple[bool, bool]:
        try:
            async with self.gate:
                return await self._copy(name, self.sources[name])
        except ArmError as error:
            if error.status >= 500:  # the store is full: the lines wait in their file
                raise
            # Its job has replaced or removed the blob: its business, and no reason to fail.
            log.warning("the log %s is not copied any further: %s", name, error.message)
            del self.sources[name]
            return False, False

    async def _copy(self, name: str, source: Log) -> tuple[bool, bool]:
        """One piece. Whether there was one, and whether there may be more by now: a piece that is not full ended where the log did."""
        at = self._at.get(name)
        piece = await source.piece(0 if at is None else at - source.base)
        if piece and at is None:
            info = await self.blobs.info(self.account, self.container, name)
            at = info.size if info else 0
            source.base = min(source.base, at)  # somebody may have removed what was there before
            if at > source.base:  # a worker before this one has copied some
                piece = await source.piece(at - source.base)
        if not piece:
            if at is not None:
                self._at[name] = at
            return False, False
        at = at or 0
        self._at.pop(name, None)  # known again once the answer is there
        try:
            await self.blobs.append(self.account, self.container, name, piece, rules=AppendRules(position=at))
        except ArmError as error:
            if error.code != "AppendPositionConditionNotMet":
                raise
            return True, True  # an append that was given up has come through after all: look again where it ends
        self._at[name] = at + len(piece)
        return True, len(piece) == PIECE


def from_file(path: Path) -> Source:
    """A file of our own on this machine."""

    async def read(start: int, limit: int) -> bytes:
        return await asyncio.to_thread(read_piece, path, start, limit)

    return read


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


def tail(path: Path, lines: int = 10, limit: int = 4000) -> str:
    """The last lines of a file, as evidence in an error message."""
    return last_lines(read_piece(path, -2 * limit, 2 * limit), lines, limit)


def last_lines(data: bytes, lines: int = 10, limit: int = 4000) -> str:
    """Of the end of a log: so many lines, and no more than `limit` characters."""
    return "\n".join(data.decode("utf-8", "replace").rstrip().splitlines()[-lines:])[-limit:]
