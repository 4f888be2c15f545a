"""inference-schema's parameter types for plain Python values."""

from __future__ import annotations

import base64
import datetime
from typing import Any


class AbstractParameterType:
    """A sample value that says what an argument looks like."""

    def __init__(self, sample_input: Any) -> None:
        self.sample_input = sample_input

    def deserialize_input(self, input_data: Any) -> Any:
        """The argument for a JSON value; raises ValueError or TypeError."""
        raise NotImplementedError

    def input_to_swagger(self) -> dict[str, Any]:
        """A JSON schema with an `example`."""
        raise NotImplementedError


class StandardPythonParameterType(AbstractParameterType):
    """int, float, bool, str, bytes, date, time, datetime, and lists and dicts of them, which may hold other parameter types."""

    def deserialize_input(self, input_data: Any) -> Any:
        return _convert(self.sample_input, input_data)

    def input_to_swagger(self) -> dict[str, Any]:
        if self.sample_input is None:
            raise ValueError("a sample of None does not describe anything")
        return {**_describe(self.sample_input), "example": example(self.sample_input)}


def _convert(sample: Any, value: Any) -> Any:
    if isinstance(sample, AbstractParameterType):
        return sample.deserialize_input(value)
    if isinstance(sample, datetime.datetime):
        return datetime.datetime.fromisoformat(_text(sample, value).replace("Z", "+00:00"))
    if isinstance(sample, datetime.date):
        return datetime.date.fromisoformat(_text(sample, value))
    if isinstance(sample, datetime.time):
        return datetime.time.fromisoformat(_text(sample, value))
    if isinstance(sample, (bytes, bytearray)):
        return type(sample)(base64.b64decode(_text(sample, value), validate=True))
    if isinstance(sample, (tuple, range)) and isinstance(value, list):
        value = tuple(value) if isinstance(sample, tuple) else _range(value)
    if isinstance(sample, float) and isinstance(value, int) and not isinstance(value, bool):
        return value
    if sample is not None and not isinstance(value, type(sample)):
        raise ValueError(f"expected {type(sample).__name__}, got {type(value).__name__}")
    if isinstance(sample, dict) and isinstance(value, dict):
        return {key: _convert_nested(sample.get(key), item) for key, item in value.items()}
    return value


def _convert_nested(sample: Any, value: Any) -> Any:
    # Only samples that are parameter types themselves are converted inside a dict: plain values pass as they are.
    if isinstance(sample, AbstractParameterType) or (isinstance(sample, dict) and isinstance(value, dict)):
        return _convert(sample, value)
    return value


def _text(sample: Any, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a string that holds a {type(sample).__name__}, got {type(value).__name__}")
    return value


def _range(values: Any) -> range:
    if not values:
        return range(0)
    step = values[1] - values[0] if len(values) > 1 else 1
    made = range(values[0], values[0] + step * len(values), step) if step else range(0)
    if list(made) != values:
        raise ValueError("expected a range: whole numbers at equal distances")
    return made


def _describe(sample: Any) -> dict[str, Any]:
    """The JSON schema of a sample, without example."""
    if isinstance(sample, AbstractParameterType):
        return {key: value for key, value in sample.input_to_swagger().items() if key != "example"}
    if isinstance(sample, dict):
        described = {str(key): _describe(value) for key, value in sample.items()}
        return {"type": "object", "required": list(described), "properties": described}
    if isinstance(sample, (list, tuple, range)):
        return {"type": "array", "items": _describe(sample[0]) if len(sample) else {"type": "object"}}
    for kind, schema in _SCALARS:
        if isinstance(sample, kind):
            return dict(schema)
    raise TypeError(f"a sample of type {type(sample).__name__} can not be described as JSON")


# bool before int and datetime before date: the first is a subclass of the second.
_SCALARS = (
    (bool, {"type": "boolean"}),
    (int, {"type": "integer", "format": "int64"}),
    (float, {"type": "number", "format": "double"}),
    (str, {"type": "string"}),
    ((bytes, bytearray), {"type": "string", "format": "byte"}),
    (datetime.datetime, {"type": "string", "format": "date-time"}),
    (datetime.date, {"type": "string", "format": "date"}),
    (datetime.time, {"type": "string", "format": "time"}),
)


def example(sample: Any) -> Any:
    """A sample as JSON value."""
    if isinstance(sample, AbstractParameterType):
        return sample.input_to_swagger()["example"]
    if isinstance(sample, dict):
        return {str(key): example(value) for key, value in sample.items()}
    if isinstance(sample, (list, tuple, range)):
        return [example(item) for item in sample]
    if isinstance(sample, (datetime.date, datetime.time)):
        return sample.isoformat()
    if isinstance(sample, (bytes, bytearray)):
        return base64.b64encode(sample).decode()
    return sample
