from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.moved import LINE, Run, Values, check, digest, metrics_of, same, stored, told

RUN = Run("r", "0", "n", "FINISHED", "active", "u", None, 1.0, 2.0, None, {"a": "1"}, {"b": "2"}, [], {"m": (1, 2)}, 3)


@given(st.floats())
def test_a_value_comes_back_through_json(value):
    line = msgspec.json.encode(Values("r", [("m", 1, 2, told(value, False))]))
    (_, _, _, number) = LINE.decode(line).points[0]
    back, nan = stored(number)
    assert nan if math.isnan(value) else (back == value and not nan)


def test_equal_records_have_one_digest_in_whatever_order_their_members_came():
    other = msgspec.structs.replace(RUN, params={"z": "1", "a": "1"})
    assert digest(other) == digest(msgspec.structs.replace(RUN, params={"a": "1", "z": "1"})) != digest(RUN)


def test_values_are_compared_where_they_were_counted():
    assert same(RUN, msgspec.structs.replace(RUN, values=None)) and not same(RUN, msgspec.structs.replace(RUN, values=4))
    assert not same(RUN, msgspec.structs.replace(RUN, values=None, latest={"m": (1, 3)}))


@pytest.mark.parametrize("change", [
    {"id": "../x"}, {"id": ""}, {"status": "LOST"}, {"params": {"../a": "1"}}, {"tags": {"a": "\0"}}, {"name": "n" * 1_000_001},
], ids=str)
def test_what_no_client_could_have_given_is_refused(change):
    with pytest.raises(MlflowError):
        check(msgspec.structs.replace(RUN, **change))


@pytest.mark.parametrize("point", [("", 1, 1, 1.0), ("a/../b", 1, 1, 1.0), ("m", 2**63, 1, 1.0), ("m", 1, -(2**63) - 1, 1.0), ("m", 1, 1, "many")], ids=str)
def test_values_are_checked(point):
    with pytest.raises(MlflowError):
        metrics_of([point])
