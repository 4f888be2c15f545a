"""Shapes that every ARM answer shares: system data, pages, operations, api versions."""

from __future__ import annotations

import base64
import datetime as dt
import re
from typing import Any

from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError, bad_request

API_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview|-privatepreview|-dataplanepreview)?")

_TOKEN = re.compile(r"s[0-9]{1,18}")  # what a database's integer holds

SUCCEEDED, FAILED, CANCELED = "Succeeded", "Failed", "Canceled"
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELED})


def timestamp(seconds: float) -> str:
    """RFC 3339 with Z and microseconds, as ARM prints times."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def system_data(caller: Caller, now: float, old: dict[str, Any] | None) -> dict[str, Any]:
    stamp, by = timestamp(now), caller.name or caller.id
    made = old or {"createdAt": stamp, "createdBy": by, "createdByType": caller.created_by_type}
    return {
        **{k: made[k] for k in ("createdAt", "createdBy", "createdByType") if k in made},
        "lastModifiedAt": stamp, "lastModifiedBy": by, "lastModifiedByType": caller.created_by_type,
    }


def check_api_version(value: str | None) -> str:
    """Any well-formed api-version is served in the newest shape known; absent or malformed is refused as ARM does."""
    if not value:
        raise bad_request("The api-version query parameter (?api-version=) is required for all requests.", "api-version", "MissingApiVersionParameter")
    if not API_VERSION.fullmatch(value.lower()):
        raise ArmError(
            400, "InvalidApiVersionParameter",
            f"The api-version '{value[:40]}' is invalid. It has the form YYYY-MM-DD or YYYY-MM-DD-preview, for example 2025-12-01.", "api-version",
        )
    return value


def encode_token(seq: int) -> str:
    return base64.urlsafe_b64encode(f"s{seq}".encode()).decode().rstrip("=")


def decode_token(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        if not _TOKEN.fullmatch(text):
            raise ValueError
        return int(text[1:])
    except (ValueError, UnicodeDecodeError):
        raise bad_request("The continuation token is not one this server gave out.", "$skip") from None


def operation_status(task_id: str, url: str, status: str, started: float, ended: float | None, error: dict[str, Any] | None) -> dict[str, Any]:
    """The document behind Azure-AsyncOperation."""
    body: dict[str, Any] = {
        "id": url, "name": task_id, "status": status, "startTime": timestamp(started),
        "percentComplete": 100.0 if status in TERMINAL else 50.0,
    }
    if ended is not None:
        body["endTime"] = timestamp(ended)
    if error:
        body["error"] = error
    return body
