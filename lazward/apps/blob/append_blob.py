"""Append blobs and leases of blobs."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response

from lazward.apps.blob.answers import empty, http_date, written
from lazward.apps.blob.call import Call
from lazward.apps.blob.checksums import Checksums
from lazward.domain.blobs import leases
from lazward.domain.blobs.conditions import parse_conditions
from lazward.domain.blobs.errors import storage_error
from lazward.storage.blobs import containers, metadata
from lazward.storage.blobs.appending import AppendRules
from lazward.storage.blobs.records import BlobInfo

MAX_APPEND = 100 << 20


async def append_block(call: Call) -> Response:
    if call.length() == 0:
        raise storage_error("InvalidHeaderValue", "An appended block is not empty.", "Content-Length")
    checksums = Checksums(call.headers)
    rules = AppendRules(
        call.conditions(), call.number("x-ms-blob-condition-appendpos"), call.number("x-ms-blob-condition-maxsize"), create=False,
    )
    body = call.stream(MAX_APPEND, "An appended block")
    info = await call.store.append(*call.key, body, rules=rules, digests=checksums.digests, verify=checksums.verify)
    return written(call, info.etag, info.modified, more={**checksums.answer(), **appended(info, call.received)})


def appended(info: BlobInfo, count: int) -> dict[str, str]:
    """Where the count bytes that were appended last begin."""
    return {"x-ms-blob-append-offset": str(info.size - count), "x-ms-blob-committed-block-count": str(info.blocks)}


async def lease(call: Call) -> Response:
    """PUT comp=lease on a blob or, without one, on its container."""
    action = call.header("x-ms-lease-action").lower()
    given, left = call.headers.get("x-ms-lease-id", ""), 0
    now = call.now

    def act(old: Any) -> Any:
        nonlocal left
        if action == "acquire":
            proposed = call.headers.get("x-ms-proposed-lease-id")
            seconds = call.number("x-ms-lease-duration", required=True, low=-1)
            return leases.acquire(old, leases.lease_id(proposed, "x-ms-proposed-lease-id") if proposed else fresh, seconds or 0, now)
        if action == "renew":
            return leases.renew(old, leases.lease_id(given, "x-ms-lease-id"), now)
        if action == "change":
            return leases.change(old, leases.lease_id(given, "x-ms-lease-id"), leases.lease_id(call.headers.get("x-ms-proposed-lease-id", ""), "x-ms-proposed-lease-id"), now)
        if action == "release":
            return leases.release(old, leases.lease_id(given, "x-ms-lease-id"))
        if action == "break":
            broken, left = leases.break_(old, call.number("x-ms-lease-break-period"), now)
            return broken
        raise storage_error("InvalidHeaderValue", f"'{action[:40]}' is not an action on a lease.", "x-ms-lease-action")

    fresh = str(uuid.uuid4())
    wanted = parse_conditions(call.headers, lease="")
    if call.blob:
        info = await call.ctx.db.write(metadata.lease, call.key, act, wanted)
    else:
        info = await call.ctx.db.write(containers.lease, call.account, call.container, act, wanted)
    headers = {"etag": f'"{info.etag}"', "last-modified": http_date(info.modified)}
    if action == "break":
        headers["x-ms-lease-time"] = str(left)
    elif info.lease:
        headers["x-ms-lease-id"] = info.lease["id"]
    return empty(call, {"acquire": 201, "break": 202}.get(action, 200), headers)
