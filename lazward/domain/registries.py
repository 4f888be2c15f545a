"""Which registries a document names, and the right to read what lies in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lazward.contract.ids import ML
from lazward.domain.resources.workspaces import BUILT_IN_REGISTRY

_URI = re.compile(r"\s*azureml://registries/+([^/]+)", re.IGNORECASE)
RIGHT = f"{ML}/registries/assets/read"


def registries_in(value: Any) -> set[str]:
    """Names, in lower case, of the registries whose URIs are value or a text inside of it; without the built-in one, which is everybody's."""
    return {name for name in _named(value) if name != BUILT_IN_REGISTRY}


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if match := _URI.match(value):
            yield match.group(1).lower()
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)
