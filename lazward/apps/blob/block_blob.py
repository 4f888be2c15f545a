"""Blobs: reading, writing whole or in blocks, metadata, tags. One function for each operation."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import parse_qsl

from starlette.responses import Response, StreamingResponse

from lazward.apps.blob.answers import b64, blob_headers, content_headers, empty, http_date, written
from lazward.apps.blob.call import Call
from lazward.apps.blob.checksums import Checksums, Crc64
from lazward.apps.blob.xml import element, flatten, wrap, xml_response
from lazward.domain.blobs import leases
from lazward.domain.blobs.conditions import check_read
from lazward.domain.blobs.errors import storage_error, unsupported
from lazward.domain.blobs.layout import Layout
from lazward.domain.blobs.names import check_blob, check_meta
from lazward.domain.blobs.ranges import parse_range
from lazward.storage.blobs import blocks, metadata, records
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobInfo
from lazward.storage.blobs.store import checked_headers

MIB = 1 << 20
MAX_PUT = 5000 * MIB
MAX_BLOCK = 4000 * MIB
MAX_HASHED_RANGE = 4 * MIB
_TIERS = ("Hot", "Cool", "Cold", "Archive")


async def get_blob(call: Call) -> Response:
    """GET and HEAD: the content, all of it or a range, under the conditions of the request."""
    info, layout = await call.store.find(call.key)
    wanted = call.conditions()
    leases.check_read(info.lease, wanted.lease, call.now)
    check_read(wanted, info.etag, info.modified)
    if call.method == "HEAD":
        return Response(b"", 200, blob_headers(call, info) | {"content-length": str(info.size)})
    span = parse_range(call.headers.get("x-ms-range") or call.headers.get("range"), info.size)
    headers = blob_headers(call, info, part=span is not None)
    start, end = span or (0, info.size)
    if span:
        headers["content-range"] = f"bytes {start}-{end - 1}/{info.size}"
        await _hash_range(call, layout, start, end, headers)
    headers["content-length"] = str(end - start)
    status = 206 if span else 200
    if end - start <= MIB:  # one piece: no stream to set up
        return Response(b"".join([piece async for piece in call.store.pieces(layout, start, end)]), status, headers)
    return StreamingResponse(_closing(call, layout, start, end), status, headers)


async def _closing(call: Call, layout: Layout, start: int, end: int) -> AsyncIterator[bytes]:
    async with aclosing(call.store.pieces(layout, start, end)) as pieces:  # a client that goes away closes the files
        async for piece in pieces:
            yield piece


async def _hash_range(call: Call, layout: Layout, start: int, end: int, headers: dict[str, str]) -> None:
    asked = [name for name in ("md5", "crc64") if call.headers.get(f"x-ms-range-get-content-{name}", "").lower() == "true"]
    if not asked:
        return
    if end - start > MAX_HASHED_RANGE:
        raise storage_error("OutOfRangeInput", "A digest is made of ranges of at most 4 MiB.", "x-ms-range")
    data = b"".join([piece async for piece in call.store.pieces(layout, start, end)])
    if "md5" in asked:
        headers["content-md5"] = b64(hashlib.md5(data, usedforsecurity=False).digest())
    if "crc64" in asked:
        crc = Crc64()
        crc.update(data)
        headers["x-ms-content-crc64"] = b64(crc.digest())


async def put_blob(call: Call) -> Response:
    """A whole block blob, or an empty append blob."""
    kind = call.header("x-ms-blob-type")
    if kind not in ("BlockBlob", "AppendBlob"):
        raise unsupported(f"A blob of type {kind[:40]}")
    check_blob(call.blob)
    headers, meta, tags = content_headers(call.headers, standard=True), check_meta(call.meta()), tags_header(call)
    headers.pop("contentMD5", None)
    tier(call, headers)
    wanted, checksums = call.conditions(), Checksums(call.headers, want_md5=kind == "BlockBlob")
    part = await call.store.write(call.stream(MAX_PUT if kind == "BlockBlob" else 0, f"One {kind}"), checksums.digests)
    try:
        checksums.verify()
        if kind == "BlockBlob":
            headers["contentMD5"] = call.headers.get("x-ms-blob-content-md5") or checksums.answer()["content-md5"]
    except records.NOT_COMMITTED:
        await call.store.discard(part)
        raise
    info = await call.store.commit(call.key, [part], headers, meta, wanted=wanted, tags=tags, kind="AppendBlob" if kind == "AppendBlob" else "")
    return written(call, info.etag, info.modified, more=checksums.answer())


async def put_block(call: Call) -> Response:
    block_id = block_name(call.query.get("blockid", ""))
    check_blob(call.blob)
    if call.length() == 0:
        raise storage_error("InvalidHeaderValue", "A block is not empty.", "Content-Length")
    checksums, lease = Checksums(call.headers), call.conditions().lease
    part = await call.store.write(call.stream(MAX_BLOCK, "A block"), checksums.digests)
    try:
        checksums.verify()
        if not part.size:
            raise storage_error("InvalidHeaderValue", "A block is not empty.", "Content-Length")
    except records.NOT_COMMITTED:
        await call.store.discard(part)
        raise
    await call.store.stage(call.key, block_id, part, lease)
    return empty(call, 201, checksums.answer() | {"x-ms-request-server-encrypted": "true"})


async def put_block_list(call: Call) -> Response:
    check_blob(call.blob)
    checksums = Checksums(call.headers)
    raw = await call.body()
    for digest in checksums.digests:
        digest.update(raw)
    checksums.verify()
    listed = []
    for path, text in await asyncio.to_thread(flatten, raw, "BlockList"):  # it may be long
        if path not in (("Latest",), ("Committed",), ("Uncommitted",)):
            raise storage_error("InvalidXmlDocument", f"'{'/'.join(path)[:60]}' is not expected in a BlockList.")
        listed.append((path[0], block_name(text)))
    headers = checked_headers(content_headers(call.headers))
    tier(call, headers)
    draft = Draft(headers=headers, meta=check_meta(call.meta()), tags=tags_header(call))
    info = await call.ctx.db.write(blocks.commit, call.key, listed, draft, call.now, call.conditions())
    return written(call, info.etag, info.modified)


async def get_block_list(call: Call) -> Response:
    kind = call.query.get("blocklisttype", "committed").lower()
    info, committed, staged = await call.ctx.db.read(blocks.listed, call.key, call.conditions().lease, call.now)

    def listed(name: str, found: list[tuple[str, int]]) -> str:
        return wrap(name, (wrap("Block", (element("Name", id), element("Size", size))) for id, size in found))

    parts = [listed("CommittedBlocks", committed)] if kind in ("committed", "all") else []
    parts += [listed("UncommittedBlocks", staged)] if kind in ("uncommitted", "all") else []
    headers = {"x-ms-version": call.version, "x-ms-blob-content-length": str(info.size if info else 0)}
    if info:
        headers |= {"etag": f'"{info.etag}"', "last-modified": http_date(info.modified)}
    return xml_response(wrap("BlockList", parts), 200, headers)


async def delete_blob(call: Call) -> Response:
    if not await call.ctx.db.write(metadata.delete, call.key, call.now, call.conditions()):
        raise storage_error("BlobNotFound", target=call.blob[:80])
    return empty(call, 202, {"x-ms-delete-type-permanent": "true"})


async def set_metadata(call: Call) -> Response:
    meta = check_meta(call.meta())

    def edit(info: BlobInfo) -> None:
        info.meta = meta

    info = await call.ctx.db.write(metadata.change, call.key, edit, call.now, call.conditions())
    return written(call, info.etag, info.modified, 200)


async def get_metadata(call: Call) -> Response:
    info = await call.ctx.db.read(records.need, call.key)
    check_read(call.conditions(), info.etag, info.modified)
    headers = {"etag": f'"{info.etag}"', "last-modified": http_date(info.modified), **{f"x-ms-meta-{k}": v for k, v in info.meta.items()}}
    return empty(call, 200, headers)


async def set_properties(call: Call) -> Response:
    """Sets the content headers, all of them: those not given are cleared."""
    fresh = checked_headers(content_headers(call.headers))

    def edit(info: BlobInfo) -> None:
        kept = {name: value for name, value in info.headers.items() if name in ("accessTier", "copyId", "copySource", "copyTime")}
        info.headers = kept | fresh

    info = await call.ctx.db.write(metadata.change, call.key, edit, call.now, call.conditions())
    return written(call, info.etag, info.modified, 200)


async def set_tier(call: Call) -> Response:
    """Kept and shown; all tiers are as fast here."""
    chosen: dict[str, str] = {}
    call.header("x-ms-access-tier")
    tier(call, chosen)

    def edit(info: BlobInfo) -> None:
        info.headers |= chosen

    await call.ctx.db.write(metadata.change, call.key, edit, call.now, call.conditions(), quiet=True)
    return empty(call, 200)


async def set_tags(call: Call) -> Response:
    names: list[str] = []
    values: list[str] = []
    for path, text in flatten(await call.body(64 * 1024), "Tags"):
        if path == ("TagSet", "Tag", "Key"):
            names.append(text)
        elif path == ("TagSet", "Tag", "Value"):
            values.append(text)
    if len(names) != len(values):
        raise storage_error("InvalidXmlDocument", "Every Tag has one Key and one Value.")
    tags = check_tags(list(zip(names, values, strict=True)))

    def edit(info: BlobInfo) -> None:
        info.tags = tags

    await call.ctx.db.write(metadata.change, call.key, edit, call.now, call.conditions(), quiet=True)
    return empty(call, 204)


async def get_tags(call: Call) -> Response:
    info = await call.ctx.db.read(records.need, call.key)
    leases.check_read(info.lease, call.conditions().lease, call.now)
    return xml_response(tags_xml(info.tags or {}), 200, {"x-ms-version": call.version})


def tags_xml(tags: dict[str, str]) -> str:
    return wrap("Tags", [wrap("TagSet", (wrap("Tag", (element("Key", k), element("Value", v))) for k, v in tags.items()))])


def tags_header(call: Call) -> dict[str, str] | None:
    """x-ms-tags: a=b&c=d."""
    text = call.headers.get("x-ms-tags")
    return check_tags(parse_qsl(text, keep_blank_values=True, max_num_fields=11)) if text else None


def check_tags(tags: list[tuple[str, str]]) -> dict[str, str]:
    if len(tags) > 10 or len(dict(tags)) != len(tags) or any(not 1 <= len(name) <= 128 or len(value) > 256 for name, value in tags):
        raise storage_error("InvalidInput", "A blob has at most 10 tags of different names, with 1 to 128 characters, and values of at most 256.", "x-ms-tags")
    return dict(tags)


def tier(call: Call, headers: dict[str, str]) -> None:
    if given := call.headers.get("x-ms-access-tier"):
        if given.capitalize() not in _TIERS:
            raise storage_error("InvalidHeaderValue", f"The access tier is one of {', '.join(_TIERS)}, not '{given[:40]}'.", "x-ms-access-tier")
        headers["accessTier"] = given.capitalize()


def block_name(text: str) -> str:
    """A block id as sent; ArmError 400 unless it is Base64 of 1 to 64 bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not 1 <= len(raw) <= 64:
        raise storage_error("InvalidBlockId" if text else "MissingRequiredQueryParameter", f"'{text[:90]}' is not one.", "blockid")
    return text
