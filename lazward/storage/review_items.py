"""Items of review queues: traces, each with the state of its review."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import missing
from lazward.storage import review_queues, seq_pages, tables
from lazward.storage.db import Tx
from lazward.storage.eval_datasets import moment
from lazward.storage.genai_tables import review_queue_item as t
from lazward.storage.pieces import pieces


class Item(msgspec.Struct):
    """status: PENDING | COMPLETE | DECLINED. Times are unix seconds."""

    seq: int
    id: str
    status: str
    completed_by: str | None
    completed: float | None
    created: float
    updated: float


_COLUMNS = [t.c[name] for name in Item.__struct_fields__]


def add(tx: Tx, key: str, queue_id: str, ids: Sequence[str], now: float) -> list[Item]:
    """Those that are there already keep their state. A trace that is not of the queue's experiment is as good as none."""
    queue, at = review_queues.get(tx, key, queue_id), moment(now)
    traces = known_traces(tx, key, queue.number, ids)
    if wrong := [id_ for id_ in ids if id_ not in traces]:
        raise missing(f"Cannot attach trace(s) {wrong[:10]} to review queue '{queue_id}': they do not exist in experiment '{queue.experiment}'.")
    there = _of(tx, queue.seq, ids)
    fresh = [{"queue": queue.seq, "id": id_, "status": "PENDING", "created": at, "updated": at} for id_ in ids if id_ not in there]
    if fresh:
        tx.execute(sa.insert(t), fresh)
    there = _of(tx, queue.seq, ids)
    return [there[id_] for id_ in ids]


def remove(tx: Tx, key: str, queue_id: str, ids: Sequence[str]) -> None:
    """Those that are not there are passed over."""
    queue = review_queues.get(tx, key, queue_id)
    for some in pieces(ids):
        tx.execute(sa.delete(t).where(t.c.queue == queue.seq, t.c.id.in_(some)))


def page(tx: Tx, key: str, queue_id: str, status: str, limit: int, token: str | None) -> tuple[list[Item], str | None]:
    """Newest first. status: "" for all."""
    queue = review_queues.get(tx, key, queue_id)
    conditions = [t.c.queue == queue.seq, *([t.c.status == status] if status else [])]
    if (after := seq_pages.place(token)) is not None:
        conditions.append(t.c.seq < after)
    found = [Item(*row) for row in tx.execute(sa.select(*_COLUMNS).where(*conditions).order_by(t.c.seq.desc()).limit(limit + 1))]
    return found[:limit], seq_pages.token(found[limit - 1].seq) if len(found) > limit else None


def set_status(tx: Tx, key: str, queue_id: str, id_: str, status: str, user: str, now: float) -> Item:
    """Whoever ended it first stays named when the state is set to what it is."""
    queue, at = review_queues.get(tx, key, queue_id), moment(now)
    found = _of(tx, queue.seq, [id_]).get(id_)
    if found is None:
        raise missing(f"Item '{id_}' is not attached to review queue '{queue_id}'.")
    if found.status != status:
        over = status != "PENDING"
        tx.execute(sa.update(t).where(t.c.seq == found.seq).values(status=status, updated=at, completed=at if over else None, completed_by=user if over else None))
    return _of(tx, queue.seq, [id_])[id_]


def known_traces(tx: Tx, key: str, experiment: int, ids: Sequence[str]) -> set[str]:
    """Those of the ids that are traces of the experiment (its seq)."""
    trace = tables.trace
    found: set[str] = set()
    for some in pieces(ids):
        found |= set(tx.execute(sa.select(trace.c.id).where(trace.c.workspace == key, trace.c.experiment == experiment, trace.c.id.in_(some))).scalars())
    return found


def _of(tx: Tx, queue: int, ids: Sequence[str]) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for some in pieces(ids):
        rows = tx.execute(sa.select(*_COLUMNS).where(t.c.queue == queue, t.c.id.in_(some)))
        found.update((row.id, Item(*row)) for row in rows)
    return found
