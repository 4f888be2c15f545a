"""Queries over the resource table. Documents go in and out as dicts; ids, names and types live in columns.

Statements that requests and jobs run all the time are built once: building one costs several times what running it does."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.ids import ResourceId
from lazward.storage.db import Tx
from lazward.storage.pieces import pieces
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


_KEY = t.c.key == sa.bindparam("wanted")
_ONE = sa.select(*_COLUMNS).where(_KEY)
_ETAGS = sa.select(t.c.key, t.c.etag).where(t.c.key.in_(sa.bindparam("keys", expanding=True)))
_SEVERAL = sa.select(*_COLUMNS).where(t.c.key.in_(sa.bindparam("keys", expanding=True))).order_by(t.c.seq)
_SEQ = sa.select(t.c.seq).where(_KEY)
_INSERT = sa.insert(t).returning(t.c.seq)
_UPDATE = sa.update(t).where(_KEY)
_DELETE = sa.delete(t).where(_KEY)
_BELOW = t.c.key.like(sa.bindparam("below"), escape="!")
_DELETE_BELOW = sa.delete(t).where(_BELOW)
_BY_LOOKUP = sa.select(*_COLUMNS).where(t.c.type.in_(sa.bindparam("types", expanding=True)), t.c.lookup == sa.bindparam("lookup"))


def get(tx: Tx, key: str) -> Row | None:
    found = tx.execute(_ONE, {"wanted": key.lower()}).first()
    return Row(*found) if found else None


def changed(tx: Tx, known: Mapping[str, str]) -> tuple[list[Row], set[str]]:
    """Of the resources with these keys and etags, those that are other than known, and the keys of those that are gone."""
    have = {found.key: found.etag for found in tx.execute(_ETAGS, {"keys": list(known)})} if known else {}
    other = [key for key, etag in have.items() if etag != known[key]]
    rows = [Row(*found) for found in tx.execute(_SEVERAL, {"keys": other})] if other else []
    return rows, known.keys() - have.keys()


def exists(tx: Tx, key: str) -> bool:
    return tx.execute(_SEQ, {"wanted": key.lower()}).first() is not None


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
    seq = tx.execute(_INSERT, values).scalar_one()
    return Row(seq=seq, **values)


def update(tx: Tx, row: Row, now: float) -> Row:
    """Writes the row's doc, lookup and archived back under a new etag."""
    row.etag, row.updated = new_etag(), now
    tx.execute(_UPDATE, {"wanted": row.key, "doc": row.doc, "lookup": row.lookup, "archived": row.archived, "etag": row.etag, "updated": now})
    return row


def set_times(tx: Tx, row: Row, created: float, updated: float) -> None:
    """The times and document of what was made elsewhere. Its etag stays: nobody can have seen it yet."""
    tx.execute(_UPDATE, {"wanted": row.key, "doc": row.doc, "created": created, "updated": updated})


def rename(tx: Tx, row: Row, rid: ResourceId, now: float) -> None:
    """Gives a resource another id, and everything below it ids below that; their order of creation stays. rid: of the same type, its key
    free or the resource's own."""
    below = [Row(*found) for found in tx.execute(sa.select(*_COLUMNS).where(_BELOW), {"below": _anything_below(row.key)})]
    _move(tx, row, str(rid), row.parent, rid.name, now)
    for one in below:
        parent = rid.key + one.parent[len(row.key) :]
        _move(tx, one, str(rid) + one.id[len(row.id) :], parent, one.name, now)


def _move(tx: Tx, row: Row, id_: str, parent: str, name: str, now: float) -> None:
    tx.execute(sa.update(t).where(t.c.seq == row.seq).values(key=id_.lower(), id=id_, parent=parent, name=name, etag=new_etag(), updated=now))


def delete(tx: Tx, key: str) -> bool:
    """Removes a resource and everything below it."""
    key = key.lower()
    gone = tx.execute(_DELETE, {"wanted": key}).rowcount
    tx.execute(_DELETE_BELOW, {"below": _anything_below(key)})
    return gone > 0


def page(
    tx: Tx, type_: str, limit: int, *, parent: str | None = None, under: str | None = None, scope: str | None = None,
    lookup: str | None = None, archived: bool | None = None, newest_first: bool = False, after: int | None = None,
    keep: Callable[[Row], bool] | None = None,
) -> tuple[list[Row], int | None]:
    """Rows of a type in creation order and the seq to go on after (None at the end).

    parent: directly below this key; under: anywhere below it; keep: a predicate for what has no column.
    """
    given: dict[str, Any] = {"type": type_.lower()}
    for name, value in (("parent", parent), ("scope", scope)):
        if value is not None:
            given[name] = value.lower()
    for name, value in (("lookup", lookup), ("archived", archived), ("after", after)):
        if value is not None:
            given[name] = value
    if under is not None:
        given["below"] = _anything_below(under.lower())
    out: list[Row] = []
    batch = limit + 1 if keep is None else max(200, limit + 1)
    while True:
        rows = [Row(*found) for found in tx.execute(_page(frozenset(given), newest_first), {**given, "batch": batch})]
        for row in rows:
            if keep is None or keep(row):
                if len(out) == limit:
                    return out, out[-1].seq
                out.append(row)
        if len(rows) < batch:
            return out, None
        given["after"] = rows[-1].seq


@functools.cache
def _page(given: frozenset[str], newest_first: bool) -> sa.Select[Any]:
    """The statement of a page, by which of its conditions there are."""
    where = [t.c[name] == sa.bindparam(name) for name in ("type", "parent", "scope", "lookup", "archived") if name in given]
    if "below" in given:
        where.append(_BELOW)
    if "after" in given:
        where.append(t.c.seq < sa.bindparam("after") if newest_first else t.c.seq > sa.bindparam("after"))
    return sa.select(*_COLUMNS).where(*where).order_by(t.c.seq.desc() if newest_first else t.c.seq.asc()).limit(sa.bindparam("batch", type_=sa.Integer))


def _anything_below(key: str) -> str:
    """The LIKE pattern of all keys below one, with `!` to escape."""
    return key.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "/%"


def every(tx: Tx, type_: str, **where: Any) -> list[Row]:
    return page(tx, type_, 1_000_000, **where)[0]


def below(tx: Tx, type_: str, parents: Collection[str]) -> list[Row]:
    """Rows of a type that lie directly below one of these keys and are not archived, in creation order."""
    found: list[Row] = []
    for some in pieces(parents):
        keys = [key.lower() for key in some]
        rows = tx.execute(sa.select(*_COLUMNS).where(t.c.type == type_.lower(), t.c.parent.in_(keys), t.c.archived.is_(False)))
        found += [Row(*row) for row in rows]
    return sorted(found, key=lambda row: row.seq)


def count(tx: Tx, type_: str, parent: str) -> int:
    statement = sa.select(sa.func.count()).where(t.c.type == type_.lower(), t.c.parent == parent.lower())
    return tx.execute(statement).scalar_one()


def by_lookup(tx: Tx, types: Sequence[str], lookup: str) -> Row | None:
    found = tx.execute(_BY_LOOKUP, {"types": [x.lower() for x in types], "lookup": lookup}).first()
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
