from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.tracking.trace_summary import COSTS, COUNTS, MAX_PREVIEW, Node, batches, numbers, preview, totals
from tests.storage.trace_data import S, id_of, make_span


def test_batches_are_by_trace_and_of_the_last_of_each_span():
    found = batches([make_span(2, 1), make_span(1, 1, name="old"), make_span(1, 1, name="new", start=1.5, end=None)])
    assert [(b.id, b.start, b.end, b.state, b.name) for b in found] == [(id_of(1), S * 1000 + 1500, None, "OK", "new"), (id_of(2), S * 1000, S * 1000 + 1000, "OK", "span 1")]
    assert [row["name"] for row in found[0].rows] == ["new"]


def test_tags_that_are_none_are_left_out():
    (found,) = batches([make_span(1, 1, resource={"a.b": 1, "bad\nkey": "x", "mlflow.x": "y", "telemetry.sdk.name": "z"}, mlflow__traceTag__ok="1", **{"mlflow.traceTag.": "x", "mlflow.traceTag.mlflow.traceName": "n"})])
    assert (found.tags, found.name) == ({"a.b": "1", "ok": "1"}, "n")


@pytest.mark.parametrize(("said", "role", "shown"), [
    ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "system", "content": "c"}]}, "user", "b"),
    ({"choices": [{"message": {"role": "assistant", "content": "yes"}}]}, "assistant", "yes"), ({"messages": [{"role": "tool", "content": "t"}]}, "user", "t"),
    ({"input": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "see"}]}]}, "user", "see"), ({"request": {"input": [{"role": "user", "content": "in"}]}}, "user", "in"),
    ({"content": "x"}, "user", '{"content": "x"}'), ({"messages": "content"}, "user", '{"messages": "content"}'), ({"choices": []}, "user", '{"choices": []}'), ([1], "user", "[1]"),
])
def test_previews(said, role, shown):
    assert preview(json.dumps(said), role) == shown


def test_long_previews_are_cut():
    assert preview("x" * 2000, "user") == "x" * (MAX_PREVIEW - 3) + "..."


@pytest.mark.parametrize(("raw", "known", "expected"), [
    ({"input_tokens": 1, "output_tokens": "1", "total_tokens": 2.0, "cache_read_input_tokens": True, "x": 5}, COUNTS, {"input_tokens": 1, "total_tokens": 2}),
    ({"input_tokens": 2.5, "output_tokens": float("inf"), "total_tokens": 10**30, "cache_read_input_tokens": float("nan")}, COUNTS, {}), ('{"input_cost": 1, "total_cost": 2.5, "\\u0000": 3}', COSTS, {"input_cost": 1.0, "total_cost": 2.5}),
    ("{", COSTS, None), (None, COSTS, None), ([1], COSTS, None),
])
def test_numbers(raw, known, expected):
    assert numbers(raw, known) == expected


def test_what_is_read_out_of_json_holds_no_nul():
    (found,) = batches([make_span(1, 1, session__id='"a\\u0000b"', mlflow__spanInputs='{"messages": [{"role": "user", "content": "x\\u0000y"}]}', mlflow__spanType='"T\\u0000"', mlflow__llm__model='"\\u0000"')])
    assert (found.session, found.request, found.rows[0]["type"], found.rows[0]["model"]) == ("ab", "xy", "T", None)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=10))
def test_sums_count_each_branch_once(shape):
    """parents[i] < i, so that it is a tree; the sum is that of spans with numbers that have none with numbers above them."""
    nodes = [Node(str(i), str(p) if p < i else None, {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1} if has else None, None) for i, (p, has) in enumerate(shape)]

    def covered(i: int) -> bool:
        parent = shape[i][0]
        return parent < i and (shape[parent][1] or covered(parent))

    expected = sum(has and not covered(i) for i, (_, has) in enumerate(shape))
    usage, cost = totals(nodes)
    assert ((usage or {}).get("total_tokens", 0), cost) == (expected, None)


def test_circles_end():
    assert totals([Node("a", "b", {"total_tokens": 1}, None), Node("b", "a", None, None), Node("c", "c", {"total_tokens": 2}, None)])[0] == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 2}
