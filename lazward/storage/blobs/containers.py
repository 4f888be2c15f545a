"""Containers: making, listing, changing, deleting.

A deleted container is gone at once whatever it held: its blobs are moved, by one statement, to the account "~" that no request can
name, from where gc takes them bit by bit.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from lazward.domain.blobs import leases
from lazward.domain.blobs.conditions import NONE, Conditions, check_write
from lazward.domain.blobs.errors import storage_error
from lazward.domain.blobs.names import after_prefix, check_container
from lazward.storage.blobs import references
from lazward.storage.blobs.metadata import drop, of_blob
from lazward.storage.blobs.records import (
    WHOLE,
    BlobKey,
    ContainerInfo,
    blob_from,
    container_at,
    get_container,
    need_container,
    new_etag,
)
from lazward.storage.db import Tx
from lazward.storage.tables import blob as b
from lazward.storage.tables import block as k
from lazward.storage.tables import container as c

DELETED = "~"


def create(tx: Tx, account: str, name: str, meta: dict[str, str], now: float) -> ContainerInfo:
    check_container(name)
    if get_container(tx, account, name):
        raise storage_error("ContainerAlreadyExists", target=name)
    info = ContainerInfo(account, name, new_etag(), meta, None, now)
    tx.execute(sa.insert(c).values(**{field: getattr(info, field) for field in ContainerInfo.__struct_fields__}))
    return info


def ensure(tx: Tx, account: str, name: str, now: float) -> ContainerInfo:
    return get_container(tx, account, name) or create(tx, account, name, {}, now)


def page(tx: Tx, account: str, prefix: str, after: str, limit: int) -> tuple[list[ContainerInfo], str]:
    """Containers in the order of their names, and the name to go on after ("" at the end)."""
    where = [c.c.account == account, c.c.name > after, c.c.name >= prefix]
    if (bound := after_prefix(prefix)) is not None:
        where.append(c.c.name < bound)
    columns = [c.c[field] for field in ContainerInfo.__struct_fields__]
    found = [ContainerInfo(*row) for row in tx.execute(sa.select(*columns).where(*where).order_by(c.c.name).limit(limit + 1))]
    return found[:limit], found[limit - 1].name if len(found) > limit else ""


def set_meta(tx: Tx, account: str, name: str, meta: dict[str, str], now: float, wanted: Conditions = NONE) -> ContainerInfo:
    info = need_container(tx, account, name)
    check_write(wanted, info.etag, info.modified)
    leases.check_read(info.lease, wanted.lease, now, "Container")
    info.meta, info.etag, info.modified = meta, new_etag(), now
    tx.execute(sa.update(c).where(container_at(account, name)).values(meta=meta, etag=info.etag, modified=now))
    return info


def lease(tx: Tx, account: str, name: str, act: Callable[[Any], Any], wanted: Conditions = NONE) -> ContainerInfo:
    info = need_container(tx, account, name)
    check_write(wanted, info.etag, info.modified)
    info.lease = act(info.lease)
    tx.execute(sa.update(c).where(container_at(account, name)).values(lease=info.lease))
    return info


def delete(tx: Tx, account: str, name: str, now: float, wanted: Conditions = NONE) -> None:
    info = need_container(tx, account, name)
    check_write(wanted, info.etag, info.modified, exists_code="ConditionNotMet")
    leases.check_write(info.lease, wanted.lease, now, "Container")
    _bury(tx, account, name)


def delete_account(tx: Tx, account: str) -> int:
    """Every container of it; the count."""
    names = list(tx.execute(sa.select(c.c.name).where(c.c.account == account)).scalars())
    for name in names:
        _bury(tx, account, name)
    return len(names)


def purge(tx: Tx, now: float, limit: int) -> int:
    """Drops some of the blobs of deleted containers, then what was staged for others; how many."""
    found = [blob_from(row) for row in tx.execute(sa.select(*WHOLE).where(b.c.account == DELETED).limit(limit))]
    drop(tx, found, now)
    count = len(found)
    if count < limit:
        rows = tx.execute(sa.select(k).where(k.c.account == DELETED).limit(limit - count)).all()
        count += len(rows)
        for row in rows:
            tx.execute(sa.delete(k).where(of_blob(BlobKey(row.account, row.container, row.blob)), k.c.block_id == row.block_id))
        references.release(tx, [row.extent for row in rows], now)
    return count


def _bury(tx: Tx, account: str, name: str) -> None:
    grave = uuid.uuid4().hex
    tx.execute(sa.delete(c).where(container_at(account, name)))
    tx.execute(sa.update(b).where(b.c.account == account, b.c.container == name).values(account=DELETED, container=grave))
    tx.execute(sa.update(k).where(k.c.account == account, k.c.container == name).values(account=DELETED, container=grave))
