"""What can be asked of traces in sums: views, their metrics with the aggregations and dimensions each has, and filters."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names
from lazward.domain.tracking.span_conventions import TOKENS
from lazward.domain.tracking.trace_summary import COSTS

VIEWS = ("TRACES", "SPANS", "ASSESSMENTS")
KINDS = ("COUNT", "SUM", "AVG", "PERCENTILE", "MIN", "MAX")
BUCKET = "time_bucket"
MAX_RESULTS, MAX_AGGREGATIONS = 10_000, 50
_COUNT, _SPREAD = frozenset({"COUNT"}), frozenset({"AVG", "MIN", "MAX", "PERCENTILE"})
_ALL = _SPREAD | {"SUM"}
_MODEL = frozenset({"span_model_name", "span_model_provider"})


class Metric(msgspec.Struct, frozen=True):
    kinds: frozenset[str]
    dimensions: frozenset[str]


METRICS: dict[str, dict[str, Metric]] = {
    "TRACES": {
        "trace_count": Metric(_COUNT, frozenset({"trace_name", "trace_status"})), "session_count": Metric(_COUNT, frozenset()),
        "latency": Metric(_SPREAD, frozenset({"trace_name"})), **{name: Metric(_ALL, frozenset({"trace_name"})) for name in TOKENS},
    },
    "SPANS": {
        "span_count": Metric(_COUNT, _MODEL | {"span_name", "span_type", "span_status"}), "latency": Metric(_SPREAD, frozenset({"span_name", "span_status"})),
        **{name: Metric(_ALL, _MODEL) for name in COSTS},
    },
    "ASSESSMENTS": {
        "assessment_count": Metric(_COUNT, frozenset({"assessment_name", "assessment_value"})),
        "assessment_value": Metric(_SPREAD, frozenset({"assessment_name"})),
    },
}
_ENTITIES = {
    "trace": {"status": False, "tag": True, "metadata": True}, "span": {"name": False, "status": False, "type": False},
    "assessment": {"name": False, "type": False},
}
_FILTER = re.compile(r"""\s*+(?P<view>[a-z]++)\.(?P<entity>[a-z]++)(?:\.(?P<key>`[^`]*`|"[^"]*"|'[^']*'|[^\s=`"']++))?+\s*+=\s*+(?P<value>'[^']*'|"[^"]*")\s*+""")


class Aggregation(msgspec.Struct, frozen=True):
    """kind: one of KINDS. percentile: 0 to 100, of PERCENTILE alone."""

    kind: str
    percentile: float | None = None

    @property
    def label(self) -> str:
        return self.kind if self.percentile is None else f"P{self.percentile}"


class Filter(msgspec.Struct, frozen=True):
    """view: trace | span | assessment. key: of a tag or metadata, else ""."""

    view: str
    entity: str
    key: str
    value: str


class Query(msgspec.Struct):
    """start, end: milliseconds, both inside; interval: seconds of a bucket."""

    view: str
    metric: str
    aggregations: list[Aggregation]
    dimensions: list[str]
    filters: list[Filter]
    interval: int | None
    start: int | None
    end: int | None
    limit: int


def check_query(
    view: Any, metric: str, aggregations: list[Any], dimensions: list[str], filters: list[str], interval: int | None, start: int | None, end: int | None, limit: int,
) -> Query:
    view = VIEWS[view - 1] if isinstance(view, int) and not isinstance(view, bool) and 1 <= view <= len(VIEWS) else view
    if not isinstance(view, str) or view not in METRICS:
        raise invalid(f"view_type must be one of {', '.join(VIEWS)}, got {str(view)[:60]!r}", "view_type")
    known = METRICS[view].get(metric)
    if known is None:
        raise invalid(f"metric_name must be one of {', '.join(METRICS[view])}, got '{metric[:60]}'", "metric_name")
    if not aggregations or len(aggregations) > MAX_AGGREGATIONS:
        raise invalid(f"aggregations must be a list of 1 to {MAX_AGGREGATIONS}.", "aggregations")
    asked = list(dict.fromkeys(_aggregation(a, f"aggregations[{i}]") for i, a in enumerate(aggregations)))
    if wrong := sorted({a.kind for a in asked} - known.kinds):
        raise invalid(f"Found invalid aggregation_type(s): {wrong}. Supported aggregation types: {sorted(known.kinds)}", "aggregations")
    if wrong := sorted(set(dimensions) - known.dimensions):
        raise invalid(f"Found invalid dimension(s): {[w[:60] for w in wrong]}. Supported dimensions: {sorted(known.dimensions)}", "dimensions")
    if interval is not None and not 1 <= interval <= 10**9:
        raise invalid(f"Invalid value {interval} for parameter 'time_interval_seconds' supplied: it must be between 1 and 1000000000.", "time_interval_seconds")
    if interval and (start is None or end is None):
        raise invalid("start_time_ms and end_time_ms are required if time_interval_seconds is set", "time_interval_seconds")
    return Query(view, metric, asked, list(dict.fromkeys(dimensions)), [_filter(text, view) for text in filters], interval, start, end, limit)


def _aggregation(raw: Any, path: str) -> Aggregation:
    kind = raw.get("aggregation_type") if isinstance(raw, dict) else None
    kind = KINDS[kind - 1] if isinstance(kind, int) and not isinstance(kind, bool) and 1 <= kind <= len(KINDS) else kind
    if kind not in KINDS:
        raise invalid(f"Invalid value for parameter '{path}.aggregation_type' supplied: it must be one of {', '.join(KINDS)}.", path)
    percentile = raw.get("percentile_value")
    if kind != "PERCENTILE":
        if percentile is not None:
            raise invalid(f"Percentile value is only allowed for PERCENTILE aggregation type, got {kind}", path)
        return Aggregation(kind)
    value = names.number(percentile, f"{path}.percentile_value")
    if not 0 <= value <= 100:
        raise invalid(f"Percentile value must be between 0 and 100, got {value}", path)
    return Aggregation(kind, value)


def _filter(text: str, view: str) -> Filter:
    """VIEW.ENTITY[.KEY] = 'value', one comparison."""
    match = _FILTER.fullmatch(text) if len(text) <= 10_000 and "\0" not in text else None
    if match is None:
        raise invalid(f"Invalid filter: {text[:200]!r}. Expected one comparison such as trace.tag.team = 'vision': only '=' and quoted strings.", "filters")
    found, entity, key = match["view"], match["entity"], (match["key"] or "").strip("`\"'")
    entities = _ENTITIES.get(found)
    if entities is None or entity not in entities:
        raise invalid(f"Invalid filter: {text[:200]!r}. Columns are {', '.join(f'{v}.{e}' for v, of in _ENTITIES.items() for e in of)}.", "filters")
    if entities[entity] != bool(key):
        raise invalid(f"Filtering by {found}.{entity} {'requires a' if entities[entity] else 'takes no'} key: {text[:200]!r}.", "filters")
    if found != "trace" and found != view.lower().removesuffix("s"):
        raise invalid(f"Filtering by {found} is only supported for the view {found.upper()}S, got {view}", "filters")
    return Filter(found, entity, key, match["value"][1:-1])
