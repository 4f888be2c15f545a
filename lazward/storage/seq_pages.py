"""Pages of lists in the order of their rows: the token names the last row seen."""

from __future__ import annotations

import base64
import binascii
import re

from lazward.contract.mlflow import invalid


def token(seq: int) -> str:
    return base64.urlsafe_b64encode(f"s{seq}".encode()).decode()


def place(given: str | None) -> int | None:
    """The seq in a token; None for no token. INVALID_PARAMETER_VALUE for what this server never gave out."""
    if not given:
        return None
    try:
        text = base64.b64decode(given, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        text = ""
    if not re.fullmatch(r"s\d{1,18}", text, re.ASCII):
        raise invalid(f"Invalid page token {given[:60]!r}.", "page_token")
    return int(text[1:])
