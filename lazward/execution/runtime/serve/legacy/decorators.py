"""inference-schema's @input_schema and @output_schema: they convert arguments of run() and describe them."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable

_ATTRIBUTE = "__lazward_schema__"  # {"input": {parameter: schema}, "output": schema} on the decorated function


def input_schema(
    param_name: str, param_type: Any, convert_to_provided_type: bool = True, optional: bool = False
) -> Callable[[Any], Any]:
    """The argument `param_name` of run() is of `param_type`; it is converted unless told not to. Optional: may be missing or null."""

    def decorate(run: Any) -> Any:
        names = list(inspect.signature(run).parameters)
        if param_name not in names:
            raise ValueError(f"@input_schema names the parameter {param_name!r}, but run() has only {', '.join(names)}")
        position = names.index(param_name)

        @functools.wraps(run)
        def convert(*args: Any, **kwargs: Any) -> Any:
            if convert_to_provided_type and param_name in kwargs:
                kwargs[param_name] = _converted(kwargs[param_name])
            elif convert_to_provided_type and position < len(args):
                args = (*args[:position], _converted(args[position]), *args[position + 1 :])
            return run(*args, **kwargs)

        def _converted(value: Any) -> Any:
            return value if optional and value is None else param_type.deserialize_input(value)

        _schema(convert, run)["input"][param_name] = param_type.input_to_swagger()
        return convert

    return decorate


def output_schema(output_type: Any) -> Callable[[Any], Any]:
    """run() returns what `output_type` describes. Nothing is converted."""

    def decorate(run: Any) -> Any:
        @functools.wraps(run)
        def call(*args: Any, **kwargs: Any) -> Any:
            return run(*args, **kwargs)

        _schema(call, run)["output"] = output_type.input_to_swagger()
        return call

    return decorate


def is_schema_decorated(run: Any) -> bool:
    return hasattr(run, _ATTRIBUTE)


def get_input_schema(run: Any) -> dict[str, Any]:
    """The JSON schema of the request body: all parameters of run(), also those without a decorator."""
    described = getattr(run, _ATTRIBUTE)["input"]
    schemas = {name: described.get(name, {"example": ""}) for name in inspect.signature(run).parameters}
    properties = {name: {k: v for k, v in schema.items() if k != "example"} for name, schema in schemas.items()}
    return {
        "type": "object",
        "properties": properties,
        "example": {name: schema["example"] for name, schema in schemas.items()},
    }


def get_output_schema(run: Any) -> dict[str, Any]:
    return getattr(run, _ATTRIBUTE)["output"]


def _schema(wrapper: Any, run: Any) -> dict[str, Any]:
    known = getattr(run, _ATTRIBUTE, {"input": {}, "output": {"type": "object", "example": {}}})
    schema = {"input": dict(known["input"]), "output": known["output"]}
    setattr(wrapper, _ATTRIBUTE, schema)
    return schema
