"""Byte ranges of requests."""

from __future__ import annotations

import re

from lazward.domain.blobs.errors import storage_error

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*\Z", re.IGNORECASE | re.ASCII)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, end) with end exclusive and within size; None when no range is asked for. ArmError 416 for a range that begins
    behind the end (as every range of an empty blob does), 400 for what is no range. Several ranges at once are not a thing here."""
    if not header:
        return None
    match = _RANGE.match(header)
    if match is None or len(header) > 100 or match.groups() == ("", ""):
        raise storage_error("InvalidHeaderValue", f"'{header[:60]}' is not a range such as bytes=0-99.", "Range")
    first, last = match.groups()
    if not first:  # the last so many bytes
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            raise storage_error("InvalidHeaderValue", f"'{header[:60]}' ends before it begins.", "Range")
    if start >= size:
        raise storage_error("InvalidRange", f"The blob has {size} bytes.", "Range", content_range=f"bytes */{size}")
    return start, end
