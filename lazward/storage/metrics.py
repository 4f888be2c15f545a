"""Metric values written: bulk insert, and of each key the latest, the least and the greatest (read by metric_history.py)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lazward.contract.mlflow import missing
from lazward.domain.tracking.names import Metric
from lazward.storage import metric_sketches, runs, tables
from lazward.storage.db import Tx

_INSERT = "INSERT INTO metric (run, key, at, step, value, nan) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
# PostgreSQL takes a whole batch as arrays: one statement, one round trip. To be ready for a row that is there takes it as long again as to
# insert them, so that many are said to be new first.
_INSERT_NEW = "INSERT INTO metric (run, key, at, step, value, nan) SELECT ?, * FROM unnest(?::text[], ?::bigint[], ?::bigint[], ?::float8[], ?::boolean[])"
_INSERT_ARRAYS = f"{_INSERT_NEW} ON CONFLICT DO NOTHING"
_MANY = 200  # for which a savepoint is worth its two statements
_KNOWN = "SELECT key, step, at, value, nan, low, high, sketched, tail FROM latest_metric WHERE run = ? AND key {}"
_RUN_AND_KNOWN = (
    "SELECT r.seq, r.stage, l.step, l.at, l.value, l.nan, l.low, l.high, l.sketched, l.tail FROM run r JOIN resource w ON w.key = r.workspace "
    "LEFT JOIN latest_metric l ON l.run = r.seq AND l.key = ? WHERE r.workspace = ? AND r.id = ?"
)
_INTO = "INSERT INTO latest_metric (run, key, step, at, value, nan, low, high, sketched, tail) "
_REPLACING = (
    " ON CONFLICT (run, key) DO UPDATE SET step = excluded.step, at = excluded.at, value = excluded.value, nan = excluded.nan, "
    "low = excluded.low, high = excluded.high, sketched = excluded.sketched, tail = excluded.tail"
)
_SET = _INTO + "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" + _REPLACING
_SET_ARRAYS = (
    _INTO + "SELECT * FROM unnest(?::bigint[], ?::text[], ?::bigint[], ?::bigint[], ?::float8[], ?::boolean[], ?::float8[], ?::float8[], ?::bigint[], ?::bigint[])" + _REPLACING  # noqa: S608 - of constants
)
_NEWER = "(excluded.step, excluded.at, excluded.value) > (l.step, l.at, l.value)"
# One value on PostgreSQL as one statement, of which the transaction consists (Tx.last): what _summary() would make of it, where no sketch
# is to be made or taken away. Answers how many rows it wrote.
_AT_ONCE = (
    f"WITH found AS ({_RUN_AND_KNOWN}), "  # noqa: S608 - of constants
    "open AS (SELECT seq FROM found WHERE stage = 'active' AND (tail IS NULL OR (tail + 1 < ? AND ? > sketched))), "
    "made AS (INSERT INTO metric (run, key, at, step, value, nan) SELECT seq, ?, ?, ?, ?, ? FROM open ON CONFLICT DO NOTHING), "
    "told AS (INSERT INTO latest_metric AS l (run, key, step, at, value, nan, low, high, sketched, tail) "
    f"SELECT seq, ?, ?, ?, ?, ?, ?, ?, {metric_sketches.BEGINNING}, 1 FROM open ON CONFLICT (run, key) DO UPDATE SET "
    + ", ".join(f"{name} = CASE WHEN {_NEWER} THEN excluded.{name} ELSE l.{name} END" for name in ("step", "at", "value", "nan"))
    + ", low = least(l.low, excluded.low), high = greatest(l.high, excluded.high), tail = l.tail + 1 RETURNING 1) SELECT count(*) FROM told"
)
_SPANS = 4  # sketches made in one transaction at most
_OF_MODEL = sa.text(
    "INSERT INTO logged_model_metric (model, key, at, step, value, nan, run, dataset, digest) "
    "VALUES (:model, :key, :at, :step, :value, :nan, :run, :dataset, :digest) ON CONFLICT DO NOTHING"
)


def log(tx: Tx, key: str, id_: str, metrics: Sequence[Metric]) -> None:
    log_batch(tx, key, id_, metrics, (), ())


def log_one(tx: Tx, key: str, id_: str, metric: Metric) -> None:
    """log() of one value, with fewer statements: what runs most often of all."""
    if tx.sqlite or metric.model:
        return _log_one(tx, key, id_, metric)
    number = None if metric.nan else metric.value
    value = (metric.value, metric.nan)
    values = (metric.key, key, id_, 2 * metric_sketches.SPAN, metric.at, metric.key, metric.at, metric.step, *value, metric.key, metric.step, metric.at, *value, number, number)
    answer = tx.last(_AT_ONCE, values)
    return tx.later(lambda: None if answer.fetchone()[0] else _log_one(tx, key, id_, metric))


def _log_one(tx: Tx, key: str, id_: str, metric: Metric) -> None:
    found = tx.raw(_RUN_AND_KNOWN, (metric.key, key, id_)).fetchone()
    if found is None or found[1] != "active":
        return log(tx, key, id_, [metric])  # tells what is wrong
    seq, known = found[0], found[2:]
    _insert(tx, seq, [metric])
    tx.raw(_SET, _summary(tx, seq, metric.key, [metric], None if known[0] is None else known))
    if metric.model:
        _log_of_models(tx, key, id_, [metric])
    return None


def log_batch(tx: Tx, key: str, id_: str, metrics: Sequence[Metric], params: Sequence[tuple[str, str]], tags: Sequence[tuple[str, str]]) -> None:
    """All or nothing. A value that is there already (same key, time, step and value) is kept once."""
    seq = runs.writable(tx, key, id_)
    runs.log_params(tx, seq, id_, params)
    runs.write_tags(tx, seq, tags)
    add(tx, seq, metrics)
    _log_of_models(tx, key, id_, metrics)


def add(tx: Tx, seq: int, metrics: Sequence[Metric]) -> None:
    """Adds values to run.seq, whatever stage it is in; metrics of logged models are told apart from these."""
    if metrics:
        _insert(tx, seq, metrics)
        _summarize(tx, seq, metrics)


def take_over(tx: Tx, key: str, source: str, target: str) -> None:
    """Metrics and params of one run become those of another, new one, too."""
    old, new = runs.get(tx, key, source), runs.get(tx, key, target)
    for table in (tables.metric, tables.latest_metric, tables.metric_sketch, tables.param):
        columns = [column for column in table.c if column.name != "run"]
        wanted = sa.select(sa.literal(new.seq), *columns).where(table.c.run == old.seq)
        tx.execute(sa.insert(table).from_select([table.c.run, *columns], wanted))


def _insert(tx: Tx, run: int, metrics: Sequence[Metric]) -> None:
    if len(metrics) == 1:
        (m,) = metrics
        tx.raw(_INSERT, (run, m.key, m.at, m.step, m.value, m.nan))
    elif tx.sqlite:
        tx.raw_many(_INSERT, [(run, m.key, m.at, m.step, m.value, m.nan) for m in metrics])
    else:
        columns = zip(*[(m.key, m.at, m.step, m.value, m.nan) for m in metrics], strict=True)
        values = (run, *map(_array, columns))
        if len(metrics) >= _MANY:
            with contextlib.suppress(IntegrityError), tx.part():
                tx.raw(_INSERT_NEW, values)
                return
        tx.raw(_INSERT_ARRAYS, values)


def _summarize(tx: Tx, run: int, metrics: Sequence[Metric]) -> None:
    """Of each key the latest value by MLflow's rule (greatest step, then time, then value), and the least and greatest that are numbers;
    keys in order, so that two writers lock alike. Long curves get their sketches."""
    by_key: dict[str, list[Metric]] = {}
    for m in metrics:
        by_key.setdefault(m.key, []).append(m)
    names = sorted(by_key)
    marks, these = ("= ?", names[0]) if len(names) == 1 else tx.among(names)
    known = {row[0]: row[1:] for row in tx.raw(_KNOWN.format(marks), (run, these)).fetchall()}
    rows = [_summary(tx, run, name, by_key[name], known.get(name)) for name in names]
    if len(rows) == 1:
        tx.raw(_SET, rows[0])
    elif tx.sqlite:
        tx.raw_many(_SET, rows)
    else:
        tx.raw(_SET_ARRAYS, [_array(column) for column in zip(*rows, strict=True)])


def _summary(tx: Tx, run: int, key: str, metrics: list[Metric], known: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """The row of latest_metric. known: what it was: (step, at, value, nan, low, high, sketched, tail)."""
    latest = max(metrics, key=_rank)  # the first of equals, as when they came one by one
    newest = (latest.step, latest.at, latest.value, latest.nan)
    numbers = [m.value for m in metrics if not m.nan]
    sketched, tail = metric_sketches.BEGINNING, 0
    if known is not None:
        if newest[:3] <= known[:3]:
            newest = known[:4]
        numbers += [value for value in known[4:6] if value is not None]
        sketched, tail = known[6:8]
    tail += len(metrics)
    if sketched >= 0 and (first := min(m.at for m in metrics)) <= sketched:
        tx.takes_a_while()
        sketched, more = metric_sketches.late(tx, run, key, first, sketched)
        tail += more
    for _ in range(_SPANS):
        if tail < 2 * metric_sketches.SPAN:
            break
        tx.takes_a_while()
        sketched, taken = metric_sketches.extend(tx, run, key, sketched)
        tail -= taken or metric_sketches.SPAN  # nothing to take: what was counted was there already, or all of one moment
    return run, key, *newest, min(numbers, default=None), max(numbers, default=None), sketched, tail


def _array(values: Sequence[Any]) -> str:
    """A PostgreSQL array, written out: psycopg's way takes ten times as long, as long as the insert itself."""
    if isinstance(values[0], str):
        return '{"' + '","'.join(value.replace("\\", "\\\\").replace('"', '\\"') for value in values) + '"}'
    return "{" + ",".join("NULL" if value is None else repr(value) for value in values) + "}"


def _rank(m: Metric) -> tuple[int, int, float]:
    return m.step, m.at, m.value


def _log_of_models(tx: Tx, key: str, run_id: str, metrics: Sequence[Metric]) -> None:
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
            "model": known[m.model], "key": m.key, "at": m.at, "step": m.step, "value": m.value, "nan": m.nan, "run": run_id,
            "dataset": m.dataset, "digest": m.digest,
        }
        for m in named
    ])


