"""ISO 8601 durations as Azure writes them (P1DT2H3M4.5S), in seconds."""

from __future__ import annotations

import re

from lazward.contract.errors import bad_request

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)"
_ISO = re.compile(f"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?")
_UNITS = (604800.0, 86400.0, 3600.0, 60.0, 1.0)


def parse_duration(text: str, target: str) -> float:
    """Seconds; raises ArmError 400 naming `target` when it is no duration. Years and months have no fixed length and are refused."""
    match = _ISO.fullmatch(text) if isinstance(text, str) and len(text) <= 100 else None
    if not match or text in ("P", "PT") or text.endswith("T"):
        raise bad_request(f"'{str(text)[:40]}' is not an ISO 8601 duration such as PT5M or P1DT2H.", target)
    return sum(float(value) * unit for value, unit in zip(match.groups(), _UNITS, strict=True) if value)


def spell_duration(seconds: float) -> str:
    """Seconds as an ISO 8601 duration."""
    return f"PT{seconds:.15g}S"
