"""The blob store: bytes to extents first, then one transaction that makes them a blob. The one door for the rest of the product."""

from __future__ import annotations

import asyncio
import errno
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from lazward.domain.blobs.conditions import ABSENT, NONE, Conditions
from lazward.domain.blobs.errors import storage_error
from lazward.domain.blobs.layout import Layout
from lazward.domain.blobs.names import check_blob, check_header, check_meta
from lazward.storage.blobs import blocks, containers, gc, listing, materialize, metadata, records
from lazward.storage.blobs.appending import AppendRules, append
from lazward.storage.blobs.extents import Extents, Written
from lazward.storage.blobs.listing import BlobPage
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import DIRECTORY, BlobInfo, BlobKey
from lazward.storage.db import Database, Tx

_LAYOUTS = 256


class BlobStore:
    """Methods that name a blob raise ArmError 404 ContainerNotFound where the container is not; see ensure_container."""

    def __init__(self, db: Database, extents: Extents, now: Callable[[], float]):
        self.db = db
        self.extents = extents
        self.now = now
        self._layouts: OrderedDict[str, Layout] = OrderedDict()  # by etag, which is never given twice
        self._turns: WeakValueDictionary[BlobKey, asyncio.Lock] = WeakValueDictionary()

    async def ensure_container(self, account: str, container: str) -> None:
        if await self.db.read(records.get_container, account, container) is None:
            await self.db.write(containers.ensure, account, container, self.now())

    async def put(
        self, account: str, container: str, name: str, data: bytes | AsyncIterable[bytes], *, headers: dict[str, str] | None = None,
        meta: dict[str, str] | None = None, if_none_match_any: bool = False,
    ) -> BlobInfo:
        """Creates or replaces a blob; ArmError 409 with if_none_match_any when there is one. headers as in BlobInfo."""
        written = await self.write(data)
        return await self.commit(BlobKey(account, container, name), [written], headers or {}, meta or {}, wanted=ABSENT if if_none_match_any else NONE)

    async def put_file(
        self, account: str, container: str, name: str, path: Path, *, headers: dict[str, str] | None = None, meta: dict[str, str] | None = None,
        move: bool = False,
    ) -> BlobInfo:
        """Uploads a local file without reading it into memory. It is copied inside the kernel (sharing its blocks where the file
        system can), since its owner may still change it; with move=True it is taken over."""
        with _room():
            written = await self.extents.write_file(path, move=move)
        return await self.commit(BlobKey(account, container, name), [written], headers or {}, meta or {})

    async def append(
        self, account: str, container: str, name: str, data: bytes | AsyncIterable[bytes], *, headers: dict[str, str] | None = None,
        meta: dict[str, str] | None = None, rules: AppendRules | None = None, digests: Sequence[Any] = (), verify: Callable[[], None] = lambda: None,
    ) -> BlobInfo:
        """Adds to the end of an append blob, making it (with headers and meta) when it is absent. Atomic; appends of one process come
        in the order of the calls, those of other processes in between."""
        key = BlobKey(account, container, check_blob(name))
        draft = Draft("AppendBlob", headers=checked_headers(headers or {}), meta=check_meta(meta or {}))
        turn = self._turns.setdefault(key, asyncio.Lock())
        with _room():
            return await append(self.db, self.extents, self.now, key, data, draft, rules or AppendRules(), turn, digests, verify)

    async def info(self, account: str, container: str, name: str) -> BlobInfo | None:
        """None where there is no such blob, or no such container."""
        return await self.db.read(records.get, BlobKey(account, container, name), whole=True)

    async def find(self, key: BlobKey) -> tuple[BlobInfo, Layout]:
        """A blob (without its extents) and where its bytes are; ArmError 404. What the data of large blobs is read by: their
        layouts are kept, so that a range costs no more than the extents it touches."""

        def look(tx: Tx) -> tuple[BlobInfo, Layout]:
            info = records.need(tx, key)
            layout = self._layouts.get(info.etag)
            return info, layout if layout is not None else Layout(records.extents_of(tx, key))

        info, layout = await self.db.read(look)
        if len(layout.extents) > 1:
            self._layouts[info.etag] = layout
            self._layouts.move_to_end(info.etag)
            while len(self._layouts) > _LAYOUTS:
                self._layouts.popitem(last=False)
        return info, layout

    async def read(self, account: str, container: str, name: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """[start, end) in pieces of at most about a mebibyte; ArmError 404. One version of the blob, whatever happens to it meanwhile."""
        _, layout = await self.find(BlobKey(account, container, name))
        async with aclosing(self.pieces(layout, start, layout.size if end is None else end)) as pieces:
            async for piece in pieces:
                yield piece

    async def pieces(self, layout: Layout, start: int, end: int) -> AsyncGenerator[bytes, None]:
        for id, low, high in layout.pieces(start, end):
            async with aclosing(self.extents.read(id, low, high)) as pieces:
                async for piece in pieces:
                    yield piece

    async def read_all(self, account: str, container: str, name: str) -> bytes:
        return b"".join([piece async for piece in self.read(account, container, name)])

    async def list(self, account: str, container: str, prefix: str = "", delimiter: str = "", marker: str = "", limit: int = 5000) -> BlobPage:
        """Blobs in the order of their names, without their extents; with a delimiter, what shares a prefix up to it is folded."""
        return await self.db.read(listing.page, account, container, prefix, delimiter, marker, limit)

    async def delete(self, account: str, container: str, name: str) -> bool:
        """False when there is none."""
        return await self.db.write(metadata.delete, BlobKey(account, container, name), self.now())

    async def delete_prefix(self, account: str, container: str, prefix: str) -> int:
        """Every blob whose name starts so, leases or not; how many. Atomic for each blob, not for all."""

        def some(tx: Tx) -> int:
            found = listing.page(tx, account, container, prefix, limit=500, whole=True).blobs
            metadata.drop(tx, found, self.now())
            return len(found)

        total = 0
        if await self.db.read(records.get_container, account, container) is None:
            return 0
        while count := await self.db.write(some):
            total += count
        return total

    async def delete_account(self, account: str) -> None:
        """All containers of an account, in one transaction; gc takes the bytes."""
        await self.db.write(containers.delete_account, account)

    async def materialize(self, account: str, container: str, prefix_or_name: str, dest: Path, *, cache: Path) -> list[Path]:
        """Read-only local files for job inputs: see materialize.materialize."""
        return await materialize.materialize(self.db, self.extents, account, container, prefix_or_name, dest, cache=cache)

    async def collect(self) -> gc.Collected:
        """Run every minute or so."""
        return await gc.collect(self.db, self.extents, self.now())

    async def sweep(self) -> int:
        """Run once a day."""
        return await gc.sweep(self.db, self.extents)

    def close(self) -> None:
        self.extents.close()

    # ---- for the HTTP surface ------------------------------------------------------------------------------------------------

    async def write(self, data: bytes | AsyncIterable[bytes], digests: Sequence[Any] = ()) -> Written:
        """Bytes that belong to nothing yet: commit() or stage() them, or discard() them."""
        began = time.monotonic()
        with _room():
            written = await self.extents.write(data, digests)
        try:
            gc.check_age(began)
        except records.NOT_COMMITTED:
            await self.discard(written)
            raise
        return written

    async def discard(self, *parts: Written) -> None:
        await self.extents.delete([part.id for part in parts])

    async def commit(
        self, key: BlobKey, parts: Sequence[Written], headers: dict[str, str], meta: dict[str, str], *, wanted: Conditions = NONE,
        tags: dict[str, str] | None = None, kind: str = "", access: dict[str, str] | None = None,
    ) -> BlobInfo:
        """Makes the blob of these parts, or discards them."""
        try:
            check_blob(key.name)
            extents = [(part.id, part.size) for part in parts if part.size]
            if not kind:
                kind = "Directory" if meta.get(DIRECTORY, "").lower() == "true" and not extents else "BlockBlob"
            draft = Draft(kind, extents, checked_headers(headers), check_meta(meta), tags, access, 0 if kind == "AppendBlob" else None)
            return await self.db.write(metadata.put, key, draft, self.now(), wanted)
        except records.NOT_COMMITTED:
            await self.discard(*parts)
            raise

    async def stage(self, key: BlobKey, block_id: str, part: Written, lease: str = "", *, must_exist: bool = False) -> None:
        try:
            await self.db.write(blocks.stage, key, block_id, (part.id, part.size), self.now(), lease, must_exist=must_exist)
        except records.NOT_COMMITTED:
            await self.discard(part)
            raise


@contextmanager
def _room() -> Iterator[None]:
    """A full disk is said, not an unknown error."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise storage_error("InsufficientStorage") from error
        raise


def checked_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        check_header(name, value)
    return dict(headers)
