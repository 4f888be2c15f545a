"""Conditional requests: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, and what "exists" means to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from lazward.domain.blobs.errors import storage_error


class Conditions(msgspec.Struct, frozen=True):
    """etags without quotes, "*" for any; times in unix seconds. lease: the lease id the client holds."""

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    modified_since: float | None = None
    unmodified_since: float | None = None
    lease: str = ""
    create_only: bool = False  # a signature that may create but not overwrite

    @property
    def any(self) -> bool:
        return bool(self.if_match or self.if_none_match) or self.modified_since is not None or self.unmodified_since is not None


NONE = Conditions()
ABSENT = Conditions(if_none_match=("*",))


def parse_conditions(headers: Mapping[str, str], prefix: str = "", *, lease: str | None = None, create_only: bool = False) -> Conditions:
    """From headers with lower-case names; prefix "x-ms-source-" reads the conditions on a copy's source."""
    lease_id = headers.get("x-ms-lease-id" if not prefix else f"{prefix}lease-id", "") if lease is None else lease
    return Conditions(
        _etags(headers.get(f"{prefix}if-match")), _etags(headers.get(f"{prefix}if-none-match")),
        _time(headers, f"{prefix}if-modified-since"), _time(headers, f"{prefix}if-unmodified-since"), lease_id.lower(), create_only,
    )


def check_read(wanted: Conditions, etag: str, modified: float) -> None:
    """For what exists. ArmError 304 when the client has it already, 412 when it changed."""
    seconds = math.floor(modified)
    if wanted.if_match and not _among(wanted.if_match, etag):
        raise storage_error("ConditionNotMet", target="If-Match")
    if wanted.unmodified_since is not None and seconds > wanted.unmodified_since:
        raise storage_error("ConditionNotMet", target="If-Unmodified-Since")
    unchanged = wanted.if_none_match and _among(wanted.if_none_match, etag)
    if not wanted.if_none_match and wanted.modified_since is not None:
        unchanged = seconds <= wanted.modified_since
    if unchanged:
        error = storage_error("ConditionNotMet", ETag=f'"{etag}"')
        error.status = 304
        raise error


def check_write(wanted: Conditions, etag: str | None, modified: float = 0.0, *, exists_code: str = "BlobAlreadyExists") -> None:
    """etag None: nothing is there. ArmError 412, 409 (exists_code) for If-None-Match: * on what exists, or 403 for create-only."""
    if etag is None:
        if wanted.if_match:
            raise storage_error("ConditionNotMet", "There is nothing to match.", "If-Match")
        return
    if wanted.create_only:
        raise storage_error("UnauthorizedBlobOverwrite")
    if "*" in wanted.if_none_match:
        raise storage_error(exists_code, target="If-None-Match")
    seconds = math.floor(modified)
    failed = {
        "If-Match": wanted.if_match and not _among(wanted.if_match, etag),
        "If-None-Match": wanted.if_none_match and _among(wanted.if_none_match, etag),
        "If-Modified-Since": wanted.modified_since is not None and seconds <= wanted.modified_since,
        "If-Unmodified-Since": wanted.unmodified_since is not None and seconds > wanted.unmodified_since,
    }
    for header, yes in failed.items():
        if yes:
            raise storage_error("ConditionNotMet", target=header)


def _among(etags: tuple[str, ...], etag: str) -> bool:
    return "*" in etags or etag in etags


def _etags(header: str | None) -> tuple[str, ...]:
    if not header or not header.strip():
        return ()
    return tuple(piece.strip().removeprefix("W/").strip('"') for piece in header[:2000].split(","))


def _time(headers: Mapping[str, str], name: str) -> float | None:
    text = headers.get(name)
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        raise storage_error("InvalidHeaderValue", f"'{text[:60]}' is not an HTTP date.", name) from None
