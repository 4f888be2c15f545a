from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.apps.mlflow.memory_search import like, matches, only_name, page
from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.filter import MODEL_VERSIONS, parse_filter, parse_orders

FACTS = {"name": "abc", "version_number": 2, "run_id": None, "source_path": "s", "creation_timestamp": 5.0, "last_updated_timestamp": 5.0, "current_stage": "None"}


@given(st.text("ab%_*.\n", max_size=12), st.text("ab%_*.\n", max_size=8))
def test_like_is_what_a_regular_expression_would_say(text, pattern):
    regex = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    assert like(text, pattern) == (re.fullmatch(regex, text, re.DOTALL) is not None)


def test_s19_no_pattern_takes_for_ever():
    assert not like("a" * 20_000, "%a" * 400 + "%b")


@pytest.mark.parametrize(("text", "expected"), [
    ("name = 'abc'", True), ("name LIKE 'ab%' AND version_number > 1", True), ("name ILIKE 'AB%'", True), ("NOT name = 'abc'", False), ("run_id = 'x'", False), ("run_id IS NULL", True),
    ("NOT run_id = 'x'", True), ("tags.t = '1' OR name = 'z'", True), ("tags.none != 'x'", False), ("name NOT IN ('abc')", False), ("name NOT LIKE 'z%'", True),
    ("version_number BETWEEN 1 AND 3", True), ("creation_timestamp <= 4", False), ("version_number != 2", False), ("version_number >= 2", True), ("version_number < 2", False),
])
def test_conditions(text, expected):
    assert matches(parse_filter(text, MODEL_VERSIONS), FACTS, {"t": "1"}) is expected


def test_order_and_pages():
    items = [({**FACTS, "name": n, "version_number": v, "run_id": r}, {}, f"{n}{v}") for n, v, r in (("b", 1, "x"), ("a", 2, None), ("a", 10, "y"))]
    ties = [("name", True), ("version_number", False)]
    assert page(items, None, [], ties, 10, None) == (["a10", "a2", "b1"], None)
    assert page(items, None, parse_orders(["version_number"], MODEL_VERSIONS), ties, 10, None)[0] == ["b1", "a2", "a10"]
    assert page(items, None, parse_orders(["run_id"], MODEL_VERSIONS), ties, 10, None)[0] == ["a2", "b1", "a10"]
    first, token = page(items, None, [], ties, 2, None)
    assert (first, page(items, None, [], ties, 2, token)) == (["a10", "a2"], (["b1"], None))
    for bad in ("x", "é", "bw==", "MQ=="):
        with pytest.raises(MlflowError):
            page(items, None, [], ties, 2, bad)


@pytest.mark.parametrize(("text", "name"), [
    ("name = 'abc'", "abc"), ("tags.t = '1' AND name = 'abc'", "abc"), ("(name = 'abc' AND version_number > 1) AND tags.t = '1'", "abc"), ("name = 'abc' OR name = 'z'", None), ("NOT name = 'abc'", None),
    ("name != 'abc'", None), ("name LIKE 'abc'", None), ("tags.name = 'abc'", None), ("run_id = 'abc'", None),
])
def test_the_one_name_that_is_asked_for(text, name):
    condition = parse_filter(text, MODEL_VERSIONS)
    assert only_name(condition) == name
    if name is not None:
        assert not matches(condition, {**FACTS, "name": "other"}, {"t": "1"})


def test_no_condition_asks_for_no_name():
    assert only_name(None) is None
