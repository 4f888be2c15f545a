"""Extents: the bytes of blobs, as files or objects that are written once, never changed, and named by ids made here.

An extent that no metadata speaks of is garbage, so writing one needs no care: a crash leaves something for gc to sweep. A blob's
name never becomes part of a path.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

PIECE = 1 << 20  # bytes handed on at a time: what an upload or download holds in memory, times two
_ID = re.compile(r"[0-9a-f]{32}\Z")


class Written(msgspec.Struct, frozen=True):
    id: str
    size: int
    digests: dict[str, bytes]  # of those asked for, by name


class Extents(ABC):
    """read() and write() may be called from any number of tasks."""

    @staticmethod
    def from_url(url: str, *, fsync: bool = False) -> Extents:
        """url: file:///folder or an absolute path; s3://, az:// and gs:// as obstore reads them, with the credentials of its
        environment variables; memory:// for tests. fsync: files survive a power cut once written (slow)."""
        scheme = urlsplit(url).scheme if not url.startswith("/") else "file"
        if scheme == "file":
            from lazward.storage.blobs.local_extents import LocalExtents

            return LocalExtents(Path(url if url.startswith("/") else unquote(urlsplit(url).path)), fsync=fsync)
        from obstore.store import from_url

        from lazward.storage.blobs.object_extents import ObjectExtents

        return ObjectExtents(from_url("memory:///" if scheme == "memory" else url))

    @abstractmethod
    async def write(self, data: bytes | AsyncIterable[bytes], digests: Iterable[Any] = ()) -> Written:
        """digests: objects with name, update(bytes) and digest(), fed with everything that is written. Of nothing nothing is stored."""

    @abstractmethod
    async def write_file(self, path: Path, *, move: bool = False) -> Written:
        """The bytes of a local file. move: the caller gives the file up, nobody has it open."""

    @abstractmethod
    def read(self, id: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """[start, end) in pieces. FileNotFoundError for what is gone."""

    @abstractmethod
    async def delete(self, ids: Iterable[str]) -> None:
        """What is not there is fine."""

    @abstractmethod
    def listed(self) -> AsyncIterator[tuple[str, float]]:
        """(id, time of writing) of everything there is, in groups of like beginnings."""

    def local_path(self, id: str) -> Path | None:
        """Where the extent is a file of this machine; never to be written to."""
        return None

    def close(self) -> None:  # noqa: B027 - nothing to close where there are no threads
        pass


def new_id() -> str:
    return uuid.uuid4().hex


def is_id(text: str) -> bool:
    return _ID.match(text) is not None


async def batches(data: AsyncIterable[bytes], size: int = PIECE) -> AsyncIterator[list[bytes]]:
    """The stream's pieces, gathered to about `size` bytes each, uncopied."""
    batch: list[bytes] = []
    gathered = 0
    async for piece in data:
        batch.append(piece)
        gathered += len(piece)
        if gathered >= size:
            yield batch
            batch, gathered = [], 0
    if batch:
        yield batch


async def file_pieces(path: Path) -> AsyncIterator[bytes]:
    source = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(source.read, PIECE):
            yield piece
    finally:
        source.close()


def md5() -> Any:
    return hashlib.md5(usedforsecurity=False)
