"""inference-schema's parameter type for NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .parameters import AbstractParameterType


class NumpyParameterType(AbstractParameterType):
    """An array as nested JSON lists. The number of rows is free; other dimensions and the type are those of the sample unless
    told not to be enforced."""

    def __init__(self, sample_input: Any, enforce_column_type: bool = True, enforce_shape: bool = True) -> None:
        if not isinstance(sample_input, np.ndarray):
            raise TypeError(f"the sample of a NumpyParameterType must be a NumPy array, not {type(sample_input).__name__}")
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape

    def deserialize_input(self, input_data: Any) -> Any:
        if isinstance(input_data, np.ndarray):
            return input_data
        if not isinstance(input_data, list):
            raise ValueError(f"expected a list of items for an array, got {type(input_data).__name__}")
        sample = self.sample_input
        if sample.dtype.names:
            fields = sample.dtype.names
            input_data = [tuple(row[f] for f in fields) if isinstance(row, dict) else tuple(row) for row in input_data]
            return np.array(input_data, dtype=sample.dtype if self.enforce_column_type else None)
        array = np.array(input_data, dtype=sample.dtype if self.enforce_column_type else None)
        if self.enforce_shape and len(input_data):
            if array.ndim != sample.ndim:
                raise ValueError(f"expected an array of {sample.ndim} dimensions, got {array.ndim} (shape {array.shape})")
            for axis in range(1, sample.ndim):
                if array.shape[axis] != sample.shape[axis]:
                    raise ValueError(f"expected size {sample.shape[axis]} in dimension {axis}, got {array.shape[axis]}")
        return array

    def input_to_swagger(self) -> dict[str, Any]:
        sample = self.sample_input
        schema = dtype_schema(sample.dtype)
        for _ in range(sample.ndim):
            schema = {"type": "array", "items": schema}
        return {**schema, "format": "numpy.ndarray", "example": _example(sample)}


def dtype_schema(dtype: Any) -> dict[str, Any]:
    """The JSON schema of one item."""
    if dtype.names:
        return {"type": "object", "properties": {name: dtype_schema(dtype[name]) for name in dtype.names}}
    if dtype.kind in "iu":
        return {"type": "integer", "format": "int64" if dtype.itemsize > 4 else "int32"}
    if dtype.kind == "f":
        return {"type": "number", "format": "double" if dtype.itemsize > 4 else "float"}
    plain = {"b": {"type": "boolean"}, "U": {"type": "string"}, "S": {"type": "string"}, "T": {"type": "string"}}
    dated = {"M": {"type": "string", "format": "date-time"}, "m": {"type": "string", "format": "timedelta"}}
    return {**plain, **dated}.get(dtype.kind, {"type": "object"})


def _example(array: Any) -> Any:
    if array.dtype.names:
        return [{name: row[name].item() for name in array.dtype.names} for row in array]
    if array.dtype.kind in "Mm":
        return array.astype(str).tolist()
    if array.dtype.kind == "S":
        return array.astype("U").tolist()
    return array.tolist() if array.dtype.kind in "iufbUT" else array.astype(str).tolist()
