"""Metric values read: histories, how far each has come, samples for charts. Order of a history is MLflow's: time, step, value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import invalid
from lazward.domain.tracking.sampling import thinned
from lazward.storage import metric_sketches, runs, tables
from lazward.storage.db import Tx
from lazward.storage.pieces import pieces
from lazward.storage.search import Column, Paging, no_order

_m = tables.metric
_INT64 = 2**63


class Point(msgspec.Struct):
    """One value. at: milliseconds. value is 0 when nan."""

    at: int
    step: int
    value: float
    nan: bool
    run: str = ""
    key: str = ""


def history(tx: Tx, key: str, id_: str, name: str, limit: int | None, token: str | None) -> tuple[list[Point], str | None]:
    """limit None: all of it."""
    run = runs.get(tx, key, id_)
    keys = [(Column(expr, number=True), True) for expr in (_m.c.at, _m.c.step, _m.c.value, sa.cast(_m.c.nan, sa.Integer))]
    paging = Paging([], no_order, keys, tx.sqlite)
    wanted = [_m.c.at, _m.c.step, _m.c.value, _m.c.nan]
    statement = sa.select(*wanted, *paging.selected).where(_m.c.run == run.seq, _m.c.key == name, *paging.after(token)).order_by(*paging.order)
    rows: Any = tx.execute(statement if limit is None else statement.limit(limit + 1)).all()
    limit = len(rows) if limit is None else limit
    return [Point(*row[:4]) for row in rows[:limit]], paging.token(rows, limit, len(wanted))


class Extent(msgspec.Struct):
    """How far a metric of a run has come. at: milliseconds, of the latest value. low, high: None while no value is a number."""

    step: int
    at: int
    value: float
    low: float | None
    high: float | None


def extents(tx: Tx, key: str, ids: Sequence[str], name: str) -> dict[str, Extent]:
    """Run id -> extent, of those runs that have logged the metric; reads no histories."""
    t, run, out = tables.latest_metric, tables.run, {}
    for some in pieces(ids):
        found = tx.execute(
            sa.select(run.c.id, t.c.step, t.c.at, t.c.value, t.c.low, t.c.high).join(t, t.c.run == run.c.seq)
            .where(run.c.workspace == key, run.c.id.in_(some), t.c.key == name)
        )
        out |= {id_: Extent(*row) for id_, *row in found}
    return out


def steps(tx: Tx, key: str, id_: str, prefix: str) -> dict[str, int]:
    """The greatest step of each of the run's metrics whose key begins so; reads no histories."""
    t, run = tables.latest_metric, runs.get(tx, key, id_)
    found = tx.execute(sa.select(t.c.key, t.c.step).where(t.c.run == run.seq, t.c.key.startswith(prefix, autoescape=True)))
    return {row.key: row.step for row in found}


def places(tx: Tx, key: str, id_: str, name: str, since: int, limit: int) -> list[tuple[int, int]]:
    """(at, step) of the newest values of a metric that are not older than `since` (milliseconds), the newest first."""
    run = runs.get(tx, key, id_)
    rows = tx.execute(sa.select(_m.c.at, _m.c.step).where(_m.c.run == run.seq, _m.c.key == name, _m.c.at >= since).order_by(_m.c.at.desc()).limit(limit))
    return [(row.at, row.step) for row in rows]


def history_bulk(tx: Tx, key: str, ids: Sequence[str], name: str, limit: int) -> list[Point]:
    """Histories of several runs one after the other, ordered by run id, cut off at `limit` values in all."""
    out: list[Point] = []
    for id_ in sorted(set(ids)):
        run = runs.get(tx, key, id_)
        order = (_m.c.at, _m.c.step, _m.c.value)
        rows = tx.execute(
            sa.select(_m.c.at, _m.c.step, _m.c.value, _m.c.nan).where(_m.c.run == run.seq, _m.c.key == name).order_by(*order).limit(limit - len(out))
        )
        out += [Point(*row, run=id_, key=name) for row in rows]
        if len(out) >= limit:
            break
    return out


def sampled(tx: Tx, key: str, ids: Sequence[str], name: str, limit: int, first: int | None, last: int | None) -> list[Point]:
    """At most `limit` values per run of those logged between two steps, in the order of steps: the first, the last, and the least and
    the greatest of every stretch between them."""
    if first is not None and last is not None and first > last:
        raise invalid(f"end_step must be greater than start_step. Found start_step={first} and end_step={last}.", "end_step")
    out: list[Point] = []
    for id_ in ids:
        run = runs.get(tx, key, id_)
        rows = metric_sketches.curve(tx, run.seq, name, -_INT64 if first is None else first, _INT64 if last is None else last)
        out += sorted((Point(*row, run=id_, key=name) for row in thinned(rows, limit)), key=lambda p: (p.step, p.at, p.value))
    return out
