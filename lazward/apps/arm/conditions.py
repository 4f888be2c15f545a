"""If-Match and If-None-Match (RFC 9110, 13.1) over the etags of resources."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.responses import Response

from lazward.contract.errors import ArmError


def quoted(etag: str) -> dict[str, str]:
    """The ETag header."""
    return {"ETag": f'"{etag}"'}


def not_modified(etag: str, if_none_match: str | None) -> Response | None:
    """The 304 of a GET whose caller has this state already."""
    if if_none_match and ("*" in (given := set(_etags(if_none_match))) or etag in given):
        return Response(status_code=304, headers=quoted(etag))
    return None


def check_conditions(etag: str | None, if_match: str | None, if_none_match: str | None, name: str) -> None:
    """Raises ArmError 412. etag: None when the resource is not there."""
    if if_none_match and etag is not None and ("*" in (given := set(_etags(if_none_match))) or etag in given):
        raise ArmError(412, "PreconditionFailed", f"'{name}' exists already (If-None-Match: {if_none_match[:80]}).", "If-None-Match")
    if if_match and (etag is None or ("*" not in (given := set(_etags(if_match))) and etag not in given)):
        reason = "is not there" if etag is None else "has changed since it was read"
        raise ArmError(412, "PreconditionFailed", f"'{name}' {reason} (If-Match).", "If-Match")


def _etags(text: str) -> Iterator[str]:
    for piece in text.split(","):
        yield piece.strip().removeprefix("W/").strip('"')
