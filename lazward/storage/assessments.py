"""Queries over assessments of traces."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import MlflowError, missing
from lazward.domain.tracking.assessments import Assessment, Change, changed
from lazward.storage import trace_rows
from lazward.storage.db import Tx
from lazward.storage.engines import dumps
from lazward.storage.pieces import pieces
from lazward.storage.tables import assessment as t

_DOC = ("source_type", "source_id", "error", "span", "rationale", "overrides", "metadata")


def create(tx: Tx, key: str, trace_id: str, new: Assessment) -> Assessment:
    """The assessment it overrides, if any, is no longer valid."""
    trace = trace_rows.get(tx, key, trace_id)
    if new.overrides:
        done = tx.execute(sa.update(t).where(t.c.trace == trace.seq, t.c.id == new.overrides).values(valid=False)).rowcount
        if not done:
            raise missing(f"Assessment with ID '{new.overrides[:100]}' not found for trace '{trace_id}'")
    new = msgspec.structs.replace(new, id=new.id or _id(), valid=True)
    kind = sqlite if tx.sqlite else postgresql
    if tx.execute(kind.insert(t).values(**row(trace.seq, new)).on_conflict_do_nothing().returning(t.c.id)).first() is None:
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"An assessment with id={new.id} exists already for trace '{trace_id}'.", "assessment_id")
    return new


def get(tx: Tx, key: str, trace_id: str, id_: str) -> Assessment:
    return _get(tx, trace_rows.get(tx, key, trace_id).seq, trace_id, id_)


def update(tx: Tx, key: str, trace_id: str, id_: str, change: Change, now_ms: int) -> Assessment:
    seq = trace_rows.get(tx, key, trace_id).seq
    new = changed(_get(tx, seq, trace_id, id_), change, now_ms)
    tx.execute(sa.update(t).where(t.c.trace == seq, t.c.id == id_).values(**row(seq, new)))
    return new


def delete(tx: Tx, key: str, trace_id: str, id_: str) -> None:
    """Nothing when it is not there. What it has overridden is valid again."""
    seq = trace_rows.get(tx, key, trace_id).seq
    found = of(tx, [seq]).get(seq, [])
    gone = next((a for a in found if a.id == id_), None)
    if gone is None:
        return
    if gone.overrides:
        tx.execute(sa.update(t).where(t.c.trace == seq, t.c.id == gone.overrides).values(valid=True))
    tx.execute(sa.delete(t).where(t.c.trace == seq, t.c.id == id_))


def put(tx: Tx, seq: int, said: Sequence[Assessment]) -> None:
    """Those that come with their trace; one that is there already is replaced."""
    rows = {one["id"]: one for one in (row(seq, msgspec.structs.replace(a, id=a.id or _id())) for a in said)}
    if rows:
        tx.execute(sa.delete(t).where(t.c.trace == seq, t.c.id.in_(list(rows))))
        tx.execute(sa.insert(t), list(rows.values()))


def of(tx: Tx, seqs: Sequence[int]) -> dict[int, list[Assessment]]:
    """By trace, the oldest first."""
    out: dict[int, list[Assessment]] = {}
    for some in pieces(seqs):
        for row in tx.execute(sa.select(t).where(t.c.trace.in_(some)).order_by(t.c.created, t.c.id)).all():
            out.setdefault(row.trace, []).append(_from(row))
    return out


def _get(tx: Tx, seq: int, trace_id: str, id_: str) -> Assessment:
    found = tx.execute(sa.select(t).where(t.c.trace == seq, t.c.id == id_)).first()
    if found is None:
        raise missing(f"Assessment with ID '{id_[:100]}' not found for trace '{trace_id}'")
    return _from(found)


def _id() -> str:
    return f"a-{uuid.uuid4().hex}"


def row(seq: int, a: Assessment) -> dict[str, Any]:
    """The columns of an assessment of trace.seq."""
    return {
        "trace": seq, "id": a.id, "kind": a.kind, "name": a.name, "value": dumps(a.value), "number": a.number, "numeric": a.numeric, "valid": a.valid,
        "scoped": a.scoped, "created": a.created, "updated": a.updated, "doc": {name: getattr(a, name) for name in _DOC},
    }


def _from(row: Any) -> Assessment:
    return Assessment(row.id, row.kind, row.name, msgspec.json.decode(row.value), row.created, row.updated, row.valid, **row.doc)
