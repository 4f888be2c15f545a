from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.tracking import spans
from lazward.domain.tracking.spans import Event, Link
from tests.storage.trace_data import make_span

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3), max_leaves=8,
)


@given(VALUES)
def test_values_are_kept(value):
    """What looks like JSON text comes back as what the text says: that is how MLflow's clients send what they serialise themselves."""
    back = spans.loaded(spans.dumped(value))
    try:
        meant = json.loads(value) if isinstance(value, str) and value[:1] in '{["' else value
    except ValueError:
        meant = value
    assert back in (value, meant)


@pytest.mark.parametrize(("value", "kept"), [
    ("x", '"x"'), ("1", '"1"'), ("true", '"true"'), ('{"a": 1}', '{"a": 1}'), ('"x"', '"x"'), ("{x", '"{x"'), ({"a": [1, "ä"]}, '{"a": [1, "ä"]}'), (None, "null"), (math.nan, "NaN"), (True, "true"),
])
def test_kept_as(value, kept):
    assert spans.dumped(value) == kept


def test_half_characters_stay_text():
    """Nothing that is answered can hold them."""
    for text in ('"\\ud800"', '{"a": NaN, "b": "\\udfff"}'):
        assert spans.loaded(spans.dumped(text)) == text
    assert math.isnan(spans.loaded('{"a": NaN}')["a"])


def test_a_span_comes_back_as_otlp():
    span = make_span(
        1, 2, 1, name="n", start=1, end=2, status="ERROR", message="why", x=[1, True, {"k": None}, 0.5], n=math.nan, i=math.inf,
        events=[Event("e", 5, {"a": "b", "f": math.inf})], links=[Link("0" * 31 + "9", "0" * 15 + "8", {"l": 1})],
    )
    back = spans.otlp(spans.content(span))
    assert (back["trace_id"], back["span_id"], back["parent_span_id"]) == ("AAAAAAAAAAAAAAAAAAAAAQ==", "AAAAAAAAAAI=", "AAAAAAAAAAE=")
    assert back["status"] == {"code": "STATUS_CODE_ERROR", "message": "why"}
    assert {a["key"]: a["value"] for a in back["attributes"]} == {
        "x": {"array_value": {"values": [{"int_value": 1}, {"bool_value": True}, {"kvlist_value": {"values": [{"key": "k", "value": {}}]}}, {"double_value": 0.5}]}},
        "n": {"double_value": "NaN"}, "i": {"double_value": "Infinity"}, "mlflow.traceRequestId": {"string_value": span.trace_id},
    }
    assert back["events"] == [{"name": "e", "time_unix_nano": 5, "attributes": [{"key": "a", "value": {"string_value": "b"}}, {"key": "f", "value": {"string_value": "inf"}}]}]
    assert back["links"] == [{"trace_id": "AAAAAAAAAAAAAAAAAAAACQ==", "span_id": "AAAAAAAAAAg=", "attributes": [{"key": "l", "value": {"int_value": 1}}]}]
    assert (back["start_time_unix_nano"], back["end_time_unix_nano"]) == (1_800_000_001_000_000_000, 1_800_000_002_000_000_000)


@pytest.mark.parametrize(("change", "why"), [
    ({"trace": "0" * 32}, "traceId"), ({"trace": "ab"}, "traceId"), ({"id": ""}, "spanId"), ({"parent": "ab"}, "parentSpanId"), ({"start": 2**63}, "time"), ({"end": -1}, "time"),
    ({"events": [Event("e", 2**64, {})]}, "time"), ({}, None),
])
def test_faults(change, why):
    span = make_span(1, 2, 1)
    for name, value in change.items():
        setattr(span, name, value)
    found = spans.fault(span)
    assert found is None if why is None else why in (found or "")


@pytest.mark.parametrize(("value", "sent"), [(2**70, {"double_value": float(2**70)}), (10**400, {"double_value": str(10**400)}), (-math.inf, {"double_value": "-Infinity"})])
def test_numbers_no_protobuf_holds(value, sent):
    assert spans.any_value(value) == sent
