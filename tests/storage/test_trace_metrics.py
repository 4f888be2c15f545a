from __future__ import annotations

import pytest

from lazward.domain.tracking.trace_metrics import check_query
from lazward.storage import assessments, trace_metrics
from tests.storage.trace_data import S, find, id_of, log, make_span, said, start
from tests.storage.tracking_data import KEY, OTHER, make_run, make_workspaces

COUNT, P50 = {"aggregation_type": "COUNT"}, {"aggregation_type": "PERCENTILE", "percentile_value": 50}
DAY = 86_400_000


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)
    make_run(db, "r1")
    for n, (duration, name, state, tokens) in enumerate(((10, "a", "OK", 1), (20, "a", "ERROR", 2), (40, "b", "OK", 4), (None, "b", "IN_PROGRESS", None)), 1):
        log(db, make_span(n, 1, end=n, name="root", mlflow__spanType="LLM", mlflow__llm__model=f"m{n % 2}", mlflow__llm__cost={"total_cost": n / 4}), make_span(n, 2, 1, name="child", status="ERROR"))
        metadata = {"mlflow.trace.session": f"s{n % 2}", **({"mlflow.trace.tokenUsage": f'{{"total_tokens": {tokens}}}'} if tokens else {})}
        start(db, n, at=n * DAY, duration=duration, state=state, tags={"mlflow.traceName": name, "t": str(n)}, metadata={**metadata, **({"mlflow.sourceRun": "r1"} if n == 1 else {})})
    for n, value in ((1, 1), (2, "yes"), (3, False), (3, "text")):
        db.write_now(assessments.create, KEY, id_of(n), said("score", value))
    start(db, 9, key=OTHER.key)


def ask(db, view, metric, *aggregations, dimensions=(), filters=(), interval=None, since=None, until=None, limit=1000):
    asked = check_query(view, metric, list(aggregations) or [COUNT], list(dimensions), list(filters), interval, since, until, limit)
    return db.read_now(trace_metrics.query, KEY, ["0"], asked)


def kinds(*names):
    return [{"aggregation_type": name} for name in names]


def test_traces(db):
    assert ask(db, "TRACES", "trace_count") == [({}, {"COUNT": 4})]
    assert ask(db, "TRACES", "trace_count", dimensions=["trace_name", "trace_status"]) == [
        ({"trace_name": "a", "trace_status": "ERROR"}, {"COUNT": 1}), ({"trace_name": "a", "trace_status": "OK"}, {"COUNT": 1}),
        ({"trace_name": "b", "trace_status": "IN_PROGRESS"}, {"COUNT": 1}), ({"trace_name": "b", "trace_status": "OK"}, {"COUNT": 1}),
    ]
    assert ask(db, "TRACES", "session_count") == [({}, {"COUNT": 2})]
    assert ask(db, "TRACES", "latency", *kinds("AVG", "MIN", "MAX"), P50, {"aggregation_type": "PERCENTILE", "percentile_value": 75}) == [
        ({}, {"AVG": pytest.approx(70 / 3), "MIN": 10, "MAX": 40, "P50.0": 20, "P75.0": 30})
    ]
    assert ask(db, "TRACES", "total_tokens", *kinds("SUM"), dimensions=["trace_name"]) == [({"trace_name": "a"}, {"SUM": 3}), ({"trace_name": "b"}, {"SUM": 4})]
    assert ask(db, "TRACES", "input_tokens", *kinds("SUM")) == []


def test_spans(db):
    assert ask(db, "SPANS", "span_count", dimensions=["span_name", "span_status"]) == [
        ({"span_name": "child", "span_status": "ERROR"}, {"COUNT": 4}), ({"span_name": "root", "span_status": "UNSET"}, {"COUNT": 4}),
    ]
    assert ask(db, "SPANS", "total_cost", *kinds("SUM", "MAX"), dimensions=["span_model_name"]) == [({"span_model_name": "m0"}, {"SUM": 1.5, "MAX": 1.0}), ({"span_model_name": "m1"}, {"SUM": 1.0, "MAX": 0.75})]
    assert ask(db, "SPANS", "latency", *kinds("MAX"), filters=["span.name = 'root'"]) == [({}, {"MAX": 4000})]


def test_assessments(db):
    assert ask(db, "ASSESSMENTS", "assessment_value", *kinds("AVG")) == [({}, {"AVG": pytest.approx(2 / 3)})]
    assert ask(db, "ASSESSMENTS", "assessment_count", dimensions=["assessment_value"], filters=["trace.status = 'OK'"]) == [
        ({"assessment_value": v}, {"COUNT": 1}) for v in sorted(('"text"', "1", "false"))
    ]


@pytest.mark.parametrize(("text", "count"), [
    ("trace.status = 'OK'", 2), ("trace.tag.t = '3'", 1), ("trace.tag.mlflow.traceName = 'a'", 2), ("trace.metadata.`mlflow.sourceRun` = 'r1'", 1), ("trace.metadata.mlflow.trace.session = 's1'", 2),
])
def test_filters(db, text, count):
    assert ask(db, "TRACES", "trace_count", filters=[text]) == [({}, {"COUNT": count})]


def test_time(db):
    assert ask(db, "TRACES", "trace_count", since=2 * DAY, until=3 * DAY) == [({}, {"COUNT": 2})]
    assert ask(db, "TRACES", "trace_count", interval=2 * 86_400, since=0, until=9 * DAY) == [
        ({"time_bucket": f"1970-01-{day:02d}T00:00:00+00:00"}, {"COUNT": count}) for day, count in ((1, 1), (3, 2), (5, 1))
    ]
    assert ask(db, "TRACES", "trace_count", interval=86_400, since=0, until=9 * DAY, dimensions=["trace_name"], limit=1) == [({"time_bucket": "1970-01-02T00:00:00+00:00", "trace_name": "a"}, {"COUNT": 1})]
    ((bucket, values),) = ask(db, "SPANS", "span_count", interval=3600, since=0, until=9 * DAY)
    assert (bucket["time_bucket"], values) == ("2027-01-15T08:00:00+00:00", {"COUNT": 8}), "spans are in buckets of their own time"
    assert ask(db, "SPANS", "total_cost", *kinds("SUM"), since=0, until=9 * DAY) == []
    assert ask(db, "SPANS", "total_cost", *kinds("SUM"), since=S * 1000, until=2**63) == [({}, {"SUM": 2.5})]


def test_nothing(db):
    asked = check_query("TRACES", "trace_count", [COUNT], [], [], None, None, None, 10)
    assert db.read_now(trace_metrics.query, KEY, ["none"], asked) == []
    assert find(db)[0] == [4, 3, 2, 1]
