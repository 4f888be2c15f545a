from __future__ import annotations

import pytest

from lazward.execution.runtime.serve.legacy.decorators import (
    get_input_schema,
    get_output_schema,
    input_schema,
    is_schema_decorated,
    output_schema,
)
from lazward.execution.runtime.serve.legacy.parameters import StandardPythonParameterType as Standard


@input_schema("b", Standard(b"abc"), optional=True)
@input_schema("a", Standard(1), convert_to_provided_type=False)
@output_schema(Standard([1]))
def run(a, b=None):
    return [a, b]


def test_arguments_are_converted_by_name_and_by_position():
    assert run("not converted", "YWJj") == ["not converted", b"abc"]
    assert run(a=1, b="YWJj") == [1, b"abc"]
    assert run(1) == run(1, None) == [1, None]


def test_the_schema_has_the_parameters_in_their_order():
    assert is_schema_decorated(run)
    assert not is_schema_decorated(len)
    assert list(get_input_schema(run)["properties"]) == ["a", "b"]
    assert get_input_schema(run)["example"] == {"a": 1, "b": "YWJj"}
    assert get_output_schema(run)["type"] == "array"


def test_a_parameter_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="'c'"):
        input_schema("c", Standard(1))(run)
