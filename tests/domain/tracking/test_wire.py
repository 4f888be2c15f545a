from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.wire import duration_ms, entries, mapping, milliseconds, wire_duration, wire_time

LOW, HIGH = -62_135_596_800_000, 253_402_300_799_999


@given(st.integers(LOW, HIGH))
def test_times_come_back(at):
    assert milliseconds(wire_time(at), "x") == at


@given(st.integers(-(10**14), 10**14))
def test_durations_come_back(ms):
    assert duration_ms(wire_duration(ms), "x") == ms


def test_times():
    assert milliseconds("1970-01-01T00:00:00.123456789Z", "x") == 123
    assert milliseconds("1970-01-01T01:00:00+01:00", "x") == 0
    assert (wire_time(2**62), wire_time(-(2**62))) == ("9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z")


@pytest.mark.parametrize("raw", ["", "now", 5, "2027-13-01T00:00:00Z", "2027-01-01T00:00:00", "0000-01-01T00:00:00Z", "2027-01-01T00:00:00Z\n", ["x"], "२०२७-01-01T00:00:00Z" * 2])
def test_what_is_no_time(raw):
    with pytest.raises(MlflowError, match="'t' supplied"):
        milliseconds(raw, "t")


@pytest.mark.parametrize("raw", ["", "1", 5, "1e3s", "1.s", "s"])
def test_what_is_no_duration(raw):
    with pytest.raises(MlflowError, match="'d' supplied"):
        duration_ms(raw, "d")


def test_maps():
    assert mapping(None, "m") == {} and mapping({"a": "b", "c": None}, "m") == {"a": "b", "c": ""}
    assert entries([{"key": "a", "value": "b"}], "m") == {"a": "b"}
    for raw in ("x", {"": "x"}, {"k" * 251: "x"}, {"a": 1}):
        with pytest.raises(MlflowError):
            mapping(raw, "m")
    for raw in (["x"], [{"key": 1}]):
        with pytest.raises(MlflowError):
            entries(raw, "m")
