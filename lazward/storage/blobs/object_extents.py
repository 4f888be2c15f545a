"""Extents as objects of any store obstore knows (S3, Azure, Google, memory), under the same two levels of names as files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import obstore

from lazward.storage.blobs.extents import PIECE, Extents, Written, batches, file_pieces, is_id, new_id


class ObjectExtents(Extents):
    def __init__(self, store: Any):
        self.store = store

    async def write(self, data: bytes | AsyncIterable[bytes], digests: Iterable[Any] = ()) -> Written:
        id, hashes, size = new_id(), list(digests), 0

        def note(batch: list[bytes]) -> bytes:
            nonlocal size
            joined = b"".join(batch)
            size += len(joined)
            for h in hashes:
                h.update(joined)
            return joined

        if isinstance(data, (bytes, bytearray, memoryview)):
            if data:
                await obstore.put_async(self.store, _object(id), note([bytes(data)]), use_multipart=False)
            return Written(id, size, {h.name: h.digest() for h in hashes})
        coming = batches(data, 8 * PIECE)
        first = await anext(coming, [])
        second = await anext(coming, None)
        if second is None:  # small: one request, not a multipart upload
            if first:
                await obstore.put_async(self.store, _object(id), note(first), use_multipart=False)
            return Written(id, size, {h.name: h.digest() for h in hashes})

        async def rest() -> AsyncIterator[bytes]:
            yield note(first)
            yield note(second)
            async for batch in coming:
                yield note(batch)

        await obstore.put_async(self.store, _object(id), rest(), chunk_size=8 * PIECE, max_concurrency=2)
        return Written(id, size, {h.name: h.digest() for h in hashes})

    async def write_file(self, path: Path, *, move: bool = False) -> Written:
        written = await self.write(file_pieces(path))
        if move:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        return written

    async def read(self, id: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        if start >= end:
            return
        if end - start <= 8 * PIECE:
            yield bytes(await obstore.get_range_async(self.store, _object(id), start=start, end=end))
            return
        found = await obstore.get_async(self.store, _object(id), options={"range": (start, end)})
        async for piece in found.stream(min_chunk_size=PIECE):
            yield bytes(piece)

    async def delete(self, ids: Iterable[str]) -> None:
        for path in [_object(id) for id in ids]:
            try:
                await obstore.delete_async(self.store, path)
            except FileNotFoundError:
                pass

    async def listed(self) -> AsyncIterator[tuple[str, float]]:
        for first in range(256):
            async for page in obstore.list(self.store, f"{first:02x}", chunk_size=1000):
                for found in page:
                    name = found["path"].rsplit("/", 1)[-1]
                    if is_id(name):
                        yield name, found["last_modified"].timestamp()


def _object(id: str) -> str:
    if not is_id(id):
        raise ValueError("not the id of an extent")
    return f"{id[:2]}/{id[2:4]}/{id}"
