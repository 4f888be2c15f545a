"""A request's JSON, read with the limits that what comes after it relies on."""

from __future__ import annotations

from typing import Any

import msgspec

from lazward.contract.errors import ArmError, bad_request

MAX_DEPTH = 100  # nested objects and lists; what copies, stores and prints documents follows them by recursion


def read_json(raw: bytes) -> Any:
    """The value; {} for an empty body. ArmError 400 for what is malformed, nested too deep, or holds a NUL, which no text column of
    PostgreSQL takes."""
    if not raw.strip():
        return {}
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(str(error)) from None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and deeper(value, MAX_DEPTH):
        raise _invalid(f"objects and lists are nested more than {MAX_DEPTH} deep")
    if b"\\u0000" in raw and (place := _nul(value, "")) is not None:
        raise ArmError(400, "InvalidRequestContent", "The request content holds a NUL character.", place.lstrip(".") or "body")
    return value


def copied(value: Any) -> Any:
    """A JSON value that shares no object or list with this one. (copy.deepcopy, which is made for any value, takes five times as long.)"""
    if isinstance(value, dict):
        return {name: copied(inner) for name, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


def _invalid(reason: str) -> ArmError:
    return bad_request(f"The request content was invalid and could not be deserialized: {reason}", "body", "InvalidRequestContent")


def deeper(value: Any, most: int) -> bool:
    """Level by level, without recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _nul(value: Any, place: str) -> str | None:
    """Where a NUL is, as a path of members; None when there is none. The depth is known to be small."""
    if isinstance(value, str):
        return place if "\0" in value else None
    if isinstance(value, dict):
        if any("\0" in name for name in value):
            return place or "body"
        pairs = ((f"{place}.{name}", inner) for name, inner in value.items())
    elif isinstance(value, list):
        pairs = ((f"{place}[{index}]", inner) for index, inner in enumerate(value))
    else:
        return None
    return next((found for where, inner in pairs if (found := _nul(inner, where)) is not None), None)
