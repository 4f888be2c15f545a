"""Enumerations of MLflow's protobufs: JSON may spell a value by its name or its number."""

from __future__ import annotations

from typing import Any

from lazward.contract.mlflow import invalid


def read_enum(value: Any, path: str, names: tuple[str, ...], first: int = 1) -> str:
    """One of names, in upper case; the number of names[0] is `first`. INVALID_PARAMETER_VALUE for anything else, absent ones too."""
    if isinstance(value, str) and value.upper() in names:
        return value.upper()
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 4:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value - first < len(names):
        return names[value - first]
    raise invalid(f"Invalid value {str(value)[:60]!r} for parameter '{path}' supplied: it must be one of {', '.join(names)}.", path)
