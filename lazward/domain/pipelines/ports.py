"""Typed inputs and outputs as a component declares them: what may be given, what is filled in, what a text means."""

from __future__ import annotations

import math
from typing import Any

import msgspec

PRIMITIVES = ("string", "integer", "number", "boolean")
DATA = ("uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


class Port(msgspec.Struct, frozen=True):
    """An input or output of a component. default, minimum, maximum and enum are as the client wrote them: texts or numbers."""

    name: str
    type: str
    optional: bool = False
    default: Any = None
    minimum: Any = None
    maximum: Any = None
    enum: tuple[Any, ...] = ()
    mode: str | None = None
    early: bool = False

    @property
    def primitive(self) -> bool:
        return self.type in PRIMITIVES


def read(declared: Any) -> dict[str, Port]:
    """The ports of a component's `inputs` or `outputs`. Groups of inputs are spread as "group.member", as nodes spell them."""
    ports: dict[str, Port] = {}
    for name, facts in (declared or {}).items():
        if not isinstance(facts, dict):
            facts = {"type": "string", "default": facts}
        if str(facts.get("type", "")).lower() == "group" or isinstance(facts.get("values"), dict):
            ports |= {f"{name}.{inner}": msgspec.structs.replace(port, name=f"{name}.{inner}") for inner, port in read(facts.get("values")).items()}
            continue
        kind = str(facts.get("type") or "uri_folder").lower()
        ports[name] = Port(
            name, {"path": "uri_folder", "enum": "string", "float": "number", "bool": "boolean", "int": "integer"}.get(kind, kind), _flag(facts.get("optional")),
            facts.get("default"), facts.get("min"), facts.get("max"), tuple(facts.get("enum") or ()), facts.get("mode"), _flag(facts.get("early_available")),
        )
    return ports


def problem(port: Port, value: Any) -> str:
    """What is wrong with a literal for this port, as a sentence; "" when it fits."""
    text = spell(value)
    if port.type in DATA:
        return f"takes data of type {port.type}, not the text '{text[:60]}'"
    if port.type == "boolean" and text.lower() not in (*_TRUE, *_FALSE):
        return f"takes true or false, not '{text[:60]}'"
    if port.type in ("integer", "number"):
        number = _number(text, port.type)
        if number is None:
            return f"takes {'a whole number' if port.type == 'integer' else 'a number'}, not '{text[:60]}'"
        low, high = _number(spell(port.minimum), "number"), _number(spell(port.maximum), "number")
        if port.minimum is not None and low is not None and number < low:
            return f"is at least {port.minimum}, not {text[:60]}"
        if port.maximum is not None and high is not None and number > high:
            return f"is at most {port.maximum}, not {text[:60]}"
    if port.enum and text not in {spell(choice) for choice in port.enum}:
        return f"is one of {', '.join(spell(c) for c in port.enum)}, not '{text[:60]}'"
    return ""


def spell(value: Any) -> str:
    """As clients spell literals on the wire: Python's words for booleans, no quotes."""
    return "" if value is None else str(value)


def truth(value: Any) -> bool | None:
    """The truth of a control output; None when it says neither."""
    text = spell(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _number(text: str, kind: str) -> float | None:
    try:
        number = int(text) if kind == "integer" else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _flag(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"
