"""Changes to blobs, each one transaction: checks of conditions and leases, the row, the references to its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.domain.blobs import leases
from lazward.domain.blobs.conditions import NONE, Conditions, check_write
from lazward.domain.blobs.errors import storage_error
from lazward.storage.blobs import references
from lazward.storage.blobs.records import BlobInfo, BlobKey, at, get, look, need, new_etag, staged_extents, store
from lazward.storage.db import Tx
from lazward.storage.tables import blob as b
from lazward.storage.tables import block as k


class Draft(msgspec.Struct):
    """A blob about to be written. extents must be new, or the blob's own."""

    kind: str = "BlockBlob"
    extents: Sequence[tuple[str, int]] = ()
    headers: dict[str, str] = {}
    meta: dict[str, str] = {}
    tags: dict[str, str] | None = None
    access: dict[str, str] | None = None
    blocks: list[str] | int | None = None


def put(tx: Tx, key: BlobKey, draft: Draft, now: float, wanted: Conditions = NONE) -> BlobInfo:
    """Creates or replaces. What was there, staged blocks included, is gone; a lease and the time of creation stay."""
    old, staged = look(tx, key)
    check_write(wanted, old.etag if old else None, old.modified if old else 0.0)
    lease = leases.check_write(old.lease if old else None, wanted.lease, now)
    if old and (old.kind == "Directory") != (draft.kind == "Directory"):
        raise storage_error("PathConflict", target=key.name[:80])
    info = BlobInfo(
        *key, draft.kind, sum(size for _, size in draft.extents), new_etag(), list(draft.extents), draft.headers, draft.meta,
        old.created if old else now, now, draft.tags, draft.access, lease, draft.blocks,
    )
    store(tx, info, fresh=old is None)
    references.replace(tx, [*(id for id, _ in old.extents), *staged] if old else staged, [id for id, _ in draft.extents], now)
    if staged:
        tx.execute(sa.delete(k).where(of_blob(key)))
    return info


def change(tx: Tx, key: BlobKey, edit: Callable[[BlobInfo], None], now: float, wanted: Conditions = NONE, *, quiet: bool = False) -> BlobInfo:
    """Edits what is not the content: metadata, headers, tags, access. quiet: neither a new etag nor a new time (as for tags)."""
    info = need(tx, key)
    check_write(wanted, info.etag, info.modified)
    info.lease = leases.check_write(info.lease, wanted.lease, now)
    edit(info)
    if not quiet:
        info.etag, info.modified = new_etag(), now
    _update_light(tx, info)
    return info


def lease(tx: Tx, key: BlobKey, act: Callable[[Any], Any], wanted: Conditions = NONE) -> BlobInfo:
    """act: old lease -> new lease. Leases change neither etag nor time."""
    info = need(tx, key)
    check_write(wanted, info.etag, info.modified)
    info.lease = act(info.lease)
    tx.execute(sa.update(b).where(at(key)).values(lease=info.lease))
    return info


def delete(tx: Tx, key: BlobKey, now: float, wanted: Conditions = NONE) -> bool:
    """False when there is no such blob."""
    old, staged = look(tx, key)
    if old is None:
        return False
    check_write(msgspec.structs.replace(wanted, create_only=False), old.etag, old.modified, exists_code="ConditionNotMet")
    leases.check_write(old.lease, wanted.lease, now)
    _drop(tx, old, staged, now)
    return True


def drop(tx: Tx, gone: Sequence[BlobInfo], now: float) -> None:
    """Removes blobs (read whole) with their staged blocks; no checks."""
    for info in gone:
        _drop(tx, info, staged_extents(tx, info.key), now)


def _drop(tx: Tx, info: BlobInfo, staged: list[str], now: float) -> None:
    references.release(tx, [*(id for id, _ in info.extents), *staged], now)
    if staged:
        tx.execute(sa.delete(k).where(of_blob(info.key)))
    tx.execute(sa.delete(b).where(at(info.key)))


def copy(tx: Tx, source: BlobKey, target: BlobKey, now: float, adapt: Callable[[BlobInfo], Draft], check_source: Callable[[BlobInfo], None], wanted: Conditions = NONE) -> BlobInfo:
    """The target refers to the source's extents, so a copy of any size is a few rows. adapt: what of the source is taken over."""
    found = get(tx, source, whole=True)
    if found is None:
        raise storage_error("CannotVerifyCopySource", target=source.name[:80])
    check_source(found)
    draft = adapt(found)
    references.share(tx, [id for id, _ in found.extents])
    old, staged = look(tx, target)
    check_write(wanted, old.etag if old else None, old.modified if old else 0.0)
    lease_left = leases.check_write(old.lease if old else None, wanted.lease, now)
    info = BlobInfo(
        *target, draft.kind, found.size, new_etag(), list(found.extents), draft.headers, draft.meta, old.created if old else now, now,
        draft.tags, draft.access, lease_left, draft.blocks,
    )
    store(tx, info, fresh=old is None)
    references.release(tx, [*(id for id, _ in old.extents), *staged] if old else staged, now)
    if staged:
        tx.execute(sa.delete(k).where(of_blob(target)))
    return info


def append(tx: Tx, key: BlobKey, etag: str | None, folded: int, added: tuple[str, int], draft: Draft, now: float, wanted: Conditions = NONE, size_limit: int | None = None) -> BlobInfo | None:
    """Puts one extent at the end in place of the last `folded` ones, if the blob is still at `etag` (None: absent, then it is
    created from draft). None when it is not: somebody else wrote in between, and the caller looks again."""
    old = get(tx, key, whole=True)
    if (old.etag if old else None) != etag:
        return None
    if old is None:
        draft.extents = [added] if added[1] else []
        draft.blocks = 1 if added[1] else 0
        return put(tx, key, draft, now, wanted)
    if old.kind != "AppendBlob":
        raise storage_error("InvalidBlobType", f"The blob is a {old.kind}, which cannot be appended to.")
    check_write(wanted, old.etag, old.modified)
    old.lease = leases.check_write(old.lease, wanted.lease, now)
    before = [id for id, _ in old.extents]
    kept = old.extents[: len(old.extents) - folded]
    grown = added[1] - sum(size for _, size in old.extents[len(kept) :])
    if size_limit is not None and old.size + grown > size_limit:
        raise storage_error("MaxBlobSizeConditionNotMet")
    old.extents = [*kept, added]
    old.size += grown
    old.blocks = (old.blocks if isinstance(old.blocks, int) else 0) + 1
    old.headers.pop("contentMD5", None)
    old.etag, old.modified = new_etag(), now
    store(tx, old, fresh=False)
    references.replace(tx, before, [id for id, _ in old.extents], now)
    return old


def of_blob(key: BlobKey) -> sa.ColumnElement[bool]:
    return sa.and_(k.c.account == key.account, k.c.container == key.container, k.c.blob == key.name)


def _update_light(tx: Tx, info: BlobInfo) -> None:
    names = ("etag", "headers", "meta", "modified", "tags", "access", "lease")
    tx.execute(sa.update(b).where(at(info.key)).values(**{name: getattr(info, name) for name in names}))
