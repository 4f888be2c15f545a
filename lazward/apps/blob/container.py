"""Containers and what is listed of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from starlette.responses import Response

from lazward.apps.blob.answers import CONTENT, container_headers, empty, http_date, lease_headers, written
from lazward.apps.blob.block_blob import tags_xml
from lazward.apps.blob.call import Call
from lazward.apps.blob.markers import from_marker, to_marker
from lazward.apps.blob.xml import element, flatten, wrap, xml_response
from lazward.domain.blobs import leases
from lazward.domain.blobs.errors import storage_error, unsupported
from lazward.domain.blobs.names import check_container, check_meta
from lazward.storage.blobs import containers, listing, records
from lazward.storage.blobs.listing import BlobPage
from lazward.storage.blobs.records import BlobInfo

PAGE = 5000
_XML_NAMES = {
    "contentType": "Content-Type", "contentEncoding": "Content-Encoding", "contentLanguage": "Content-Language", "contentMD5": "Content-MD5",
    "cacheControl": "Cache-Control", "contentDisposition": "Content-Disposition",
}


async def create_container(call: Call) -> Response:
    check_container(call.container)
    _no_public_access(call)
    info = await call.ctx.db.write(containers.create, call.account, call.container, check_meta(call.meta()), call.now)
    return written(call, info.etag, info.modified)


async def get_container(call: Call) -> Response:
    info = await call.ctx.db.read(records.need_container, call.account, call.container)
    leases.check_read(info.lease, call.conditions().lease, call.now, "Container")
    return empty(call, 200, container_headers(info, call.now))


async def delete_container(call: Call) -> Response:
    await call.ctx.db.write(containers.delete, call.account, call.container, call.now, call.conditions())
    return empty(call, 202)


async def set_container_metadata(call: Call) -> Response:
    info = await call.ctx.db.write(containers.set_meta, call.account, call.container, check_meta(call.meta()), call.now, call.conditions())
    return written(call, info.etag, info.modified, 200)


async def get_acl(call: Call) -> Response:
    """No public access and no stored policies, ever."""
    info = await call.ctx.db.read(records.need_container, call.account, call.container)
    return xml_response("<SignedIdentifiers />", 200, {"x-ms-version": call.version, "etag": f'"{info.etag}"', "last-modified": http_date(info.modified)})


async def set_acl(call: Call) -> Response:
    """What asks for nothing is granted; public access and stored access policies are not built."""
    _no_public_access(call)
    raw = await call.body(64 * 1024)
    if raw.strip() and flatten(raw, "SignedIdentifiers"):
        raise unsupported("Stored access policies")
    info = await call.ctx.db.read(records.need_container, call.account, call.container)
    return written(call, info.etag, info.modified, 200)


def _no_public_access(call: Call) -> None:
    if call.headers.get("x-ms-blob-public-access"):
        error = storage_error("FeatureNotSupported", "Public access is not permitted on this storage account.", "x-ms-blob-public-access")
        error.status, error.code = 409, "PublicAccessNotPermitted"
        raise error


async def list_blobs(call: Call) -> Response:
    """Flat, or with a delimiter as a hierarchy."""
    query = call.query
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("marker", "")
    limit = min(call.number("maxresults", low=1, query=True) or PAGE, PAGE)
    include = {word.strip().lower() for word in query.get("include", "").split(",") if word.strip()}
    page = await call.ctx.db.read(
        listing.page, call.account, call.container, prefix, delimiter, from_marker(marker), limit, start_from=query.get("startfrom", ""),
    )
    parts = [element("Prefix", prefix), element("Marker", marker), element("MaxResults", limit)]
    if delimiter:
        parts.append(element("Delimiter", delimiter))
    blobs = await asyncio.to_thread(wrap, "Blobs", _entries(call, page, include))  # a full page takes a while
    parts += [blobs, element("NextMarker", to_marker(page.next_marker))]
    attributes = {"ServiceEndpoint": f"https://{call.host}/", "ContainerName": call.container}
    return xml_response(wrap("EnumerationResults", parts, attributes), 200, {"x-ms-version": call.version})


def _entries(call: Call, page: BlobPage, include: set[str]) -> Iterator[str]:
    """Blobs and prefixes in one order, as the services list them."""
    folders = iter(page.prefixes)
    folder = next(folders, None)
    for info in page.blobs:
        while folder is not None and folder < info.name:
            yield wrap("BlobPrefix", [element("Name", folder)])
            folder = next(folders, None)
        yield _blob_xml(call, info, include)
    while folder is not None:
        yield wrap("BlobPrefix", [element("Name", folder)])
        folder = next(folders, None)


def _blob_xml(call: Call, info: BlobInfo, include: set[str]) -> str:
    properties = [
        element("Creation-Time", http_date(info.created)), element("Last-Modified", http_date(info.modified)), element("Etag", info.etag),
        element("Content-Length", info.size), *(element(_XML_NAMES[name], info.headers.get(name, "application/octet-stream" if name == "contentType" else "")) for name in CONTENT),
        element("BlobType", "BlockBlob" if info.kind == "Directory" else info.kind), element("AccessTier", info.headers.get("accessTier", "Hot")),
        element("AccessTierInferred", None if "accessTier" in info.headers else "true"), *_lease_xml(info.lease, call.now), element("ServerEncrypted", "true"),
        element("ResourceType", "directory" if info.kind == "Directory" else "file"),
    ]
    if info.tags:
        properties.append(element("TagCount", len(info.tags)))
    parts = [element("Name", info.name), wrap("Properties", properties)]
    if "metadata" in include:
        parts.append(wrap("Metadata", (element(name, value) for name, value in info.meta.items())))
    if "tags" in include and info.tags:
        parts.append(tags_xml(info.tags))
    return wrap("Blob", parts)


def _lease_xml(lease: leases.Lease | None, now: float) -> list[str]:
    facts = lease_headers(lease, now)
    return [
        element("LeaseStatus", facts["x-ms-lease-status"]), element("LeaseState", facts["x-ms-lease-state"]), element("LeaseDuration", facts.get("x-ms-lease-duration")),
    ]


async def list_containers(call: Call) -> Response:
    query = call.query
    prefix, marker = query.get("prefix", ""), query.get("marker", "")
    limit = min(call.number("maxresults", low=1, query=True) or PAGE, PAGE)
    found, after = await call.ctx.db.read(containers.page, call.account, prefix, from_marker(marker), limit)
    with_meta = "metadata" in query.get("include", "").lower()
    items = []
    for info in found:
        properties = [
            element("Last-Modified", http_date(info.modified)), element("Etag", f'"{info.etag}"'), *_lease_xml(info.lease, call.now),
            element("HasImmutabilityPolicy", "false"), element("HasLegalHold", "false"), element("DefaultEncryptionScope", "$account-encryption-key"),
            element("DenyEncryptionScopeOverride", "false"),
        ]
        parts = [element("Name", info.name), wrap("Properties", properties)]
        if with_meta:
            parts.append(wrap("Metadata", (element(name, value) for name, value in info.meta.items())))
        items.append(wrap("Container", parts))
    parts = [element("Prefix", prefix), element("Marker", marker), element("MaxResults", limit), wrap("Containers", items), element("NextMarker", to_marker(after))]
    return xml_response(wrap("EnumerationResults", parts, {"ServiceEndpoint": f"https://{call.host}/"}), 200, {"x-ms-version": call.version})
