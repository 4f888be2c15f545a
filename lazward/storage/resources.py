"""Queries over the resource table. Documents go in and out as dicts; ids, names and types live in columns."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.ids import ResourceId
from lazward.storage.db import Tx
from lazward.storage.tables import resource as t


class Row(msgspec.Struct):
    seq: int
    key: str
    id: str
    type: str
    parent: str
    scope: str
    name: str
    lookup: str | None
    archived: bool
    etag: str
    doc: dict[str, Any]
    created: float
    updated: float

    @property
    def properties(self) -> dict[str, Any]:
        return self.doc.setdefault("properties", {})


_COLUMNS = [t.c[name] for name in Row.__struct_fields__]


def get(tx: Tx, key: str) -> Row | None:
    found = tx.execute(sa.select(*_COLUMNS).where(t.c.key == key.lower())).first()
    return Row(*found) if found else None


def exists(tx: Tx, key: str) -> bool:
    return tx.execute(sa.select(t.c.seq).where(t.c.key == key.lower())).first() is not None


def insert(
    tx: Tx, rid: ResourceId, doc: dict[str, Any], now: float, *, lookup: str | None = None, archived: bool = False,
    type_: str | None = None, parent: str | None = None,
) -> Row:
    """Adds a resource. type_ and parent are given for what has no provider in its id (subscriptions, groups)."""
    scope = rid.workspace.key if len(rid.segments) > 1 else rid.parent.key if rid.segments else ""
    values = {
        "key": rid.key, "id": str(rid), "type": type_ or rid.full_type.lower(), "parent": rid.parent.key if parent is None else parent,
        "scope": scope, "name": rid.name, "lookup": lookup, "archived": archived, "etag": new_etag(), "doc": doc, "created": now, "updated": now,
    }
    seq = tx.execute(sa.insert(t).values(**values).returning(t.c.seq)).scalar_one()
    return Row(seq=seq, **values)


def update(tx: Tx, row: Row, now: float) -> Row:
    """Writes the row's doc, lookup and archived back under a new etag."""
    row.etag, row.updated = new_etag(), now
    tx.execute(
        sa.update(t).where(t.c.key == row.key)
        .values(doc=row.doc, lookup=row.lookup, archived=row.archived, etag=row.etag, updated=now)
    )
    return row


def delete(tx: Tx, key: str) -> bool:
    """Removes a resource and everything below it."""
    key = key.lower()
    gone = tx.execute(sa.delete(t).where(t.c.key == key)).rowcount
    tx.execute(sa.delete(t).where(t.c.key.startswith(key + "/", autoescape=True)))
    return gone > 0


def page(
    tx: Tx, type_: str, limit: int, *, parent: str | None = None, under: str | None = None, scope: str | None = None,
    lookup: str | None = None, archived: bool | None = None, newest_first: bool = False, after: int | None = None,
    keep: Callable[[Row], bool] | None = None,
) -> tuple[list[Row], int | None]:
    """Rows of a type in creation order and the seq to go on after (None at the end).

    parent: directly below this key; under: anywhere below it; keep: a predicate for what has no column.
    """
    where: list[sa.ColumnElement[bool]] = [t.c.type == type_.lower()]
    if parent is not None:
        where.append(t.c.parent == parent.lower())
    if under is not None:
        where.append(t.c.key.startswith(under.lower() + "/", autoescape=True))
    if scope is not None:
        where.append(t.c.scope == scope.lower())
    if lookup is not None:
        where.append(t.c.lookup == lookup)
    if archived is not None:
        where.append(t.c.archived == archived)
    order = t.c.seq.desc() if newest_first else t.c.seq.asc()
    out: list[Row] = []
    batch = limit + 1 if keep is None else max(200, limit + 1)
    while True:
        bound = [] if after is None else [t.c.seq < after if newest_first else t.c.seq > after]
        rows = [Row(*found) for found in tx.execute(sa.select(*_COLUMNS).where(*where, *bound).order_by(order).limit(batch))]
        for row in rows:
            if keep is None or keep(row):
                if len(out) == limit:
                    return out, out[-1].seq
                out.append(row)
        if len(rows) < batch:
            return out, None
        after = rows[-1].seq


def every(tx: Tx, type_: str, **where: Any) -> list[Row]:
    return page(tx, type_, 1_000_000, **where)[0]


def count(tx: Tx, type_: str, parent: str) -> int:
    statement = sa.select(sa.func.count()).where(t.c.type == type_.lower(), t.c.parent == parent.lower())
    return tx.execute(statement).scalar_one()


def by_lookup(tx: Tx, types: Sequence[str], lookup: str) -> Row | None:
    found = tx.execute(sa.select(*_COLUMNS).where(t.c.type.in_([x.lower() for x in types]), t.c.lookup == lookup)).first()
    return Row(*found) if found else None


def ids_named(tx: Tx, type_: str, name: str) -> list[str]:
    """Ids of the resources of a type with that name, without regard to case, wherever they are."""
    return list(tx.execute(sa.select(t.c.id).where(t.c.type == type_.lower(), sa.func.lower(t.c.name) == name.lower()).order_by(t.c.seq)).scalars())


def holding(tx: Tx, texts: Sequence[str]) -> list[Row]:
    """Resources whose document holds one of the texts; a scan, for rare repairs."""
    wanted = [sa.cast(t.c.doc, sa.Text).contains(text, autoescape=True) for text in texts]
    return [Row(*found) for found in tx.execute(sa.select(*_COLUMNS).where(sa.or_(*wanted)))]


def new_etag() -> str:
    return uuid.uuid4().hex[:16]
