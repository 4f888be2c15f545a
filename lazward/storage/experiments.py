"""Queries over experiments. Ids are unique in their workspace only; a workspace is named by its key."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import MlflowError, invalid, missing
from lazward.domain.tracking.filter import Node, Order
from lazward.domain.tracking.names import DEFAULT_EXPERIMENT, DEFAULT_NAME, is_key
from lazward.storage import tables
from lazward.storage.db import Tx
from lazward.storage.search import Column, Paging, Reached, where
from lazward.storage.tables import experiment as t


class Experiment(msgspec.Struct):
    """Times are unix seconds. stage: active | deleted. location: None when artifacts lie in the workspace."""

    seq: int
    id: str
    name: str
    stage: str
    location: str | None
    tags: dict[str, str]
    created: float
    updated: float


class DefaultMissing(Exception):
    """The default experiment is asked for, and nobody has made it yet in that workspace: call ensure_default and try again."""


_COLUMNS = [t.c[name] for name in Experiment.__struct_fields__]
_BY_ID = sa.select(*_COLUMNS).where(t.c.workspace == sa.bindparam("workspace"), t.c.id == sa.bindparam("id"), t.c.stage != "purged")
# For what happens thousands of times a second. {}: which, as the database takes a list of any length
_WORKSPACE = "SELECT id, lookup FROM resource WHERE key = ?"
_SELECT = f"SELECT {', '.join(Experiment.__struct_fields__)} FROM experiment"  # noqa: S608 - what of_row() takes
ACTIVE = f"{_SELECT} WHERE workspace = ? AND id = ? AND stage = 'active'"
_BY_SEQ = _SELECT + " WHERE seq {}"
_SEQS = "SELECT seq FROM experiment WHERE workspace = ? AND stage <> 'purged' AND id {}"
_BY_NAME = sa.select(*_COLUMNS).where(t.c.workspace == sa.bindparam("workspace"), t.c.name == sa.bindparam("name"))

# What a filter or order_by calls an attribute; times are searched in milliseconds.
_SEARCHED = {
    "name": Column(t.c.name), "experiment_id": Column(t.c.id),
    "creation_time": Column(t.c.created, number=True, scale=1000.0), "last_update_time": Column(t.c.updated, number=True, scale=1000.0),
}


def workspace(tx: Tx, key: str) -> tuple[str, str | None]:
    """(id as written, name of the storage account) of a workspace that is there."""
    found = tx.raw(_WORKSPACE, (key,)).fetchone()
    if found is None:
        raise missing(f"The workspace '{key.rsplit('/', 1)[-1]}' was not found.")
    return found[0], found[1]


def create(
    tx: Tx, key: str, name: str, now: float, *, id_: str | None = None, location: str | None = None, tags: dict[str, str] | None = None,
    again: bool = False,
) -> Experiment:
    """again: the client has chosen the id and may not have heard our answer: an experiment of that id and name is answered as it is."""
    workspace(tx, key)
    if name == DEFAULT_NAME and id_ != DEFAULT_EXPERIMENT:
        ensure_default(tx, key, now)
    values = {
        "workspace": key, "id": id_ or str(uuid.uuid4()), "name": name, "stage": "active", "location": location, "tags": tags or {}, "created": now, "updated": now,
    }
    insert = (sqlite if tx.sqlite else postgresql).insert(t).values(**values).on_conflict_do_nothing().returning(*_COLUMNS)
    made = tx.execute(insert).first()
    if made is None:
        found = tx.execute(_BY_ID, {"workspace": key, "id": id_}).first() if again else None
        if found is not None and found.name == name:
            return Experiment(*found)
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"Experiment(name={name}) already exists.", "name")
    return Experiment(*made)


def ensure_default(tx: Tx, key: str, now: float) -> Experiment:
    """The experiment "0", which every workspace has as soon as somebody asks."""
    found = tx.execute(_BY_ID, {"workspace": key, "id": DEFAULT_EXPERIMENT}).first()
    return Experiment(*found) if found else create(tx, key, DEFAULT_NAME, now, id_=DEFAULT_EXPERIMENT)


def get(tx: Tx, key: str, id_: str) -> Experiment:
    found = tx.execute(_BY_ID, {"workspace": key, "id": id_}).first()
    if found:
        return Experiment(*found)
    workspace(tx, key)
    if id_ == DEFAULT_EXPERIMENT:
        raise DefaultMissing
    raise missing(f"No Experiment with id={id_[:100]} exists")


def by_name(tx: Tx, key: str, name: str) -> Experiment:
    found = tx.execute(_BY_NAME, {"workspace": key, "name": name}).first()
    if found:
        return Experiment(*found)
    workspace(tx, key)
    if name == DEFAULT_NAME:
        raise DefaultMissing
    raise missing(f"Could not find experiment with name '{name[:500]}'")


def active(tx: Tx, key: str, id_: str, now: float) -> Experiment:
    """The experiment to write to; the default one is made when it is not there yet."""
    row = tx.raw(ACTIVE, (key, id_)).fetchone()
    if row is not None:
        return of_row(*row)
    return _live(ensure_default(tx, key, now) if id_ == DEFAULT_EXPERIMENT else get(tx, key, id_))


def of_row(seq: int, id_: str, name: str, stage: str, location: str | None, tags: Any, created: float, updated: float) -> Experiment:
    """Of what a plain statement answers."""
    return Experiment(seq, id_, name, stage, location, msgspec.json.decode(tags) if isinstance(tags, str) else tags, created, updated)


def live(tx: Tx, key: str, id_: str) -> Experiment:
    """The experiment to look for things in; one in the bin is refused, too."""
    return _live(get(tx, key, id_))


def _live(found: Experiment) -> Experiment:
    if found.stage != "active":
        raise MlflowError("INVALID_PARAMETER_VALUE", f"The experiment {found.id} must be in the 'active' state. Current state is {found.stage}.", "experiment_id")
    return found


def for_job(tx: Tx, key: str, name: str, now: float) -> Experiment:
    """The experiment a job names: made when new, taken out of the bin when deleted."""
    found = tx.execute(_BY_NAME, {"workspace": key, "name": name}).first()
    if found is None:
        return ensure_default(tx, key, now) if name == DEFAULT_NAME else create(tx, key, name, now)
    made = Experiment(*found)
    if made.stage != "active":
        made.stage = "active"
        _update(tx, made, now, stage="active")
    return made


def search(
    tx: Tx, key: str, stages: Sequence[str], condition: Node | None, orders: Sequence[Order], limit: int, token: str | None,
) -> tuple[list[Experiment], str | None]:
    """Newest first unless ordered otherwise; the token goes on where the page ended."""
    if tx.execute(_BY_ID, {"workspace": key, "id": DEFAULT_EXPERIMENT}).first() is None:
        workspace(tx, key)
        raise DefaultMissing
    orders = list(orders) or [Order("attribute", "creation_time", False)]
    paging = Paging(orders, _ordered, [(_SEARCHED["experiment_id"], True)], tx.sqlite)
    conditions = [t.c.workspace == key, t.c.stage.in_(stages)]
    if condition is not None:
        conditions.append(where(condition, _reach, tx.sqlite))
    statement = sa.select(*_COLUMNS, *paging.selected).where(*conditions, *paging.after(token)).order_by(*paging.order).limit(limit + 1)
    rows = tx.execute(statement).all()
    return [Experiment(*row[: len(_COLUMNS)]) for row in rows[:limit]], paging.token(rows, limit, len(_COLUMNS))


def rename(tx: Tx, key: str, id_: str, name: str, now: float) -> None:
    found = get(tx, key, id_)
    if found.stage != "active":
        raise MlflowError("INVALID_STATE", "Cannot rename a non-active experiment.", "experiment_id")
    other = tx.execute(_BY_NAME, {"workspace": key, "name": name}).first()
    if other is not None and other.id != id_:
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"Experiment(name={name}) already exists.", "new_name")
    _update(tx, found, now, name=name)


def delete(tx: Tx, key: str, id_: str, now: float) -> None:
    """Into the bin, its runs with it."""
    found = get(tx, key, id_)
    if found.stage != "active":
        raise missing(f"No Experiment with id={id_[:100]} exists")
    _update(tx, found, now, stage="deleted")
    tx.execute(sa.update(tables.run).where(tables.run.c.experiment == found.seq).values(stage="deleted", deleted=now))


def restore(tx: Tx, key: str, id_: str, now: float) -> None:
    """Out of the bin, its runs with it (as MLflow: those that were deleted on their own too)."""
    found = get(tx, key, id_)
    if found.stage != "deleted":
        raise missing(f"No Experiment with id={id_[:100]} exists")
    _update(tx, found, now, stage="active")
    tx.execute(sa.update(tables.run).where(tables.run.c.experiment == found.seq).values(stage="active", deleted=None))


def set_tag(tx: Tx, key: str, id_: str, tag: str, value: str, now: float) -> None:
    found = active(tx, key, id_, now)
    _update(tx, found, now, tags={**found.tags, tag: value})


def delete_tag(tx: Tx, key: str, id_: str, tag: str, now: float) -> None:
    found = active(tx, key, id_, now)
    if tag not in found.tags:
        raise missing(f"No tag with name: {tag} in experiment with id {id_}")
    _update(tx, found, now, tags={k: v for k, v in found.tags.items() if k != tag})


def by_seq(tx: Tx, seqs: set[int]) -> dict[int, Experiment]:
    marks, these = tx.among(list(seqs))
    return {row[0]: of_row(*row) for row in tx.raw(_BY_SEQ.format(marks), (these,)).fetchall()}


def seqs(tx: Tx, key: str, ids: Sequence[str]) -> list[int]:
    """Of the ids that are this workspace's; others are as good as none."""
    marks, these = tx.among(ids)
    return [seq for (seq,) in tx.raw(_SEQS.format(marks), (key, these)).fetchall()]


def _update(tx: Tx, found: Experiment, now: float, **values: Any) -> None:
    tx.execute(sa.update(t).where(t.c.seq == found.seq).values(updated=now, **values))


def _reach(kind: str, name: str) -> Reached:
    if kind == "attribute":
        return lambda test: test(_SEARCHED[name])
    if not is_key(name):  # no tag has such a name, and it has no place in a JSON path
        return lambda test: sa.false()
    return lambda test: test(Column(t.c.tags[name].as_string(), nullable=True))


def _ordered(order: Order) -> Column:
    if order.kind != "attribute":
        raise invalid(f"Invalid order_by entity: {order.kind}", "order_by")
    return _SEARCHED[order.key]
