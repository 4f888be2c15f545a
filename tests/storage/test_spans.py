from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.storage import spans, tables, traces
from tests.storage.trace_data import S, find, id_of, log, make_span, start
from tests.storage.tracking_data import KEY, OTHER, make_run, make_workspaces

NUMBERS = itertools.count(1)
USAGE, COST = "mlflow__chat__tokenUsage", "mlflow__llm__cost"


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)


def trace(db, number):
    return db.read_now(traces.one, KEY, id_of(number)).trace


def usage(db, number):
    return json.loads(trace(db, number).metadata.get("mlflow.trace.tokenUsage", "null"))


def tokens(count):
    return {"input_tokens": count, "output_tokens": 0, "total_tokens": count}


def test_spans_make_their_trace(db):
    log(
        db, make_span(1, 2, 1, name="child", start=0.25, end=0.75),
        make_span(1, 1, name="root", status="OK", mlflow__spanInputs={"q": 1}, mlflow__spanOutputs="four", session__id="s1", user__id="u1", mlflow__traceTag__team="a",
                  resource={"service.name": "app", "telemetry.sdk.name": "x"}),
    )
    found = trace(db, 1)
    assert (found.state, found.at, found.duration, found.name, found.session) == ("OK", S * 1000, 1000, "root", "s1")
    assert (found.request, found.response) == ('{"q": 1}', '"four"')
    assert found.tags == {"mlflow.trace.spansLocation": "TRACKING_STORE", "team": "a", "service.name": "app"}
    assert found.metadata == {"mlflow.trace.session": "s1", "mlflow.trace.user": "u1"}
    _, kept = db.read_now(spans.whole, KEY, id_of(1))
    assert [json.loads(k)["name"] for k in kept] == ["root", "child"]


def test_spans_that_come_one_by_one(db):
    log(db, make_span(1, 3, 2, start=0.5, end=None))
    assert (trace(db, 1).state, trace(db, 1).duration) == ("IN_PROGRESS", None)
    log(db, make_span(1, 2, 1, start=0.25, end=3))
    log(db, make_span(1, 1, start=0, end=2, status="ERROR", name="root"))
    found = trace(db, 1)
    assert (found.state, found.at, found.duration, found.name) == ("ERROR", S * 1000, 3000, "root")
    log(db, make_span(1, 3, 2, name="again", start=0.5, end=0.6))
    _, kept = db.read_now(spans.whole, KEY, id_of(1))
    assert [json.loads(k)["name"] for k in kept] == ["root", "span 2", "again"]


def test_what_the_client_says_of_the_whole_counts(db):
    start(db, 1, at=5, duration=7, state="OK", request="mine", metadata={"mlflow.trace.tokenUsage": json.dumps(tokens(3))}, tags={"mlflow.traceName": "named"})
    log(db, make_span(1, 1, status="ERROR", name="root", mlflow__spanInputs="theirs", mlflow__spanOutputs="theirs", **{USAGE: tokens(50)}))
    found = trace(db, 1)
    assert (found.at, found.duration, found.state, found.request, found.response, found.name) == (5, 7, "OK", "mine", '"theirs"', "named")
    assert usage(db, 1)["total_tokens"] == 3
    log(db, make_span(2, 1, **{USAGE: tokens(50)}))
    start(db, 2, metadata={"mlflow.trace.tokenUsage": json.dumps(tokens(4))})
    assert usage(db, 2)["total_tokens"] == 4


def test_numbers_are_summed_over_the_tree_however_it_arrives(db):
    """An agent's own sum speaks for the calls below it."""
    log(db, make_span(1, 4, 3, **{USAGE: tokens(10), COST: {"total_cost": 0.5}}))
    log(db, make_span(1, 5, 3, **{USAGE: tokens(20)}))
    assert usage(db, 1)["total_tokens"] == 30
    log(db, make_span(1, 3, 1, **{USAGE: tokens(31)}))
    assert usage(db, 1)["total_tokens"] == 31
    log(db, make_span(1, 6, 1, **{USAGE: {**tokens(1), "cache_read_input_tokens": 9}}), make_span(1, 1))
    assert usage(db, 1) == {"input_tokens": 32, "output_tokens": 0, "total_tokens": 32, "cache_read_input_tokens": 9}
    log(db, make_span(1, 6, 1, **{USAGE: tokens(2)}))
    assert usage(db, 1)["total_tokens"] == 33
    assert json.loads(trace(db, 1).metadata["mlflow.trace.cost"])["total_cost"] == 0.5


def test_a_request_is_few_statements(db):
    seen = []
    sa.event.listen(db.engine, "before_cursor_execute", lambda conn, cursor, statement, params, context, many: seen.append((statement, many)))
    log(db, *(make_span(n, i, None if i == 1 else 1, **{USAGE: tokens(1)}) for n in range(1, 40) for i in range(1, 25)))
    assert len([s for s, _ in seen if "BEGIN" not in s and "PRAGMA" not in s]) <= 12, [s[:80] for s, _ in seen]
    seen.clear()
    log(db, *(make_span(n, i, 1, **{USAGE: tokens(1)}) for n in range(1, 40) for i in range(30, 40)))
    assert len([s for s, _ in seen if "BEGIN" not in s and "PRAGMA" not in s]) <= 6, [s[:80] for s, _ in seen]
    assert db.read_now(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(tables.span)).scalar()) == 39 * 34


def test_places(db):
    with pytest.raises(MlflowError, match="No Experiment"):
        log(db, make_span(1, 1), experiment="none")
    log(db, make_span(1, 1))
    log(db, make_span(1, 1, name="theirs"), key=OTHER.key)  # ids are unique in a workspace
    assert trace(db, 1).name == "span 1"
    with pytest.raises(MlflowError, match="not found"):
        db.read_now(spans.whole, OTHER.key, id_of(2))


def test_runs_are_linked(db):
    make_run(db, "r1")
    assert log(db, make_span(1, 1), make_span(2, 2, 1), run="r1") is None
    assert find(db, "run_id = 'r1'")[0] == [1]  # the root of the other is not there yet
    assert "not found" in (log(db, make_span(3, 1), run="none") or "")
    assert find(db)[0] == [1, 2, 3]


def test_writers_at_once_lose_nothing(db):
    """Threads of one program, and programs of one trace, send their spans at the same moment."""

    def send(writer: int) -> None:
        for i in range(5):
            log(db, make_span(1, 100 * writer + i + 10, 1, **{USAGE: tokens(1)}), make_span(10 + writer, i + 1, **{USAGE: tokens(1)}))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(send, range(6)))
    log(db, make_span(1, 1))
    assert usage(db, 1)["total_tokens"] == 30
    assert [usage(db, 10 + writer)["total_tokens"] for writer in range(6)] == [5] * 6
    assert len(db.read_now(spans.whole, KEY, id_of(1))[1]) == 31


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(1, 8)), parents=st.lists(st.integers(0, 6), min_size=7, max_size=7), counts=st.lists(st.integers(0, 3), min_size=7, max_size=7),
    cuts=st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_in_whatever_parts_spans_come_the_trace_is_the_same(db, order, parents, counts, cuts):
    number = next(NUMBERS)

    def span(of: int, i: int):
        parent = parents[i - 1] if 0 < parents[i - 1] < i else None if i == 1 else 1
        return make_span(of, i, parent, start=i / 4, end=i / 4 + 1, **({USAGE: tokens(counts[i - 1])} if counts[i - 1] else {}))

    at_once, in_parts = number * 2, number * 2 + 1
    log(db, *(span(at_once, i) for i in range(1, 8)))
    part = []
    for i, cut in zip(order, cuts, strict=True):
        part.append(span(in_parts, i))
        if cut:
            log(db, *part)
            part = []
    if part:
        log(db, *part)
    one, other = trace(db, at_once), trace(db, in_parts)
    assert (one.at, one.duration, one.state, one.usage, one.name) == (other.at, other.duration, other.state, other.usage, other.name)
