"""What `${{...}}` means in the nodes of a pipeline.

    ${{parent.inputs.x}}            an input of the pipeline
    ${{parent.jobs.a.outputs.y}}    an output of another node
    ${{parent.outputs.z}}           (of a node's output) it is the pipeline's output z
    ${{parent.jobs.a}}              a node itself: the block of an if_else, the body of a loop
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

_ANY = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_FORMS: tuple[tuple[Literal["input", "node_output", "output", "node"], re.Pattern[str]], ...] = (
    ("input", re.compile(rf"parent\.inputs\.({_NAME}(?:\.{_NAME})*)(?:\.path)?")),
    ("node_output", re.compile(rf"parent\.jobs\.({_NAME})\.outputs\.({_NAME})(?:\.path)?")),
    ("output", re.compile(rf"parent\.outputs\.({_NAME}(?:\.{_NAME})*)")),
    ("node", re.compile(rf"parent\.jobs\.({_NAME})")),
)


class Binding(msgspec.Struct, frozen=True):
    kind: Literal["input", "node_output", "output", "node"]
    name: str  # of the input, output or node
    output: str = ""  # of node_output


class BadBinding(ValueError):
    """A `${{...}}` of no known form."""


def whole(value: Any) -> Binding | None:
    """The binding that a value is as a whole; None for a plain value or a text with bindings among other text."""
    if not isinstance(value, str):
        return None
    match = _ANY.fullmatch(value.strip())
    return _read(match.group(1)) if match else None


def within(value: Any) -> list[Binding]:
    """Every binding in a text."""
    return [_read(match.group(1)) for match in _ANY.finditer(value)] if isinstance(value, str) else []


def fill(text: str, values: dict[Binding, str]) -> str:
    """The text with each binding replaced by its value."""
    return _ANY.sub(lambda match: values[_read(match.group(1))], text)


def _read(inner: str) -> Binding:
    for kind, form in _FORMS:
        if match := form.fullmatch(inner):
            return Binding(kind, *match.groups())
    raise BadBinding(f"'${{{{{inner[:80]}}}}}' is not a binding of a pipeline: use parent.inputs.NAME, parent.jobs.NODE.outputs.NAME or parent.outputs.NAME.")
