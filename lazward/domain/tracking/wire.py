"""Values as protobuf's JSON spells them: times, durations, maps of strings."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999  # milliseconds; the years 1 to 9999


def optional(value: Any, path: str) -> str | None:
    return None if value is None else names.check_value(value, path)


def mapping(raw: Any, path: str) -> dict[str, str]:
    """A map of strings. Keys are free but for what no statement takes, as MLflow's."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise invalid(f"Invalid value for parameter '{path}' supplied: it must be an object of strings.", path)
    for key in raw:
        if not key or len(key) > names.MAX_KEY:
            raise invalid(f"A key of '{path}' is empty or longer than {names.MAX_KEY} characters.", path)
    return {key: names.check_value(value, f"{path}.{key}") for key, value in raw.items()}


def entries(raw: list[Any], path: str) -> dict[str, str]:
    """[{key, value}, ...] of version 2."""
    for index, item in enumerate(raw):
        if not isinstance(item, dict) or not isinstance(item.get("key"), str):
            raise invalid(f"Missing value for required parameter '{path}[{index}].key'.", f"{path}[{index}].key")
    return mapping({item["key"]: item.get("value") for item in raw}, path)


def milliseconds(raw: Any, path: str) -> int:
    """A protobuf Timestamp, "2027-01-31T12:00:00.123Z", as milliseconds since 1970."""
    match = _TIME.fullmatch(raw) if isinstance(raw, str) else None
    if match:
        *whole, fraction, zone = match.groups()
        try:
            moment = dt.datetime(*(int(n) for n in whole), tzinfo=dt.UTC)
            offset = dt.timedelta() if zone == "Z" else dt.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:])) * (-1 if zone[0] == "-" else 1)
            return int((moment - _EPOCH) / dt.timedelta(seconds=1)) * 1000 - int(offset.total_seconds()) * 1000 + int((fraction or "").ljust(3, "0")[:3])
        except (ValueError, OverflowError):
            pass
    raise invalid(f"Invalid value {str(raw)[:60]!r} for parameter '{path}' supplied: it must be a time such as 2027-01-31T12:00:00.000Z.", path)


def duration_ms(raw: Any, path: str) -> int | None:
    """A protobuf Duration, "1.5s", as milliseconds."""
    if raw is None:
        return None
    match = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise invalid(f"Invalid value {str(raw)[:60]!r} for parameter '{path}' supplied: it must be a duration such as 1.5s.", path)
    sign, seconds, fraction = match.groups()
    return (int(seconds) * 1000 + int((fraction or "").ljust(3, "0")[:3])) * (-1 if sign else 1)


def wire_time(at: int) -> str:
    """Milliseconds since 1970 as a protobuf Timestamp; what it cannot hold becomes the nearest it can."""
    at = max(FIRST, min(at, LAST))
    return (_EPOCH + dt.timedelta(milliseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{at % 1000:03d}Z"


def wire_duration(ms: int) -> str:
    return f"{'-' if ms < 0 else ''}{abs(ms) // 1000}.{abs(ms) % 1000:03d}s"
