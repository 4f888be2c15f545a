"""Environment variables that a job or deployment sets for its processes."""

from __future__ import annotations

import re
from typing import Any

from lazward.contract.errors import bad_request

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
MAX_VALUE = 100_000  # characters: Linux takes 128 KiB for one


def check_variables(properties: dict[str, Any]) -> None:
    """Raises ArmError 400 naming the variable of `environmentVariables` that no process could be given."""
    for name, value in (properties.get("environmentVariables") or {}).items():
        target = f"properties.environmentVariables.{name[:80]}"
        if not _NAME.fullmatch(name):
            raise bad_request(f"'{name[:80]}' is not a valid name of an environment variable.", target)
        if not isinstance(value, str | int | float | bool | type(None)) or "\0" in str(value) or len(str(value)) > MAX_VALUE:
            raise bad_request(f"The value of '{name[:80]}' is no text of up to {MAX_VALUE} characters.", target)
