from __future__ import annotations

import datetime

import pytest

from lazward.execution.runtime.serve.legacy.parameters import StandardPythonParameterType as Standard


@pytest.mark.parametrize(
    ("sample", "value", "expected"),
    [
        (1, 2, 2),
        (1.5, 2, 2),
        (True, False, False),
        ("a", "b", "b"),
        (b"a", "YWJj", b"abc"),
        (bytearray(b"a"), "YWJj", bytearray(b"abc")),
        (datetime.date(2020, 1, 1), "2021-02-03", datetime.date(2021, 2, 3)),
        (datetime.time(1), "04:05:06", datetime.time(4, 5, 6)),
        (datetime.datetime(2020, 1, 1), "2021-02-03T04:05:06", datetime.datetime(2021, 2, 3, 4, 5, 6)),  # noqa: DTZ001
        ((1, "a"), [1, 2], (1, 2)),
        (range(3), [1, 3, 5], range(1, 7, 2)),
        ([1], ["a", None], ["a", None]),
        ({"a": 1}, {"b": "x"}, {"b": "x"}),
        ({"a": {"b": Standard(b"")}}, {"a": {"b": "YWJj", "c": 1}}, {"a": {"b": b"abc", "c": 1}}),
    ],
)
def test_values_become_what_the_sample_is(sample, value, expected):
    made = Standard(sample).deserialize_input(value)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (1, 1.5),
        (1, "1"),
        (1.5, True),
        (True, 1),
        ("a", 1),
        (b"a", "?"),
        (b"a", 1),
        (datetime.date(2020, 1, 1), "yesterday"),
        ([1], {"a": 1}),
        ({"a": 1}, [1]),
        (range(3), [1, 2, 4]),
        ({"a": {"b": Standard(1)}}, {"a": {"b": "x"}}),
    ],
)
def test_values_that_do_not_fit_are_refused(sample, value):
    with pytest.raises(ValueError, match=r"\w"):
        Standard(sample).deserialize_input(value)


def test_samples_are_described():
    schema = Standard({"n": [1], "d": datetime.date(2020, 1, 1), "b": b"abc", "f": 1.5, "t": True}).input_to_swagger()
    assert schema["required"] == ["n", "d", "b", "f", "t"]
    assert schema["properties"]["n"] == {"type": "array", "items": {"type": "integer", "format": "int64"}}
    assert schema["properties"]["t"] == {"type": "boolean"}
    assert schema["example"] == {"n": [1], "d": "2020-01-01", "b": "YWJj", "f": 1.5, "t": True}
    with pytest.raises(TypeError, match="object"):
        Standard(object()).input_to_swagger()
    with pytest.raises(ValueError, match="None"):
        Standard(None).input_to_swagger()
