"""Metric values: bulk insert, the latest of each key, histories. Order of a history is MLflow's: time, then step, then value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import invalid, missing
from lazward.domain.tracking.filter import Order
from lazward.domain.tracking.names import Metric
from lazward.storage import runs, tables
from lazward.storage.db import Tx
from lazward.storage.runs import Run
from lazward.storage.search import Column, Paging

_m = tables.metric
_INSERT = "INSERT INTO metric (run, key, at, step, value, nan) VALUES ({}) ON CONFLICT DO NOTHING"
_INSERT_SQLITE, _INSERT_POSTGRES = _INSERT.format("?, ?, ?, ?, ?, ?"), _INSERT.format("%s, %s, %s, %s, %s, %s")
# PostgreSQL takes the whole batch as six arrays: one statement, one round trip.
_INSERT_ARRAYS = sa.text(
    "INSERT INTO metric (run, key, at, step, value, nan) SELECT :run, * FROM unnest(CAST(:key AS text[]), CAST(:at AS bigint[]), CAST(:step AS bigint[]), "
    "CAST(:value AS float8[]), CAST(:nan AS boolean[])) ON CONFLICT DO NOTHING"
)
# MLflow's rule: the latest value is the one of the greatest step, then time, then value.
_LATEST = sa.text("""
    INSERT INTO latest_metric (run, key, step, at, value, nan, low, high) VALUES (:run, :key, :step, :at, :value, :nan, :low, :high)
    ON CONFLICT (run, key) DO UPDATE SET
        step = CASE WHEN (excluded.step, excluded.at, excluded.value) > (latest_metric.step, latest_metric.at, latest_metric.value) THEN excluded.step ELSE latest_metric.step END,
        at = CASE WHEN (excluded.step, excluded.at, excluded.value) > (latest_metric.step, latest_metric.at, latest_metric.value) THEN excluded.at ELSE latest_metric.at END,
        value = CASE WHEN (excluded.step, excluded.at, excluded.value) > (latest_metric.step, latest_metric.at, latest_metric.value) THEN excluded.value ELSE latest_metric.value END,
        nan = CASE WHEN (excluded.step, excluded.at, excluded.value) > (latest_metric.step, latest_metric.at, latest_metric.value) THEN excluded.nan ELSE latest_metric.nan END,
        low = CASE WHEN latest_metric.low <= excluded.low THEN latest_metric.low ELSE coalesce(excluded.low, latest_metric.low) END,
        high = CASE WHEN latest_metric.high >= excluded.high THEN latest_metric.high ELSE coalesce(excluded.high, latest_metric.high) END
""")
_OF_MODEL = sa.text(
    "INSERT INTO logged_model_metric (model, key, at, step, value, nan, run, dataset, digest) "
    "VALUES (:model, :key, :at, :step, :value, :nan, :run, :dataset, :digest) ON CONFLICT DO NOTHING"
)


class Point(msgspec.Struct):
    """One value. at: milliseconds. value is 0 when nan."""

    at: int
    step: int
    value: float
    nan: bool
    run: str = ""
    key: str = ""


def log(tx: Tx, key: str, id_: str, metrics: Sequence[Metric]) -> None:
    log_batch(tx, key, id_, metrics, (), ())


def log_batch(tx: Tx, key: str, id_: str, metrics: Sequence[Metric], params: Sequence[tuple[str, str]], tags: Sequence[tuple[str, str]]) -> None:
    """All or nothing. A value that is there already (same key, time, step and value) is kept once."""
    run = runs.active(tx, key, id_)
    runs.log_params(tx, run, params)
    runs.write_tags(tx, run, tags)
    if metrics:
        _insert(tx, run, metrics)
        tx.execute(_LATEST, _summary(run, metrics))
        _log_of_models(tx, key, run, metrics)


def take_over(tx: Tx, key: str, source: str, target: str) -> None:
    """Metrics and params of one run become those of another, new one, too."""
    old, new = runs.get(tx, key, source), runs.get(tx, key, target)
    for table in (tables.metric, tables.latest_metric, tables.param):
        columns = [column for column in table.c if column.name != "run"]
        wanted = sa.select(sa.literal(new.seq), *columns).where(table.c.run == old.seq)
        tx.execute(sa.insert(table).from_select([table.c.run, *columns], wanted))


def _insert(tx: Tx, run: Run, metrics: Sequence[Metric]) -> None:
    if tx.sqlite or len(metrics) < 4:  # straight to the driver: it takes a row in a fraction of the time that compiling parameters does
        rows = [(run.seq, m.key, m.at, m.step, m.value, m.nan) for m in metrics]
        tx.conn.exec_driver_sql(_INSERT_SQLITE if tx.sqlite else _INSERT_POSTGRES, rows)
        return
    columns = {name: [getattr(m, name) for m in metrics] for name in ("key", "at", "step", "value", "nan")}
    tx.execute(_INSERT_ARRAYS, {"run": run.seq, **columns})


def _summary(run: Run, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Of each key the latest value, and the least and greatest that are numbers; keys in order, so that two writers lock alike."""
    by_key: dict[str, list[Metric]] = {}
    for m in metrics:
        by_key.setdefault(m.key, []).append(m)
    out = []
    for key in sorted(by_key):
        latest = max(by_key[key], key=_rank)  # the first of equals, as when they came one by one
        numbers = [m.value for m in by_key[key] if not m.nan]
        low, high = (min(numbers), max(numbers)) if numbers else (None, None)
        out.append({"run": run.seq, "key": key, "step": latest.step, "at": latest.at, "value": latest.value, "nan": latest.nan, "low": low, "high": high})
    return out


def _rank(m: Metric) -> tuple[int, int, float]:
    return m.step, m.at, m.value


def _log_of_models(tx: Tx, key: str, run: Run, metrics: Sequence[Metric]) -> None:
    """Metrics that name a logged model are the model's too."""
    named = [m for m in metrics if m.model]
    if not named:
        return
    model = tables.logged_model
    wanted = {m.model for m in named}
    known = {r.id: r.seq for r in tx.execute(sa.select(model.c.id, model.c.seq).where(model.c.workspace == key, model.c.id.in_(wanted)))}
    if lost := sorted(wanted - known.keys()):
        raise missing(f"Logged model with ID '{lost[0][:100]}' not found.")
    tx.execute(_OF_MODEL, [
        {
            "model": known[m.model], "key": m.key, "at": m.at, "step": m.step, "value": m.value, "nan": m.nan, "run": run.id,
            "dataset": m.dataset, "digest": m.digest,
        }
        for m in named
    ])


def history(tx: Tx, key: str, id_: str, name: str, limit: int | None, token: str | None) -> tuple[list[Point], str | None]:
    """limit None: all of it."""
    run = runs.get(tx, key, id_)
    keys = [(Column(expr, number=True), True) for expr in (_m.c.at, _m.c.step, _m.c.value, sa.cast(_m.c.nan, sa.Integer))]
    paging = Paging([], _no_order, keys, tx.sqlite)
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
    for start in range(0, len(ids), 500):
        found = tx.execute(
            sa.select(run.c.id, t.c.step, t.c.at, t.c.value, t.c.low, t.c.high).join(t, t.c.run == run.c.seq)
            .where(run.c.workspace == key, run.c.id.in_(ids[start : start + 500]), t.c.key == name)
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
    """At most `limit` values per run, evenly over the values logged between two steps, the first and the last among them."""
    if first is not None and last is not None and first > last:
        raise invalid(f"end_step must be greater than start_step. Found start_step={first} and end_step={last}.", "end_step")
    out: list[Point] = []
    for id_ in ids:
        run = runs.get(tx, key, id_)
        conditions = [_m.c.run == run.seq, _m.c.key == name]
        if first is not None and last is not None:
            conditions += [_m.c.step >= first, _m.c.step <= last]
        total = tx.execute(sa.select(sa.func.count()).select_from(_m).where(*conditions)).scalar_one()
        if not total:
            continue
        # Counted in the order they are stored in, which needs no sorting: for a loop that logs as it goes it is the order of steps.
        place = (sa.func.row_number().over(order_by=(_m.c.at, _m.c.step, _m.c.value, _m.c.nan)) - 1).label("place")
        ranked = sa.select(_m.c.at, _m.c.step, _m.c.value, _m.c.nan, place).where(*conditions).subquery()
        # The first row of each of `limit` even stretches, and the very last row.
        starts = sa.or_(ranked.c.place == 0, (ranked.c.place * limit) // total != ((ranked.c.place - 1) * limit) // total)
        picked = sa.select(ranked.c.at, ranked.c.step, ranked.c.value, ranked.c.nan).where(sa.or_(starts, ranked.c.place == total - 1))
        rows = [Point(*row, run=id_, key=name) for row in tx.execute(picked.order_by(ranked.c.place))]
        rows = rows if len(rows) <= limit else rows[: limit - 1] + rows[-1:]
        out += sorted(rows, key=lambda p: (p.step, p.at, p.value))
    return out


def _no_order(order: Order) -> Column:
    raise AssertionError("a history has one order")
