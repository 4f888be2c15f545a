from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.filter import TRACES, parse_filter
from lazward.storage import assessments, trace_search, traces
from tests.storage.trace_data import S, find, id_of, log, make_span, said, start
from tests.storage.tracking_data import KEY, OTHER, make_run, make_workspaces


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)
    make_run(db, "r1")
    start(db, 1, at=1000, duration=100, client_id="c1", tags={"team": "Vision", "mlflow.traceName": "ask"}, metadata={"mlflow.sourceRun": "r1", "mlflow.trace.session": "s1", "my key": "v"})
    start(db, 2, at=2000, duration=50, state="ERROR", tags={"team": "audio", "we\"ird": "x"}, metadata={"mlflow.trace.session": "s1"})
    start(db, 3, at=3000, duration=None, state="IN_PROGRESS", tags={"mlflow.traceName": "tell"}, metadata={"mlflow.trace.tokenUsage": '{"total_tokens": 7}'})
    log(
        db, make_span(1, 1, name="root", mlflow__spanType="CHAIN", model="gpt-4", temperature=0.5, text="it's 100% done"),
        make_span(1, 2, 1, name="call", mlflow__spanType="LLM", status="ERROR", model="claude"),
    )
    log(db, make_span(2, 1, name="root", mlflow__spanType="LLM", mlflow__spanInputs={"question": "wie heißt die Straße?"}))
    for trace, one in ((1, said("score", 0.8)), (1, said("good", "yes")), (2, said("score", 0.2)), (2, said("ok", False)), (2, said("expected", "Paris", "expectation"))):
        db.write_now(assessments.create, KEY, id_of(trace), one)
    db.write_now(assessments.create, KEY, id_of(1), said("whole", 5, metadata={"mlflow.trace.session": "s1"}))
    db.write_now(assessments.create, KEY, id_of(3), said("iss-1", {"issue_name": "slow"}, "issue"))
    start(db, 4, key=OTHER.key, at=4000)


@pytest.mark.parametrize(("text", "expected"), [
    (None, [3, 2, 1]), ("status = 'OK'", [1]), ("trace.status != 'OK'", [3, 2]), ("attributes.status IN ('OK', 'ERROR')", [2, 1]), ("timestamp >= 2000", [3, 2]),
    ("timestamp_ms BETWEEN 1500 AND 2500", [2]), ("timestamp > '1970-01-01T00:00:02.5'", [3]), ("execution_time < 100", [2]), ("execution_time_ms IS NULL", [3]), ("end_time >= 2050", [3, 2]),
    (f"request_id = '{id_of(2)}'", [2]), ("client_request_id = 'c1'", [1]), ("client_request_id IS NULL", [3, 2]), ("name = 'ask'", [1]), ("name LIKE '%e%'", [3]),
    ("name NOT IN ('ask')", [3, 2]), ("name = 'root'", [2]), ("tags.team = 'Vision'", [1]), ("tag.team LIKE 'v%'", []), ("tags.team ILIKE 'v%'", [1]), ("tags.team RLIKE '^[aV]'", [2, 1]),
    ("tags.team NOT RLIKE 'ud'", [1]), ("tags.team IS NULL", [3]), ("tags.`mlflow.traceName` = 'tell'", [3]), ("tags.mlflow.trace.spansLocation = 'TRACKING_STORE'", [2, 1]),
    ("tags.`we\"ird` = 'x'", []), ("metadata.`my key` = 'v'", [1]), ("request_metadata.`mlflow.trace.session` = 's1'", [2, 1]), ("metadata.mlflow.trace.session IS NULL", [3]),
    ("metadata.mlflow.trace.tokenUsage LIKE '%7%'", [3]), ("run_id = 'r1'", [1]), ("run_id = 'none'", []), ("run_id IS NULL", [3, 2]), ("metadata.`mlflow.sourceRun` = 'r1'", [1]),
    ("text LIKE '%100% done%'", [1]), ("trace.text LIKE '%straße%'", []), ("text ILIKE '%HEISST%'", []), ("text LIKE '%heißt die Straße%'", [2]),
    ("span.name = 'root'", [2, 1]), ("span.name = 'root' AND span.type = 'LLM'", [2]), ("span.name = 'root' AND span.status = 'ERROR'", []), ("span.status = 'ERROR'", [1]),
    ("span.name IN ('call', 'x')", [1]), ("span.name RLIKE '^c.ll$'", [1]), ("NOT span.name = 'call'", [3, 2]), ("span.name != 'root'", [1]), ("span.type IS NULL", [3]),
    ("span.attributes.model = 'gpt-4'", [1]), ("span.attributes.model LIKE '%clau%'", [1]), ("span.attributes.model = 'gpt-4' AND span.name = 'call'", []),
    ("span.attributes.temperature = '0.5'", [1]), ("span.attributes.`no\"such` = 'x'", []), ("span.attributes.model IS NULL", [3, 2]), ("span.attributes.nothing LIKE '%'", []),
    ("span.content LIKE '%gpt-4%'", [1]), ("feedback.score > 0.5", [1]), ("feedback.score <= 0.2", [2]), ("feedback.score = 0.8", [1]), ("feedback.score != 0.8", [2]), ("feedback.good = 'yes'", [1]), ("feedback.good != 'no'", [1]),
    ("feedback.ok = 'false'", [2]), ("feedback.ok < 1", []), ("feedback.good LIKE 'ye%'", [1]), ("feedback.good RLIKE '^yes$'", [1]), ("expectation.expected = 'Paris'", [2]), ("feedback.expected = 'Paris'", []),
    ("feedback.score IS NULL", [3]), ("feedback.score IS NOT NULL", [2, 1]), ("feedback.whole > 4", [2, 1]), ("feedback.whole IS NULL", [3]), ("feedback.score BETWEEN 0.1 AND 0.3", [2]), ("issue.id = 'iss-1'", [3]),
    ("(tags.team = 'audio' OR span.name = 'call') AND NOT status = 'OK'", [2]), ("experiment_id = '0'", [3, 2, 1]), ("trace_id LIKE 'tr-%1'", [1]),
])
def test_filters(db, text, expected):
    assert find(db, text)[0] == expected, text


@pytest.mark.parametrize("text", [
    "text = 'x'", "prompt LIKE 'x'", "issue.id != 'x'", "issue.name = 'x'", "span.nothing = 'x'", "span.attributes. = 'x'", "metric.x > 1", "tags.a > 1", "feedback.a > 'x'", "tags.a RLIKE '('",
    "tags.a RLIKE '(a)\\1'", "status RLIKE '" + "(" * 500 + "'", "span.name > 1", "expectation.x IN (1)",
])
def test_what_is_not_in_the_language(db, text):
    with pytest.raises(MlflowError) as error:
        find(db, text)
    assert error.value.code == "INVALID_PARAMETER_VALUE"


def test_a_pattern_only_one_database_knows_is_the_clients_fault(db):
    """RE2 and PostgreSQL do not take exactly the same expressions."""
    try:
        assert find(db, r"tags.team RLIKE '\pL'")[0] == [2, 1]
    except MlflowError as error:
        assert error.code == "INVALID_PARAMETER_VALUE"


def test_overridden_feedback_is_not_found(db):
    (old,) = [a for a in db.read_now(traces.one, KEY, id_of(2)).assessments if a.name == "score"]
    db.write_now(assessments.create, KEY, id_of(2), said("score", 0.9, overrides=old.id))
    assert find(db, "feedback.score > 0.5")[0] == [2, 1]
    assert find(db, "feedback.score < 0.5")[0] == []


@pytest.mark.parametrize(("order", "expected"), [
    (["timestamp ASC"], [1, 2, 3]), (["execution_time DESC"], [1, 2, 3]), (["execution_time ASC"], [2, 1, 3]), (["name ASC"], [1, 2, 3]), (["tags.team ASC"], [1, 2, 3]),
    (["status DESC"], [1, 3, 2]), (["metadata.`mlflow.trace.session` ASC", "request_id DESC"], [2, 1, 3]), (["feedback.score ASC"], [2, 1, 3]), (["run_id"], [1, 3, 2]), (["end_time"], [1, 2, 3]),
])
def test_orders_and_pages(db, order, expected):
    assert find(db, order=order)[0] == expected
    found, token = [], None
    for _ in range(3):
        page, token = find(db, order=order, limit=1, token=token)
        found += page
    assert (found, token) == (expected, None)


@pytest.mark.parametrize("order", ["span.name", "text", "prompt", "issue.id", "nothing", "timestamp SIDEWAYS"])
def test_what_nothing_is_ordered_by(db, order):
    with pytest.raises(MlflowError):
        find(db, order=[order])


def test_search_reads_no_span(db):
    """Whatever spans hold, lists are made of the rows of traces."""
    seen = []
    sa.event.listen(db.engine, "before_cursor_execute", lambda conn, cursor, statement, *rest: seen.append(statement))
    find(db)
    assert seen and not any("span" in statement.lower().replace("spanslocation", "") for statement in seen)
    assert len([s for s in seen if s.startswith("SELECT")]) <= 5


def test_places(db):
    assert find(db, experiments=("none",))[0] == []
    assert find(db, experiments=("0", "none"))[0] == [3, 2, 1]
    assert find(db, key=OTHER.key)[0] == [4]


def test_counts(db):
    def count(*texts):
        return db.read_now(trace_search.counts, KEY, ["0"], *(parse_filter(text, TRACES) for text in texts))

    assert count("status = 'OK'", "span.name = 'root'", None) == (3, 1, 2, 1)
    assert count("status = 'OK'", "span.name = 'root'", "timestamp > 1500") == (2, 0, 1, 0)
    assert db.read_now(trace_search.counts, KEY, ["none"], None, None, None) == (0, 0, 0, 0)


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["tags", "metadata", "span.attributes", "feedback", "expectation"]), key=_TEXT, op=st.sampled_from(["=", "!=", "LIKE", "ILIKE", "RLIKE", "NOT LIKE"]), value=_TEXT)
def test_s22_any_key_and_value_is_searched_or_refused(db, kind, key, op, value):
    text = f"{kind}.`{key}` {op} '{value}'"
    try:
        find(db, text, [f"{kind}.`{key}`"] if kind != "span.attributes" else None)
    except MlflowError as error:
        assert error.code == "INVALID_PARAMETER_VALUE"
    assert find(db, f"timestamp >= {S}")[0] == []
