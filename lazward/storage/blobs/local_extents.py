"""Extents as plain files in two levels of folders: half the time of obstore's local store for reads, and files that can be linked.

A file is written under its final name: until the metadata speaks of it nobody looks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from lazward.storage.blobs.extents import PIECE, Extents, Written, batches, is_id, new_id

T = TypeVar("T")


class LocalExtents(Extents):
    def __init__(self, folder: Path, *, fsync: bool = False):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder.resolve()
        self.fsync = fsync
        self._threads = ThreadPoolExecutor(8, "extents")

    async def _run(self, fn: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn, *args)

    def local_path(self, id: str) -> Path:
        if not is_id(id):
            raise ValueError("not the id of an extent")
        return self.folder / id[:2] / id[2:4] / id

    async def write(self, data: bytes | AsyncIterable[bytes], digests: Iterable[Any] = ()) -> Written:
        id, hashes = new_id(), list(digests)
        if isinstance(data, (bytes, bytearray, memoryview)):
            size = await self._run(self._write_whole, id, data, hashes)
            return Written(id, size, {h.name: h.digest() for h in hashes})
        out = _Writing(self, id, hashes)
        going: asyncio.Future[None] | None = None
        try:
            async for batch in batches(data):
                if going is not None:
                    await going
                going = asyncio.ensure_future(self._run(out.add, batch))  # the next piece arrives meanwhile
            if going is not None:
                await going
            await self._run(out.close)
        except BaseException:
            if going is not None and not going.done():
                await asyncio.wait([going])
            await asyncio.shield(self._run(out.discard))
            raise
        return Written(id, out.size, {h.name: h.digest() for h in hashes})

    def _write_whole(self, id: str, data: bytes, hashes: list[Any]) -> int:
        out = _Writing(self, id, hashes)
        try:
            if data:
                out.add([data])
            out.close()
        except BaseException:
            out.discard()
            raise
        return out.size

    async def write_file(self, path: Path, *, move: bool = False) -> Written:
        id = new_id()
        size = await self._run(self._take, path, id, move)
        if not size:
            await self.delete([id])
        return Written(id, size, {})

    def _take(self, path: Path, id: str, move: bool) -> int:
        into = self.local_path(id)
        if move and path.is_file() and not path.is_symlink():
            into.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.utime(path)  # its age as an extent begins now: gc sweeps what is old and belongs to nothing
            try:
                path.rename(into)
            except OSError:  # another file system
                pass
            else:
                into.chmod(0o600)
                return into.stat().st_size
        target = self.open_new(id)
        try:
            with path.open("rb") as source, os.fdopen(target, "wb") as out:
                size = copy_bytes(source.fileno(), out.fileno())
                self.sync(out.fileno(), into)
        except BaseException:
            into.unlink(missing_ok=True)
            raise
        if move:
            path.unlink(missing_ok=True)
        return size

    def open_new(self, id: str) -> int:
        path = self.local_path(id)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return os.open(path, flags, 0o600)

    def sync(self, fd: int, path: Path) -> None:
        """To the disk, when the settings ask for it: the bytes, and the name in its folder."""
        if not self.fsync:
            return
        os.fsync(fd)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def read(self, id: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        path = self.local_path(id)
        if end - start <= PIECE:
            yield await self._run(_read_once, path, start, end)
            return
        fd = await self._run(os.open, path, os.O_RDONLY)
        ahead: asyncio.Future[bytes] | None = None
        try:
            while start < end or ahead is not None:
                piece = await ahead if ahead is not None else None
                ahead = asyncio.ensure_future(self._run(_pread, fd, start, min(end, start + PIECE))) if start < end else None
                start = min(end, start + PIECE)
                if piece is not None:
                    yield piece
        finally:
            if ahead is not None and not ahead.done():
                await asyncio.wait([ahead])
            os.close(fd)

    async def delete(self, ids: Iterable[str]) -> None:
        def unlink(paths: list[Path]) -> None:
            for path in paths:
                path.unlink(missing_ok=True)

        await self._run(unlink, [self.local_path(id) for id in ids])

    async def listed(self) -> AsyncIterator[tuple[str, float]]:
        for first in range(256):
            for found in await self._run(_scan, self.folder / f"{first:02x}"):
                yield found

    def close(self) -> None:
        self._threads.shutdown(wait=True)


class _Writing:
    """One file on its way; every method runs on a thread, one at a time."""

    def __init__(self, extents: LocalExtents, id: str, hashes: list[Any]):
        self.extents, self.id, self.hashes = extents, id, hashes
        self.fd: int | None = None
        self.size = 0

    def add(self, pieces: list[bytes]) -> None:
        if self.fd is None:
            self.fd = self.extents.open_new(self.id)
        for piece in pieces:
            view = memoryview(piece)
            while view:
                done = os.write(self.fd, view)
                view = view[done:]
            self.size += len(piece)
            for h in self.hashes:
                h.update(piece)

    def close(self) -> None:
        if self.fd is None:
            return
        self.extents.sync(self.fd, self.extents.local_path(self.id))
        fd, self.fd = self.fd, None
        os.close(fd)

    def discard(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        self.extents.local_path(self.id).unlink(missing_ok=True)


def copy_bytes(source: int, target: int) -> int:
    """Copies all of one open file to another inside the kernel where it can (sharing blocks on file systems that do); the count."""
    total = 0
    if hasattr(os, "copy_file_range"):
        try:
            while done := os.copy_file_range(source, target, 1 << 30):
                total += done
            return total
        except OSError:  # not between these file systems, or not from this kind of file: go on by hand from where it is
            pass
    with os.fdopen(os.dup(source), "rb", 0) as src, os.fdopen(os.dup(target), "wb", 0) as out:
        while piece := src.read(PIECE):
            view = memoryview(piece)
            while view:
                view = view[out.write(view) :]
            total += len(piece)
    return total


def _read_once(path: Path, start: int, end: int) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return _pread(fd, start, end)
    finally:
        os.close(fd)


def _pread(fd: int, start: int, end: int) -> bytes:
    """Exactly [start, end); OSError when the file is shorter, which an extent never is unless its disk lost it."""
    data = os.pread(fd, end - start, start)
    while len(data) < end - start:
        more = os.pread(fd, end - start - len(data), start + len(data))
        if not more:
            raise OSError(f"an extent ends at {start + len(data)} instead of {end}")
        data += more
    return data


def _scan(folder: Path) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    try:
        inner = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return found
    for entry in inner:
        for file in os.scandir(entry.path):
            if is_id(file.name):
                try:
                    found.append((file.name, file.stat().st_mtime))
                except FileNotFoundError:
                    continue
    return found
