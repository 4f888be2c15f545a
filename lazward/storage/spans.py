"""Queries over spans: taken in by the request, in one transaction of a few statements however many spans there are, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.trace_summary import (
    FINAL,
    SPANS_LOCATION,
    TOKEN_USAGE,
    TRACE_COST,
    TRACKING_STORE,
    USER,
    Node,
    TraceBatch,
    totals,
)
from lazward.domain.tracking.traces import IN_PROGRESS, STATES
from lazward.storage import experiments, runs, trace_rows, traces
from lazward.storage.db import Tx
from lazward.storage.engines import dumps
from lazward.storage.pieces import pieces
from lazward.storage.tables import span as t
from lazward.storage.trace_rows import Trace

_REPLACED = [c.name for c in t.c if c.name not in ("trace", "id")]
_OPEN = (STATES[0], IN_PROGRESS)


def _upsert(kind: Any) -> Any:
    insert = kind.insert(t)
    return insert.on_conflict_do_update(index_elements=["trace", "id"], set_={name: insert.excluded[name] for name in _REPLACED})


# Many rows of long texts go to PostgreSQL in a pipeline, one round trip; as arrays, which psycopg has to quote, they take twice as long.
_UPSERT_SQLITE, _UPSERT_POSTGRES = _upsert(sqlite), _upsert(postgresql)


def log(tx: Tx, key: str, experiment_id: str, batches: Sequence[TraceBatch], run_id: str | None, now: float) -> str | None:
    """Spans as they come: traces are made as needed, and told what their spans say of them, unless the client has said it of the whole
    trace. A span that is there already is replaced. run_id: traces whose root is among the spans are linked to this run; when there is
    no such run the spans are kept, and the answer says so."""
    known = {trace.id: trace for trace in trace_rows.some(tx, key, [batch.id for batch in batches])}
    fresh: list[Trace] = []
    if any(batch.id not in known for batch in batches):
        experiment = experiments.active(tx, key, experiment_id, now)
        fresh = [_begun(batch, experiment.seq) for batch in batches if batch.id not in known]
        trace_rows.insert(tx, key, fresh)
    old = _nodes(tx, [known[batch.id].seq for batch in batches if batch.id in known and _counted(known[batch.id], batch)])
    grown = [_grown(known[batch.id], batch, old.get(known[batch.id].seq, {})) for batch in batches if batch.id in known]
    if grown:
        trace_rows.update(tx, grown)
    seqs = {trace.id: trace.seq for trace in (*fresh, *grown)}
    tx.execute(_UPSERT_SQLITE if tx.sqlite else _UPSERT_POSTGRES, [{"trace": seqs[batch.id], **row} for batch in batches for row in batch.rows])
    if not run_id:
        return None
    try:
        run = runs.get(tx, key, run_id)
    except MlflowError as error:
        return error.message
    trace_rows.link(tx, [seqs[batch.id] for batch in batches if batch.state], "run", [run.id])
    return None


def contents(tx: Tx, seqs: Sequence[int]) -> dict[int, list[str]]:
    """The kept spans of traces, the root first, then by their start."""
    out: dict[int, list[str]] = {}
    for some in pieces(seqs):
        statement = sa.select(t.c.trace, t.c.content).where(t.c.trace.in_(some))
        for row in tx.execute(statement.order_by(t.c.trace, t.c.parent.is_not(None), t.c.started, t.c.id)).all():
            out.setdefault(row.trace, []).append(row.content)
    return out


def whole(tx: Tx, key: str, trace_id: str) -> tuple[traces.Full, list[str]]:
    """A trace with its kept spans, [] when they are elsewhere."""
    full = traces.one(tx, key, trace_id)
    return full, contents(tx, [full.trace.seq]).get(full.trace.seq, [])


def whole_many(tx: Tx, key: str, ids: Sequence[str], experiment_ids: Sequence[str] | None) -> list[tuple[traces.Full, list[str]]]:
    found = traces.many(tx, key, ids, experiment_ids)
    kept = contents(tx, [full.trace.seq for full in found])
    return [(full, kept.get(full.trace.seq, [])) for full in found]


def _begun(batch: TraceBatch, experiment: int) -> Trace:
    """A trace as its first spans tell it."""
    trace = Trace(
        0, batch.id, experiment, batch.start, None if batch.end is None else batch.end - batch.start, batch.state or IN_PROGRESS, None, None, None, None, None,
        {}, {}, None, None,
    )
    return _told(trace, batch, batch.nodes)


def _grown(trace: Trace, batch: TraceBatch, old: dict[str, Node]) -> Trace:
    if FINAL not in trace.metadata:
        start = min(trace.at, batch.start)
        ends = [trace.at + trace.duration] if trace.duration is not None else []
        ends += [batch.end] if batch.end is not None else []
        trace.at, trace.duration = start, max(ends) - start if ends else None
    if trace.state in _OPEN and batch.state:
        trace.state = batch.state
    return _told(trace, batch, list({**old, **{node.id: node for node in batch.nodes}}.values()))


def _told(trace: Trace, batch: TraceBatch, nodes: list[Node]) -> Trace:
    """What holds of a new trace as of one that grows; what the client has said itself stays."""
    trace.tags = {**trace.tags, **batch.tags, SPANS_LOCATION: TRACKING_STORE}
    trace.name = trace.name or batch.name
    trace.request = trace.request if trace.request is not None else batch.request
    trace.response = trace.response if trace.response is not None else batch.response
    told: dict[str, str] = {}
    final = FINAL in trace.metadata
    if batch.session and trace.session is None:
        told["mlflow.trace.session"] = batch.session
    if batch.user and USER not in trace.metadata:
        told[USER] = batch.user
    if _counted(trace, batch):
        usage, cost = totals(nodes)
        if usage and not (final and trace.usage):
            told[TOKEN_USAGE] = dumps(usage)
        if cost and not (final and trace.cost):
            told[TRACE_COST] = dumps(cost)
    if told:
        trace.describe(told)
    return trace


def _counted(trace: Trace, batch: TraceBatch) -> bool:
    """Whether its numbers may be others now. A span without any can be what joins a branch to one above that speaks for it."""
    return batch.counts or (FINAL not in trace.metadata and bool(trace.usage or trace.cost))


def _nodes(tx: Tx, seqs: Sequence[int]) -> dict[int, dict[str, Node]]:
    """The trees of these traces, without what the spans hold."""
    out: dict[int, dict[str, Node]] = {}
    for some in pieces(seqs):
        for row in tx.execute(sa.select(t.c.trace, t.c.id, t.c.parent, t.c.usage, t.c.cost).where(t.c.trace.in_(some))).all():
            out.setdefault(row.trace, {})[row.id] = Node(row.id, row.parent, row.usage, row.cost)
    return out
