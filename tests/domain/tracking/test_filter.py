"""The search language, against MLflow's own parser as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils.search_utils import SearchUtils

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.filter import (
    EXPERIMENTS,
    RUNS,
    All,
    AnyOf,
    Compare,
    Not,
    Order,
    parse_filter,
    parse_order,
    parse_orders,
)

keys = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}(\.[A-Za-z][A-Za-z0-9_]{0,5})?", fullmatch=True)
quoted_keys = st.text("abc XYZ./-:0_", min_size=1, max_size=10).map(lambda k: f"`{k}`")
words = st.text("abc %_xyz0123.-äß", max_size=10).map(lambda v: f"'{v}'")
numbers = st.one_of(st.integers(-(10**6), 10**6).map(str), st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr))
number_op, string_op = st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.sampled_from(["=", "!=", "LIKE", "ilike"])


@st.composite
def comparisons(draw):
    kind = draw(st.sampled_from(["metric", "param", "tag", "attribute", "list", "null"]))
    key = draw(st.one_of(keys, quoted_keys))
    if kind == "metric":
        return f"{draw(st.sampled_from(['metric', 'metrics']))}.{key} {draw(number_op)} {draw(numbers)}"
    if kind in ("param", "tag"):
        return f"{draw(st.sampled_from([kind, kind + 's']))}.{key} {draw(string_op)} {draw(words)}"
    if kind == "list":
        return f"run_id {draw(st.sampled_from(['IN', 'NOT IN']))} ('a', 'b')"
    if kind == "null":
        return f"params.{key} {draw(st.sampled_from(['IS NULL', 'IS NOT NULL']))}"
    prefix = draw(st.sampled_from(["", "attribute.", "attr.", "run.", "attributes."]))
    if draw(st.booleans()):
        return f"{prefix}start_time {draw(number_op)} {draw(st.integers(0, 10**13))}"
    return f"{prefix}status {draw(string_op)} {draw(words)}"


def flat(node) -> list[tuple]:
    """Our tree as MLflow's list of clauses."""
    if isinstance(node, All):
        return [clause for item in node.items for clause in flat(item)]
    if isinstance(node, Not):
        return [(node.item.kind, node.item.key, "IS NOT NULL", None)]
    return [(node.kind, node.key, "IS NULL" if node.op == "NULL" else node.op, node.value)]


def theirs(text: str) -> list[tuple]:
    out = []
    for clause in SearchUtils.parse_search_filter(text):
        kind = {"parameter": "param"}.get(clause["type"], clause["type"])
        value = clause["value"]
        if kind == "metric":
            value = float(value)
        elif clause["key"] == "start_time":
            value = int(value)  # some releases leave it a text until it is compared
        elif isinstance(value, list):
            value = tuple(value)
        out.append((kind, SearchUtils.translate_key_alias(clause["key"]), clause["comparator"].upper(), value))
    return out


@settings(max_examples=200, deadline=None)
@given(st.lists(comparisons(), min_size=1, max_size=4))
def test_what_mlflow_accepts_means_the_same(parts):
    text = " AND ".join(parts)
    try:
        expected = theirs(text)
    except Exception:
        return  # sqlparse trips over some words that are SQL keywords
    assert [c for node in [parse_filter(text, RUNS)] for c in flat(node)] == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*"abm.='\"`()<>!,; 01-e\\\0", "metrics.", "AND ", "OR ", "NOT ", "IN ", "params.", "IS NULL"]), max_size=40).map("".join))
def test_any_text_parses_or_names_its_fault(text):
    try:
        parse_filter(text, RUNS)
        parse_order(text, RUNS)
    except MlflowError as error:
        assert error.code == "INVALID_PARAMETER_VALUE"
        assert error.status == 400


def test_beyond_mlflow():
    node = parse_filter("(metrics.a > 1 OR NOT params.b IN ('x', \"y\")) AND tags.c IS NULL", RUNS)
    assert node == All((
        AnyOf((Compare("metric", "a", ">", 1.0), Not(Compare("param", "b", "IN", ("x", "y"))))),
        Compare("tag", "c", "NULL"),
    ))
    assert parse_filter("metrics.a BETWEEN 1 AND 2", RUNS) == All((Compare("metric", "a", ">=", 1.0), Compare("metric", "a", "<=", 2.0)))
    assert parse_filter("start_time >= '1970-01-02'", RUNS) == Compare("attribute", "start_time", ">=", 86_400_000)
    assert parse_filter("tags.a-b/c:d = 'it''s'", RUNS) == Compare("tag", "a-b/c:d", "=", "it's")
    assert parse_filter("tags.a NOT LIKE 'x%'", RUNS) == Compare("tag", "a", "NOT LIKE", "x%")


def test_aliases_and_quoting():
    assert parse_filter("`run name` = 'x'", RUNS) == parse_filter('"Run Name" = \'x\'', RUNS) == Compare("attribute", "run_name", "=", "x")
    assert parse_filter("params.\"a b\" = \"it's\"", RUNS) == Compare("param", "a b", "=", "it's")
    assert parse_filter("dataset.name IN ('a','b')", RUNS) == Compare("dataset", "name", "IN", ("a", "b"))
    assert parse_filter("", RUNS) is None
    assert parse_filter(None, RUNS) is None


@pytest.mark.parametrize("text", [
    "metrics.a > '1'", "params.x = 5", "PARAMS.a = 'x'", "metrics.a", "metrics.a >", "= 1", "1 = metrics.a", "metrics.a > 1 AND", "metrics.a > 1;", "   ",
    "metrics.a > 1 metrics.b > 1", "metrics.a == 1", "metrics.a <> 1", "nothing = 'x'", "dataset.size = 'x'", "(metrics.a > 1", "metrics.a > 1)",
    "run_id IN ()", "run_id IN (1)", "status > 'x'", "metrics.a LIKE '1'", "tags. = 'x'", "tags.a = 'x", "start_time > 'soon'", "tags.a = x", "NOT", "a\0b = 'x'",
    "(" * 40 + "metrics.a > 1" + ")" * 40, " AND ".join(["metrics.a > 1"] * 200), "x" * 200_000,
])
def test_faults_are_named(text):
    with pytest.raises(MlflowError) as caught:
        parse_filter(text, RUNS)
    assert caught.value.code == "INVALID_PARAMETER_VALUE"
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("text", ["metrics.a DESC", "`metrics`.`a b`", "params.a asc", "start_time", "attributes.`end_time` DESC", 'tags."a b" desc', "Created", "user_id"])
def test_order_by_as_mlflow_reads_it(text):
    kind, key, ascending = SearchUtils.parse_order_by_for_search_runs(text)
    expected = Order({"parameter": "param"}.get(kind, kind), SearchUtils.translate_key_alias(key), ascending)
    assert parse_order(text, RUNS) == expected


@pytest.mark.parametrize("text", ["metrics.a foo", "timestamp", "", None, "metrics.a DESC, metrics.b", "dataset.name", "x; DROP TABLE run"])
def test_order_by_faults(text):
    with pytest.raises(MlflowError):
        parse_order(text, RUNS)


def test_order_by_twice_and_other_grammars():
    with pytest.raises(MlflowError, match="duplicate"):
        parse_orders(["metrics.a", "metric.a DESC"], RUNS)
    assert parse_order("creation_time DESC", EXPERIMENTS) == Order("attribute", "creation_time", False)
    with pytest.raises(MlflowError, match="entity type"):
        parse_filter("metrics.a > 1", EXPERIMENTS)
