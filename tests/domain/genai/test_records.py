from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import records

values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=6)
objects = st.dictionaries(st.text(max_size=3), values, max_size=3)
rows = st.fixed_dictionaries({"inputs": objects}, optional={"outputs": values, "expectations": objects, "tags": objects})


def parsed(*given):
    return records.parse_records(json.dumps(given))


@given(st.lists(rows, max_size=4))
def test_what_was_sent_comes_back(given):
    for one, sent in zip(parsed(*given), given, strict=True):
        made = json.loads(json.dumps(records.fresh(one)))
        assert made["inputs"] == sent["inputs"]
        assert made["outputs"] == sent.get("outputs", {})


@given(objects)
def test_the_hash_does_not_look_at_the_order_of_members(inputs):
    turned = dict(reversed(list(inputs.items())))
    assert records.input_hash({"inputs": inputs}) == records.input_hash({"inputs": turned})


@given(rows, rows)
def test_a_merge_adds_and_takes_nothing_away(old, new):
    before = records.fresh(parsed(old)[0])
    after = records.merged(before, parsed({**new, "inputs": old["inputs"]})[0])
    assert set(after["tags"]) == set(before["tags"]) | set(new.get("tags") or {})
    assert (after["expectations"] or {}) == {**(before["expectations"] or {}), **(new.get("expectations") or {})}
    assert after["outputs"] == (new["outputs"] if "outputs" in new else before["outputs"])
    assert after["inputs"] == before["inputs"]


def test_sources():
    made = records.fresh(parsed({"inputs": {}, "source": {"source_type": "trace", "source_data": {"trace_id": "tr-1"}}})[0])
    assert (made["source"], made["source_id"]) == ({"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}, "tr-1")
    assert records.fresh(parsed({"inputs": {}, "source": {"source_type": "CODE", "source_data": {"source_id": "s"}}})[0])["source_id"] == "s"
    assert "source_id" not in records.fresh(parsed({"inputs": {}, "source": {"source_type": "HUMAN"}})[0])


@pytest.mark.parametrize(("text", "target"), [
    ("{", "records"), ("{}", "records"), ("[1]", "records[0]"), ('[{"inputs": 1}]', "records[0].inputs"), ('[{}, {"inputs": {}, "tags": []}]', "records[1].tags"),
    ('[{"inputs": {}, "source": {"source_type": "MARS"}}]', "records[0].source.source_type"), ('[{"inputs": {}, "source": {}}, {"source": {"source_data": 1}}]', "records[1].source.source_type"),
    ("[" * 200 + "]" * 200, "records"), ("[" * 100_000, "records"), ("[" + "9" * 5000 + "]", "records"),
])
def test_what_is_no_list_of_records(text, target):
    with pytest.raises(MlflowError) as caught:
        records.parse_records(text)
    assert (caught.value.code, caught.value.target) == ("INVALID_PARAMETER_VALUE", target)


def test_numbers_that_json_does_not_know_stay():
    made = records.fresh(records.parse_records('[{"inputs": {"a": NaN, "b": -Infinity}}]')[0])
    assert json.dumps(made["inputs"]) == '{"a": NaN, "b": -Infinity}'


def test_the_schema_keeps_the_first_type_of_each_field():
    first = records.widened(None, parsed({"inputs": {"q": "a", "n": 1, "f": 1.5, "b": True, "z": None, "l": [], "o": {}}, "outputs": "text"}))
    assert json.loads(first) == {
        "inputs": {"q": "string", "n": "integer", "f": "float", "b": "boolean", "z": "null", "l": "array", "o": "object"}, "outputs": "string", "expectations": {}, "version": "1.0",
    }
    second = json.loads(records.widened(first, parsed({"inputs": {"q": 1, "new": 1}, "outputs": {"a": 1}, "expectations": {"e": 1}})))
    assert (second["inputs"]["q"], second["inputs"]["new"], second["outputs"], second["expectations"]) == ("string", "integer", "string", {"e": "integer"})
    assert records.widened(None, []) is None


def test_digest_and_profile():
    assert records.digest("a", 1.0) != records.digest("a", 1.001) != records.digest("b", 1.001)
    assert len(records.digest("a", 1.0)) == 8
    assert (records.profile(2), records.profile(0)) == ('{"num_records": 2}', "null")


@pytest.mark.parametrize("text", ["[]", "{", '{"a b/../c": "1"}', '{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"": "1"}'])
def test_tags_that_are_none(text):
    with pytest.raises(MlflowError):
        records.parse_tags(text)


def test_tags():
    assert records.parse_tags('{"a": "b", "n": 1, "gone": null}') == {"a": "b", "n": "1"}


@pytest.mark.parametrize("user", ["a\0", "\ud800", 5, None])
def test_a_user_that_no_column_takes_is_none(user):
    assert records.user_of({"tags": {"mlflow.user": user}}) is None
