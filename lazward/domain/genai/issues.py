"""Issues: faults that somebody found in the traces of an experiment."""

from __future__ import annotations

from typing import Any

from lazward.contract.mlflow import invalid

STATUSES = ("pending", "rejected", "resolved")
SEVERITIES = ("not_an_issue", "low", "medium", "high")  # the least first
MAX_NAME, MAX_TEXTS = 500, 1000


def check_word(value: Any, path: str, words: tuple[str, ...]) -> str | None:
    """One of words; None when it is absent."""
    if value in (None, ""):
        return None
    if value not in words:
        raise invalid(f"Invalid value {str(value)[:60]!r} for parameter '{path}' supplied: it must be one of {', '.join(words)}.", path)
    return str(value)


def check_name(name: str) -> str:
    if len(name) > MAX_NAME:
        raise invalid(f"'name' exceeds the maximum length of {MAX_NAME} characters", "name")
    return name


def check_texts(given: list[str], path: str) -> list[str]:
    if len(given) > MAX_TEXTS:
        raise invalid(f"'{path}' has more than {MAX_TEXTS} entries.", path)
    return given


def rank(severity: str | None) -> int:
    """What issues are ordered by; -1 for none."""
    return SEVERITIES.index(severity) if severity else -1
