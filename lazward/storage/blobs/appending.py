"""Appends: small ones are folded into few extents as they come, large ones become extents of their own.

Extents never change, so an append writes a new one and the metadata moves to it only if nobody else did in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from lazward.domain.blobs.conditions import NONE, Conditions
from lazward.domain.blobs.errors import storage_error
from lazward.domain.blobs.layout import FOLD_LIMIT, fold
from lazward.storage.blobs import gc, metadata, records
from lazward.storage.blobs.extents import Extents, batches
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobInfo, BlobKey
from lazward.storage.db import Database


class AppendRules(msgspec.Struct, frozen=True):
    """position: refuse unless the blob has this size. size_limit: refuse to grow beyond. create: make an absent blob."""

    wanted: Conditions = NONE
    position: int | None = None
    size_limit: int | None = None
    create: bool = True


async def append(
    db: Database, extents: Extents, now: Callable[[], float], key: BlobKey, data: bytes | AsyncIterable[bytes], draft: Draft, rules: AppendRules,
    turn: asyncio.Lock, digests: Sequence[Any] = (), verify: Callable[[], None] = lambda: None,
) -> BlobInfo:
    """draft: what an absent blob becomes. turn: the blob's; taken once all data is here, so a slow client keeps nobody waiting.
    verify: called before anything is visible."""
    began = time.monotonic()
    coming = batches(_stream(data), FOLD_LIMIT)
    head = b"".join(await anext(coming, []))
    more = await anext(coming, None)
    if more is None:
        for digest in digests:
            digest.update(head)
        verify()
        async with turn:
            return await _small(db, extents, now, key, head, draft, rules)

    async def whole() -> AsyncIterator[bytes]:
        yield head
        for piece in more:
            yield piece
        async for batch in coming:
            for piece in batch:
                yield piece

    written = await extents.write(whole(), digests)
    try:
        verify()
        gc.check_age(began)
        async with turn:
            while True:
                seen = await _seen(db, key, rules)
                etag = seen.etag if seen else None
                if info := await db.write(metadata.append, key, etag, 0, (written.id, written.size), draft, now(), rules.wanted, rules.size_limit):
                    return info
    except records.NOT_COMMITTED:
        await extents.delete([written.id])
        raise


async def _small(db: Database, extents: Extents, now: Callable[[], float], key: BlobKey, data: bytes, draft: Draft, rules: AppendRules) -> BlobInfo:
    while True:
        seen = await _seen(db, key, rules)
        if seen is not None and not data:
            return seen
        folded = fold([size for _, size in seen.extents], len(data)) if seen else 0
        pieces = []
        for id, size in seen.extents[len(seen.extents) - folded :] if seen and folded else []:
            pieces += [piece async for piece in extents.read(id, 0, size)]
        written = await extents.write(b"".join([*pieces, data]))
        try:
            info = await db.write(metadata.append, key, seen and seen.etag, folded, (written.id, written.size), draft, now(), rules.wanted, rules.size_limit)
        except records.NOT_COMMITTED:
            await extents.delete([written.id])
            raise
        if info:
            return info
        await extents.delete([written.id])  # another process wrote in between: look again


async def _seen(db: Database, key: BlobKey, rules: AppendRules) -> BlobInfo | None:
    seen = await db.read(records.get if rules.create else records.need, key, whole=True)
    size = seen.size if seen else 0
    if rules.position is not None and rules.position != size:
        raise storage_error("AppendPositionConditionNotMet", f"The blob has {size} bytes.")
    return seen


async def _stream(data: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(data, (bytes, bytearray, memoryview)):
        yield bytes(data)
    else:
        async for piece in data:
            yield piece
