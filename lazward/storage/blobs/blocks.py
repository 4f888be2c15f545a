"""Staged blocks and their commit: Put Block, Put Block List, and the Data Lake's append and flush.

A block of the Data Lake endpoint is staged under "@" and its position, which no Base64 id can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.domain.blobs import leases
from lazward.domain.blobs.conditions import NONE, Conditions, check_write
from lazward.domain.blobs.errors import storage_error
from lazward.storage.blobs import references
from lazward.storage.blobs.metadata import Draft, of_blob
from lazward.storage.blobs.records import BlobInfo, BlobKey, get, look, need, new_etag, params, store
from lazward.storage.db import Tx
from lazward.storage.tables import blob as b
from lazward.storage.tables import block as k
from lazward.storage.tables import container as c

MAX_COMMITTED = 50_000
_BESIDE = (
    sa.select(b.c.lease, b.c.kind)
    .select_from(c.outerjoin(b, sa.and_(b.c.account == c.c.account, b.c.container == c.c.name, b.c.name == sa.bindparam("k_name"))))
    .where(c.c.account == sa.bindparam("k_account"), c.c.name == sa.bindparam("k_container"))
)


def _upsert(insert: Any) -> Any:
    statement = insert(k)
    fresh = {name: statement.excluded[name] for name in ("extent", "size", "created")}
    return statement.on_conflict_do_update(index_elements=["account", "container", "blob", "block_id"], set_=fresh)


_STAGE = {True: _upsert(sqlite.insert), False: _upsert(postgresql.insert)}


def stage(tx: Tx, key: BlobKey, block_id: str, extent: tuple[str, int], now: float, lease: str = "", *, must_exist: bool = False) -> None:
    """One statement to look, one to write. A block staged again under its id replaces the first, whose extent gc sweeps.
    must_exist: the blob has to be there already (the Data Lake's rule)."""
    found = tx.execute(_BESIDE, params(key)).first()
    if found is None:
        raise storage_error("ContainerNotFound", target=key.container[:80])
    if found.kind not in (None, "BlockBlob"):
        raise storage_error("InvalidBlobType", f"There is a {found.kind} of this name.")
    if must_exist and found.kind is None:
        raise storage_error("BlobNotFound", target=key.name[:80])
    leases.check_write(found.lease, lease, now)
    values = {"account": key.account, "container": key.container, "blob": key.name, "block_id": block_id, "extent": extent[0], "size": extent[1], "created": now}
    tx.execute(_STAGE[tx.sqlite], values)


def commit(tx: Tx, key: BlobKey, wanted_blocks: Sequence[tuple[str, str]], draft: Draft, now: float, wanted: Conditions = NONE) -> BlobInfo:
    """wanted_blocks: (Committed | Uncommitted | Latest, id) in order. The blob becomes these; every other block is gone."""
    if len(wanted_blocks) > MAX_COMMITTED:
        raise storage_error("BlockCountExceedsLimit", f"At most {MAX_COMMITTED} blocks make a blob.")
    old, _ = look(tx, key)
    check_write(wanted, old.etag if old else None, old.modified if old else 0.0)
    lease = leases.check_write(old.lease if old else None, wanted.lease, now)
    if old and old.kind != "BlockBlob":
        raise storage_error("InvalidBlobType", f"There is a {old.kind} of this name.")
    rows = tx.execute(sa.select(k.c.block_id, k.c.extent, k.c.size).where(of_blob(key))).all()
    staged = {row.block_id: (row.extent, row.size) for row in rows}
    committed = _committed(old)
    places = {"Committed": (committed,), "Uncommitted": (staged,), "Latest": (staged, committed)}
    extents = []
    for kind, block_id in wanted_blocks:
        found = next((place[block_id] for place in places[kind] if block_id in place), None)
        if found is None:
            raise storage_error("InvalidBlockList", f"The block '{block_id[:90]}' is not among the {kind.lower()} blocks.", "blocklist")
        extents.append(found)
    draft.extents, draft.blocks = extents, [block_id for _, block_id in wanted_blocks]
    info = BlobInfo(
        *key, "BlockBlob", sum(size for _, size in extents), new_etag(), extents, draft.headers, draft.meta, old.created if old else now, now,
        draft.tags, old.access if old else None, lease, draft.blocks,
    )
    store(tx, info, fresh=old is None)
    before = [id for id, _ in old.extents] if old else []
    references.replace(tx, [*before, *(row.extent for row in rows)], [id for id, _ in extents], now)
    tx.execute(sa.delete(k).where(of_blob(key)))
    return info


def listed(tx: Tx, key: BlobKey, lease: str, now: float) -> tuple[BlobInfo | None, list[tuple[str, int]], list[tuple[str, int]]]:
    """The blob if there is one, its committed blocks and the uncommitted ones: (id, bytes)."""
    info = get(tx, key, whole=True)
    rows = tx.execute(sa.select(k.c.block_id, k.c.size).where(of_blob(key), ~k.c.block_id.startswith("@")).order_by(k.c.created, k.c.block_id)).all()
    if info is None and not rows:
        need(tx, key)
    if info is not None:
        leases.check_read(info.lease, lease, now)
    return info, [(id, size) for id, (_, size) in _committed_in_order(info)], [(row.block_id, row.size) for row in rows]


def flush(tx: Tx, key: BlobKey, position: int, headers: dict[str, str], now: float, wanted: Conditions = NONE, *, keep_rest: bool = False) -> BlobInfo:
    """Makes what was appended from the file's end up to `position` part of it. headers: set over the old ones. What was appended
    beyond stays for a later flush with keep_rest, and is dropped without."""
    old = need(tx, key, whole=True)
    if old.kind != "BlockBlob":
        raise storage_error("InvalidBlobType", f"There is a {old.kind} of this name.")
    fresh_upload = wanted.if_none_match == ("*",) and old.size == 0  # the client's word for "not overwriting data that is there"
    check_write(Conditions(lease=wanted.lease) if fresh_upload else wanted, old.etag, old.modified)
    old.lease = leases.check_write(old.lease, wanted.lease, now)
    rows = tx.execute(sa.select(k.c.block_id, k.c.extent, k.c.size).where(of_blob(key), k.c.block_id.startswith("@")).order_by(k.c.block_id)).all()
    starts = {int(row.block_id[1:]): row for row in rows}
    end, used = old.size, []
    while end < position and end in starts:
        used.append(starts[end])
        end += starts[end].size
        if not used[-1].size:
            break
    if end != position:
        raise storage_error("InvalidFlushPosition", f"Contiguous data reaches to {end}, the position is {position}.", "position")
    before = [id for id, _ in old.extents]
    old.extents = [*old.extents, *((row.extent, row.size) for row in used if row.size)]
    old.size, old.blocks = position, None
    old.headers = {name: value for name, value in (old.headers | headers).items() if name != "contentMD5" or "contentMD5" in headers}
    old.etag, old.modified = new_etag(), now
    store(tx, old, fresh=False)
    gone = used if keep_rest else rows
    references.replace(tx, [*before, *(row.extent for row in gone)], [id for id, _ in old.extents], now)
    remove = [k.c.block_id.in_([row.block_id for row in gone[i : i + 500]]) for i in range(0, len(gone), 500)]
    for some in remove:
        tx.execute(sa.delete(k).where(of_blob(key), some))
    return old


def position_id(position: int) -> str:
    return f"@{position:020d}"


def expire(tx: Tx, before: float, now: float, limit: int) -> int:
    """Drops staged blocks older than that; the count."""
    rows = tx.execute(sa.select(k).where(k.c.created < before).order_by(k.c.created).limit(limit)).all()
    for row in rows:
        tx.execute(sa.delete(k).where(of_blob(BlobKey(row.account, row.container, row.blob)), k.c.block_id == row.block_id))
    references.release(tx, [row.extent for row in rows], now)
    return len(rows)


def _committed(info: BlobInfo | None) -> dict[str, tuple[str, int]]:
    return dict(_committed_in_order(info))


def _committed_in_order(info: BlobInfo | None) -> list[tuple[str, tuple[str, int]]]:
    if info is None or not isinstance(info.blocks, list):
        return []
    return list(zip(info.blocks, info.extents, strict=True))
