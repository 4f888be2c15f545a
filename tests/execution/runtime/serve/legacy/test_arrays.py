from __future__ import annotations

import numpy as np
import pytest

from lazward.execution.runtime.serve.legacy.arrays import NumpyParameterType as Numpy


def test_rows_are_free_the_rest_is_the_samples():
    kind = Numpy(np.array([[1.5, 2]], dtype="float32"))
    made = kind.deserialize_input([[1, 2], [3, 4], [5, 6]])
    assert (made.shape, str(made.dtype)) == ((3, 2), "float32")
    for wrong in ([[1]], [1, 2], 1, "x", {"a": 1}, [["q", 1]], [[1, 2], [3]]):
        with pytest.raises(ValueError, match=r"\w"):
            kind.deserialize_input(wrong)
    assert kind.deserialize_input([]).size == 0


def test_shape_and_type_may_be_left_free():
    assert Numpy(np.array([[1, 2]]), enforce_shape=False).deserialize_input([1]).shape == (1,)
    assert Numpy(np.array([1]), enforce_column_type=False).deserialize_input([1.5]).tolist() == [1.5]


def test_records():
    kind = Numpy(np.array([(1, "a")], dtype=[("x", "i4"), ("y", "U5")]))
    assert kind.deserialize_input([{"x": 2, "y": "b"}, [3, "c"]]).tolist() == [(2, "b"), (3, "c")]
    assert kind.input_to_swagger()["items"]["properties"]["x"] == {"type": "integer", "format": "int32"}
    assert kind.input_to_swagger()["example"] == [{"x": 1, "y": "a"}]


def test_the_sample_must_be_an_array():
    with pytest.raises(TypeError, match="list"):
        Numpy([1])
