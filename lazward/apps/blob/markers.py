"""Where a listing goes on: opaque to clients, the last name to us."""

from __future__ import annotations

import base64
import binascii

from lazward.domain.blobs.errors import storage_error


def to_marker(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode("utf-8")).decode().rstrip("=") if name else ""


def from_marker(marker: str) -> str:
    """ArmError 400 for one that no listing gave."""
    try:
        return base64.b64decode(marker + "=" * (-len(marker) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise storage_error("InvalidQueryParameterValue", "The marker is not one of a listing.", "marker") from None
