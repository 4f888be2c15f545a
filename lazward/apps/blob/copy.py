"""Copies from one blob of this server to another. Nothing is ever fetched from elsewhere: a URL that is not ours is refused."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from starlette.responses import Response

from lazward.apps.blob import auth
from lazward.apps.blob.answers import content_headers, empty, http_date, written
from lazward.apps.blob.append_blob import appended
from lazward.apps.blob.auth import READ, Proof
from lazward.apps.blob.block_blob import MAX_BLOCK, block_name, tags_header, tier
from lazward.apps.blob.call import Call, parse_query
from lazward.contract.errors import ArmError
from lazward.domain.blobs.conditions import Conditions, check_read, parse_conditions
from lazward.domain.blobs.errors import storage_error
from lazward.domain.blobs.names import account_in_host, check_blob, check_meta
from lazward.domain.blobs.ranges import parse_range
from lazward.storage.blobs import metadata
from lazward.storage.blobs.appending import AppendRules
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobInfo, BlobKey
from lazward.storage.blobs.store import checked_headers

_IN_PATH = re.compile(r"/+([a-z0-9]{3,24})\.(?:blob|dfs)\.core\.windows\.net/")
_OWN_HEADERS = ("copyId", "copySource", "copyTime")


@dataclass(frozen=True)
class Source:
    key: BlobKey
    wanted: Conditions
    url: str  # without its signature

    def check(self, found: BlobInfo) -> None:
        try:
            check_read(self.wanted, found.etag, found.modified)
        except ArmError:
            raise storage_error("SourceConditionNotMet") from None


async def source_of(call: Call) -> Source:
    """The blob that x-ms-copy-source names, once the request proved that it may be read."""
    url = call.header("x-ms-copy-source")
    parts = urlsplit(url)
    hosts = call.ctx.services.blob_hosts
    in_path, in_host = _IN_PATH.match(parts.path), account_in_host(re.sub(r":\d+\Z", "", parts.netloc.lower()), call.ctx.services.settings.public_host)
    if parts.scheme == "https" and in_path and parts.netloc.lower() in hosts:
        account, path = in_path.group(1), parts.path[in_path.end() :]
    elif parts.scheme == "https" and in_host:
        account, path = in_host[0], parts.path.lstrip("/")
    else:
        raise _refused("It is no URL of this server's storage; data from elsewhere is uploaded by the client.")
    container, _, blob = path.partition("/")
    key = BlobKey(account, unquote(container), unquote(blob))
    query = {name.lower(): value for name, value in parse_query(parts.query)}
    if "snapshot" in query or "versionid" in query:
        raise storage_error("InvalidSourceUri", "Snapshots and versions are not supported.", "x-ms-copy-source")
    await _check_readable(call, key, query)
    return Source(key, parse_conditions(call.headers, "x-ms-source-"), url.partition("?")[0])


async def _check_readable(call: Call, key: BlobKey, query: dict[str, str]) -> None:
    scope = await auth.scope_of(call, key.account)
    try:
        if scope is None:
            raise _refused()
        if "sig" in query:
            grant = auth.verify_query(call, key.account, key.container, key.name, query)
            caller = auth.delegator(grant)
            await auth.check(call, Proof("sas", scope, grant, caller), READ)
        elif authorization := call.headers.get("x-ms-copy-source-authorization"):
            await auth.check(call, Proof("bearer", scope, caller=await call.ctx.authenticated_by(authorization)), READ)
        elif call.proof == "bearer":
            await auth.check(call, Proof("bearer", scope, caller=call.ctx.caller), READ)
        elif call.proof != "key" or key.account != call.account:
            raise _refused("The source needs a signature of its own, or x-ms-copy-source-authorization.")
    except ArmError as error:
        raise _refused(getattr(error, "detail", "") or error.message) from None


def _refused(why: str = "") -> ArmError:
    error = storage_error("CannotVerifyCopySource", why, "x-ms-copy-source")
    error.status = 403
    return error


async def copy_blob(call: Call) -> Response:
    """Copy Blob, with and without x-ms-requires-sync: done when it is answered, by reference to the source's bytes."""
    check_blob(call.blob)
    source = await source_of(call)
    copy_id, now = str(uuid.uuid4()), call.now
    given = check_meta(call.meta())
    tags, fresh = tags_header(call), {}
    tier(call, fresh)

    def adapt(found: BlobInfo) -> Draft:
        kept = {name: value for name, value in found.headers.items() if name not in _OWN_HEADERS}
        facts = {"copyId": copy_id, "copySource": source.url, "copyTime": str(now)}
        copied = found.tags if call.headers.get("x-ms-copy-source-tag-option", "").upper() == "COPY" else tags
        return Draft(found.kind, (), kept | facts | fresh, given or found.meta, copied, found.access, found.blocks)

    info = await call.ctx.db.write(metadata.copy, source.key, call.key, now, adapt, source.check, call.conditions())
    headers = {"etag": f'"{info.etag}"', "last-modified": http_date(info.modified), "x-ms-copy-id": copy_id, "x-ms-copy-status": "success"}
    return empty(call, 202, headers)


async def put_blob_from_url(call: Call) -> Response:
    """Put Blob From URL: the source's content as a block blob."""
    check_blob(call.blob)
    source = await source_of(call)
    if expected := call.headers.get("x-ms-source-content-md5"):
        await _check_source_md5(call, source, expected)
    meta, tags = check_meta(call.meta()), tags_header(call)
    keep = call.headers.get("x-ms-copy-source-blob-properties", "true").lower() != "false"
    headers = checked_headers(content_headers(call.headers))
    tier(call, headers)

    def adapt(found: BlobInfo) -> Draft:
        before = {name: value for name, value in found.headers.items() if name not in _OWN_HEADERS} if keep else {}
        blocks = found.blocks if found.kind == "BlockBlob" else None
        return Draft("BlockBlob", (), before | headers, meta, tags, None, blocks)

    info = await call.ctx.db.write(metadata.copy, source.key, call.key, call.now, adapt, source.check, call.conditions())
    return written(call, info.etag, info.modified)


async def put_block_from_url(call: Call) -> Response:
    block_id = block_name(call.query.get("blockid", ""))
    check_blob(call.blob)
    lease = call.conditions().lease
    part = await call.store.write(await _range_of(call))
    if not part.size or part.size > MAX_BLOCK:
        await call.store.discard(part)
        raise storage_error("OutOfRangeInput", "A block has 1 to 4000 MiB.", "x-ms-source-range")
    await call.store.stage(call.key, block_id, part, lease)
    return empty(call, 201, {"x-ms-request-server-encrypted": "true"})


async def append_block_from_url(call: Call) -> Response:
    rules = AppendRules(call.conditions(), call.number("x-ms-blob-condition-appendpos"), call.number("x-ms-blob-condition-maxsize"), create=False)
    source, count = await _range_of(call), 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal count
        async for piece in source:
            count += len(piece)
            yield piece

    info = await call.store.append(*call.key, counted(), rules=rules)
    return written(call, info.etag, info.modified, more=appended(info, count))


async def abort_copy(call: Call) -> Response:
    raise storage_error("NoPendingCopyOperation")


async def _range_of(call: Call) -> AsyncIterator[bytes]:
    """The bytes of the source that a block is made of."""
    source = await source_of(call)
    info, layout = await call.store.find(source.key)
    source.check(info)
    start, end = parse_range(call.headers.get("x-ms-source-range"), info.size) or (0, info.size)
    if expected := call.headers.get("x-ms-source-content-md5"):
        await _check_source_md5(call, source, expected, start, end)
    return call.store.pieces(layout, start, end)


async def _check_source_md5(call: Call, source: Source, expected: str, start: int = 0, end: int | None = None) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    async for piece in call.store.read(*source.key, start, end):
        digest.update(piece)
    if base64.b64encode(digest.digest()).decode() != expected:
        raise storage_error("Md5Mismatch", target="x-ms-source-content-md5")
