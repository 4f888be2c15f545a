"""Files and folders as the Data Lake endpoint has them, over the same flat names: a folder is a blob of kind Directory, or implied by
what lies below it."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from lazward.contract.errors import ArmError
from lazward.domain.blobs import leases
from lazward.domain.blobs.conditions import NONE, Conditions, check_write
from lazward.domain.blobs.errors import storage_error
from lazward.domain.blobs.names import after_prefix, parents
from lazward.storage.blobs import listing, metadata
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import (
    DIRECTORY,
    LIGHT,
    BlobInfo,
    BlobKey,
    at,
    blob_from,
    get,
    need_container,
    new_etag,
    store,
)
from lazward.storage.db import Tx
from lazward.storage.tables import blob as b

_BATCH = 500


def find(tx: Tx, key: BlobKey) -> BlobInfo:
    """A file or folder; one that is only implied looks like its first blob's folder. ArmError 404."""
    info = get(tx, key)
    if info is not None:
        return info
    need_container(tx, key.account, key.container)
    row = tx.execute(sa.select(*LIGHT).where(_below(key)).order_by(b.c.name).limit(1)).first()
    if row is None:
        raise storage_error("BlobNotFound", target=key.name[:80])
    first = blob_from(row)
    return BlobInfo(*key, "Directory", 0, "0x" + "0" * 16, [], {}, {DIRECTORY: "true"}, first.created, first.modified)


def create(tx: Tx, key: BlobKey, draft: Draft, now: float, wanted: Conditions = NONE) -> BlobInfo:
    """A file or (draft.kind Directory) a folder, with the folders above it. A folder that is there is kept with what it holds."""
    need_container(tx, key.account, key.container)
    old = get(tx, key)
    folder = draft.kind == "Directory"
    if old is not None and (old.kind == "Directory") != folder:
        raise storage_error("PathAlreadyExists", f"It is a {'folder' if old.kind == 'Directory' else 'file'}.", target=key.name[:80])
    if old is None and not _empty(tx, key):
        if not folder:
            raise storage_error("PathAlreadyExists", "It is a folder.", target=key.name[:80])
        check_write(wanted, "0x" + "0" * 16, now, exists_code="PathAlreadyExists")
        wanted = Conditions(lease=wanted.lease)
    make_parents(tx, key, now)
    if folder:
        draft.meta = {**draft.meta, DIRECTORY: "true"}
    return metadata.put(tx, key, draft, now, wanted)


def make_parents(tx: Tx, key: BlobKey, now: float) -> None:
    """Each folder above, as a blob of its own. ArmError 409 when one of them is a file."""
    names = parents(key.name)
    if not names:
        return
    rows = tx.execute(sa.select(b.c.name, b.c.kind).where(b.c.account == key.account, b.c.container == key.container, b.c.name.in_(names)))
    kinds = {row.name: row.kind for row in rows}
    for name in names:
        if kinds.get(name, "Directory") != "Directory":
            raise storage_error("PathConflict", f"'{name[:200]}' is a file.", "path")
        if name not in kinds:
            store(tx, BlobInfo(key.account, key.container, name, "Directory", 0, new_etag(), [], {}, {DIRECTORY: "true"}, now, now), fresh=True)


def rename(tx: Tx, source: BlobKey, target: BlobKey, now: float, wanted: Conditions, check_source: Callable[[BlobInfo], None], source_lease: str = "") -> BlobInfo:
    """A file, or a folder with everything below it, under another name: a few statements however much there is."""
    need_container(tx, target.account, target.container)
    try:
        moved = find(tx, source)
    except ArmError:
        raise storage_error("SourcePathNotFound", target=source.name[:80]) from None
    check_source(moved)
    leases.check_write(moved.lease, source_lease, now)
    if source == target:
        return moved
    folder = moved.kind == "Directory"
    if folder and source[:2] == target[:2] and target.name.startswith(source.name + "/"):
        raise storage_error("InvalidRenameSourcePath")
    old = get(tx, target, whole=True)
    check_write(wanted, old.etag if old else None, old.modified if old else 0.0, exists_code="PathAlreadyExists")
    leases.check_write(old.lease if old else None, wanted.lease, now)
    if not _empty(tx, target):
        raise storage_error("PathAlreadyExists", "It is a folder that is not empty.", target=target.name[:80])
    if old is not None:
        if (old.kind == "Directory") != folder:
            raise storage_error("PathAlreadyExists", f"It is a {'folder' if old.kind == 'Directory' else 'file'}.", target=target.name[:80])
        metadata.drop(tx, [old], now)
    make_parents(tx, target, now)
    if folder:
        check_unleased(tx, source, now)
    tx.execute(sa.update(b).where(at(source)).values(container=target.container, name=target.name, etag=new_etag(), lease=None))
    if folder:
        renamed = sa.literal(target.name, sa.Text) + sa.func.substr(b.c.name, len(source.name) + 1)
        tx.execute(sa.update(b).where(_below(source)).values(container=target.container, name=renamed))
    return find(tx, target)


def check_delete(tx: Tx, key: BlobKey, recursive: bool, now: float, wanted: Conditions) -> BlobInfo:
    """What would be deleted; ArmError 409 for a folder that is not empty, unless all of it is meant."""
    info = find(tx, key)
    check_write(wanted, info.etag, info.modified, exists_code="ConditionNotMet")
    leases.check_write(info.lease, wanted.lease, now)
    if info.kind == "Directory" and not _empty(tx, key):
        if not recursive:
            raise storage_error("DirectoryNotEmpty", target=key.name[:80])
        check_unleased(tx, key, now)
    return info


def check_unleased(tx: Tx, key: BlobKey, now: float) -> None:
    """ArmError 412 when a blob below the folder has a lease."""
    rows = tx.execute(sa.select(b.c.lease).where(_below(key), sa.cast(b.c.lease, sa.Text) != "null")).scalars()
    if any(leases.locked(lease, now) for lease in rows):
        raise storage_error("LeaseIdMissing", "A path below the folder has a lease.")


def set_access(tx: Tx, key: BlobKey, edit: Callable[[BlobInfo], dict[str, str]], after: str, limit: int) -> tuple[int, int, str]:
    """Access of a folder and of what is below it: (folders, files, name to go on after)."""
    folders = files = 0
    if not after:
        top = find(tx, key)
        if get(tx, key) is not None:
            tx.execute(sa.update(b).where(at(key)).values(access=edit(top)))
        if top.kind != "Directory":
            return 0, 1, ""
        folders = 1
    page = listing.page(tx, key.account, key.container, key.name + "/", "", after, limit)
    for info in page.blobs:
        tx.execute(sa.update(b).where(at(info.key)).values(access=edit(info)))
        folders, files = (folders + 1, files) if info.kind == "Directory" else (folders, files + 1)
    return folders, files, page.next_marker


def explicit(tx: Tx, account: str, container: str, names: list[str]) -> set[str]:
    """Those of the names that are blobs of their own."""
    found: set[str] = set()
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        found.update(tx.execute(sa.select(b.c.name).where(b.c.account == account, b.c.container == container, b.c.name.in_(some))).scalars())
    return found


def _below(key: BlobKey) -> sa.ColumnElement[bool]:
    prefix = key.name + "/"
    bound = after_prefix(prefix)
    return sa.and_(b.c.account == key.account, b.c.container == key.container, b.c.name >= prefix, b.c.name < bound)


def _empty(tx: Tx, key: BlobKey) -> bool:
    return tx.execute(sa.select(b.c.name).where(_below(key)).limit(1)).first() is None
