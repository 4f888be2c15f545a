"""Sums over traces, spans and assessments, made by the database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from lazward.domain.tracking.filter import Compare
from lazward.domain.tracking.trace_metrics import BUCKET, Aggregation, Filter, Query
from lazward.domain.tracking.wire import FIRST, LAST
from lazward.storage import experiments, trace_search
from lazward.storage.db import Tx
from lazward.storage.tables import assessment as a
from lazward.storage.tables import span as s
from lazward.storage.tables import trace as t

_NS = 1_000_000  # in a millisecond
_DIMENSIONS = {
    "trace_name": t.c.name, "trace_status": t.c.state, "span_name": s.c.name, "span_type": s.c.type, "span_status": s.c.status, "span_model_name": s.c.model,
    "span_model_provider": s.c.provider, "assessment_name": a.c.name, "assessment_value": a.c.value,
}
_FILTERED = {
    ("trace", "status"): t.c.state, ("span", "name"): s.c.name, ("span", "status"): s.c.status, ("span", "type"): s.c.type, ("assessment", "name"): a.c.name,
    ("assessment", "type"): a.c.kind,
}


def query(tx: Tx, key: str, experiment_ids: Sequence[str], asked: Query) -> list[tuple[dict[str, str], dict[str, float]]]:
    """(dimensions, values by the aggregation's label) of each group that has a value, by bucket and dimension."""
    experiments.workspace(tx, key)
    seqs = experiments.seqs(tx, key, experiment_ids)
    if not seqs:
        return []
    source, at, value, which = _source(asked)
    which += [t.c.experiment.in_(seqs), value.is_not(None), *(_test(f, tx.sqlite) for f in asked.filters)]
    unit = _NS if at is s.c.started else 1
    if asked.start is not None:
        which.append(at >= _int64(asked.start * unit))
    if asked.end is not None:
        which.append(at < _int64((asked.end + 1) * unit))
    groups: list[Any] = []
    if asked.interval:
        bucket = asked.interval * 1000
        start = s.c.started if asked.view == "SPANS" else t.c.at
        groups.append((start // (bucket * (_NS if asked.view == "SPANS" else 1))) * bucket)
    for name in asked.dimensions:
        groups.append(_DIMENSIONS[name])
        which.append(_DIMENSIONS[name].is_not(None))
    counted = sa.distinct(value) if asked.metric == "session_count" else value
    columns = [_aggregate(each, counted, tx.sqlite) for each in asked.aggregations]
    statement = sa.select(*groups, *columns).select_from(source).where(*which)
    if groups:
        places = [sa.literal_column(str(i + 1)) for i in range(len(groups))]  # by position: a bucket's sum is one expression with parameters
        statement = statement.group_by(*places).order_by(*places)
    out = []
    for row in trace_search.execute(tx, statement.limit(asked.limit)).all():
        named = dict(zip(([BUCKET] if asked.interval else []) + asked.dimensions, row, strict=False))
        if asked.interval:
            named[BUCKET] = dt.datetime.fromtimestamp(max(FIRST, min(named[BUCKET], LAST)) / 1000, dt.UTC).isoformat()
        values = {each.label: float(v) for each, v in zip(asked.aggregations, row[len(groups) :], strict=True) if v is not None}
        if values:
            out.append((named, values))
    return out


def _source(asked: Query) -> tuple[Any, Any, Any, list[Any]]:
    """(tables, the time that start and end speak of, what is summed, conditions). Spans are counted in the time of their trace, their
    cost in their own, as MLflow's."""
    if asked.view == "TRACES":
        column = {"trace_count": t.c.id, "session_count": t.c.session, "latency": t.c.duration}.get(asked.metric)
        return t, t.c.at, t.c.usage[asked.metric].as_float() if column is None else column, []
    if asked.view == "SPANS":
        joined = t.join(s, s.c.trace == t.c.seq)
        if asked.metric == "span_count":
            return joined, t.c.at, s.c.id, []
        if asked.metric == "latency":
            return joined, t.c.at, (s.c.ended - s.c.started) // _NS, []
        return joined, s.c.started, s.c.cost[asked.metric].as_float(), []
    value = a.c.id if asked.metric == "assessment_count" else a.c.number
    return t.join(a, a.c.trace == t.c.seq), t.c.at, value, [a.c.valid]


def _aggregate(each: Aggregation, value: Any, sqlite: bool) -> Any:
    if each.kind == "PERCENTILE":
        assert each.percentile is not None
        if sqlite:
            return sa.func.percentile(value, each.percentile)
        return sa.func.percentile_cont(each.percentile / 100).within_group(sa.cast(value, sa.Double))
    return {"COUNT": sa.func.count, "SUM": sa.func.sum, "AVG": sa.func.avg, "MIN": sa.func.min, "MAX": sa.func.max}[each.kind](value)


def _test(f: Filter, sqlite: bool) -> Any:
    column = _FILTERED.get((f.view, f.entity))
    if column is not None:
        return column == f.value
    return trace_search.condition_of(Compare("tag" if f.entity == "tag" else "metadata", f.key, "=", f.value), (), sqlite)


def _int64(value: int) -> int:
    return max(-(2**63) + 1, min(value, 2**63 - 1))
