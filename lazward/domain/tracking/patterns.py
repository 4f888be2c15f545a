"""Regular expressions of clients (RLIKE), matched in a time that is linear in the text: RE2, which has no way to go back (S19)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20


@lru_cache(256)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern, _OPTIONS)


def fault(pattern: str) -> str | None:
    """What is wrong with it; None when nothing is."""
    try:
        _compiled(pattern)
    except re2.error as error:
        return str(error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else error)[:200]
    return None


def matches(pattern: str | None, text: str | None) -> bool:
    """Whether it is found anywhere in the text, upper and lower case being different; never for None or a bad pattern."""
    if pattern is None or text is None or fault(pattern):
        return False
    return _compiled(pattern).search(text) is not None
