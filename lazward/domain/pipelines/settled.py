"""Members of a node that are bound to inputs of the pipeline: its compute, resources, limits, the settings of a parallel step and so on.

    {"mini_batch_size": "${{parent.inputs.size}}"}  with size = "5"  ->  {"mini_batch_size": 5}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.([A-Za-z_]\w*)\s*\}\}")
# What is bound by rules of its own, or names bindings of the component.
_OTHERS = frozenset(("inputs", "outputs", "items", "condition", "mapping", "body", "true_block", "false_block", "type", "name", "componentId", "component", "trial", "task", "input_data", "search_space"))
_TEXTS = frozenset(("environment_variables", "tags", "properties", "display_name", "description", "compute", "computeId"))
_WHOLE, _NUMBER = re.compile(r"-?\d{1,18}"), re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d+)?")


def settled(raw: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """The node with those members as the values say, numbers as numbers; a member bound to an input without a value is left out."""
    return {name: value if name in _OTHERS else _with(value, values, name in _TEXTS) for name, value in raw.items()}


def bound(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(path of the member, name of the input) of all there are."""
    for name, value in raw.items():
        if name not in _OTHERS:
            yield from _bound(value, name)


def _with(value: Any, values: Mapping[str, str], text: bool) -> Any:
    if isinstance(value, str):
        if match := _INPUT.fullmatch(value.strip()):
            found = values.get(match.group(1))
            return found if text or found is None else _typed(found)
        return _INPUT.sub(lambda match: values.get(match.group(1), ""), value)
    if isinstance(value, dict):
        return {k: v for k, v in ((k, _with(v, values, text)) for k, v in value.items()) if v is not None or value[k] is None}
    return [_with(v, values, text) for v in value] if isinstance(value, list) else value


def _bound(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from ((at, match.group(1)) for match in _INPUT.finditer(value))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _bound(inner, f"{at}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _bound(inner, f"{at}[{index}]")


def _typed(text: str) -> Any:
    return int(text) if _WHOLE.fullmatch(text) else float(text) if _NUMBER.fullmatch(text) else text
