"""The Data Lake (Gen2) endpoint: files and folders over the same blobs."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from lazward.apps.blob import append_blob, auth, container, dfs_listing
from lazward.apps.blob.answers import access_headers, access_of, blob_headers, empty, http_date, written
from lazward.apps.blob.auth import Need, Proof
from lazward.apps.blob.block_blob import MAX_BLOCK, get_blob
from lazward.apps.blob.call import Call, parse_query
from lazward.apps.blob.checksums import Checksums
from lazward.apps.blob.markers import from_marker, to_marker
from lazward.apps.chain import json_response
from lazward.contract.errors import ArmError
from lazward.domain.blobs import acl
from lazward.domain.blobs.conditions import check_read, parse_conditions
from lazward.domain.blobs.errors import storage_error, unsupported
from lazward.domain.blobs.names import check_blob, check_header, check_meta
from lazward.storage.blobs import blocks, containers, directories, metadata, records
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import DIRECTORY, BlobInfo, BlobKey
from lazward.storage.blobs.store import checked_headers

_CONTENT = {
    "contentType": "x-ms-content-type", "contentEncoding": "x-ms-content-encoding", "contentLanguage": "x-ms-content-language",
    "contentDisposition": "x-ms-content-disposition", "cacheControl": "x-ms-cache-control", "contentMD5": "x-ms-content-md5",
}
_PATCH = 2000  # paths whose access one request changes, before it gives a continuation


def word(call: Call) -> str:
    """The parameters that say which operation it is."""
    if resource := call.query.get("resource", "").lower():
        return f"resource={resource}"
    action = call.query.get("action", "").lower()
    if action and action != "getstatus":
        return f"action={action}"
    comp = call.query.get("comp", "").lower()
    return f"comp={comp}" if comp else ""


async def create_filesystem(call: Call) -> Response:
    call_meta = check_meta(properties(call) or {})
    info = await call.ctx.db.write(containers.create, call.account, call.container, call_meta, call.now)
    return written(call, info.etag, info.modified, more={"x-ms-namespace-enabled": "true"})


async def get_filesystem(call: Call) -> Response:
    info = await call.ctx.db.read(records.need_container, call.account, call.container)
    headers = {"etag": f'"{info.etag}"', "last-modified": http_date(info.modified), "x-ms-namespace-enabled": "true", "x-ms-properties": _packed(info.meta)}
    return empty(call, 200, headers)


async def set_filesystem(call: Call) -> Response:
    info = await call.ctx.db.write(containers.set_meta, call.account, call.container, check_meta(properties(call) or {}), call.now, call.conditions())
    return written(call, info.etag, info.modified, 200)


async def create_path(call: Call) -> Response:
    """A file, empty, or a folder."""
    kind = call.query.get("resource", "").lower()
    if kind not in ("file", "directory"):
        raise storage_error("InvalidQueryParameterValue", "resource is file or directory.", "resource")
    if "x-ms-expiry-option" in call.headers:
        raise unsupported("Expiry of files")
    check_path(call.blob)
    access = _access(call, None) if {"x-ms-owner", "x-ms-group", "x-ms-permissions", "x-ms-acl"} & set(call.headers) else None
    headers = checked_headers({name: call.headers[given] for name, given in _CONTENT.items() if call.headers.get(given)})
    draft = Draft("Directory" if kind == "directory" else "BlockBlob", (), headers, check_meta(properties(call) or {}), None, access)
    info = await call.ctx.db.write(directories.create, call.key, draft, call.now, call.conditions())
    return written(call, info.etag, info.modified)


async def rename_path(call: Call) -> Response:
    """PUT with x-ms-rename-source: "/FILESYSTEM/PATH[?SIGNATURE]", encoded."""
    check_path(call.blob)
    path, _, query_text = call.header("x-ms-rename-source").partition("?")
    source_container, _, name = unquote(path).lstrip("/").partition("/")
    source = BlobKey(call.account, source_container, name.rstrip("/"))
    if not source.container or not source.name:
        raise storage_error("InvalidHeaderValue", "It is like /filesystem/path.", "x-ms-rename-source")
    await _check_source(call, source, {key.lower(): value for key, value in parse_query(query_text)})
    wanted = parse_conditions(call.headers, "x-ms-source-")

    def check_source(found: BlobInfo) -> None:
        try:
            check_read(wanted, found.etag, found.modified)
        except ArmError:
            raise storage_error("SourceConditionNotMet") from None

    info = await call.ctx.db.write(directories.rename, source, call.key, call.now, call.conditions(), check_source, wanted.lease)
    return written(call, info.etag, info.modified)


async def _check_source(call: Call, source: BlobKey, query: dict[str, str]) -> None:
    """Taking a path away needs the right to delete it, by the request's own proof or by a signature on the source."""
    if "sig" in query:
        grant = auth.verify_query(call, source.account, source.container, source.name, query)
        await auth.check(call, Proof("sas", await auth.scope_of(call, source.account) or "", grant, auth.delegator(grant)), MOVE)
    elif call.grant is not None:
        covered = call.grant.scope == "account" or (call.grant.scope == "container" and source.container == call.container)
        if not covered:
            raise storage_error("AuthorizationPermissionMismatch", "The signature does not cover the source of the rename.")
        # Also of who made the key behind it: moving away takes their right to delete.
        await auth.check(call, Proof("sas", await auth.scope_of(call, source.account) or "", call.grant, auth.delegator(call.grant)), MOVE)
    elif call.proof == "bearer":
        await auth.check(call, Proof("bearer", await auth.scope_of(call, source.account) or "", caller=call.ctx.caller), auth.DELETE)


async def append(call: Call) -> Response:
    """PATCH action=append: data for a later flush (or for this one, with flush=true)."""
    if "x-ms-lease-action" in call.headers:
        raise unsupported("Leases taken by an append")
    position = call.number("position", required=True, query=True) or 0
    key, wanted, checksums = call.key, call.conditions(), Checksums(call.headers)
    part = await call.store.write(call.stream(MAX_BLOCK, "What is appended at once"), checksums.digests)
    try:
        checksums.verify()
    except ArmError:
        await call.store.discard(part)
        raise
    if part.size:
        await call.store.stage(key, blocks.position_id(position), part, wanted.lease, must_exist=True)
    else:
        await call.ctx.db.read(records.need, key)
    headers = checksums.answer() | {"x-ms-request-server-encrypted": "true"}
    if call.query.get("flush", "").lower() == "true":
        info = await call.ctx.db.write(blocks.flush, key, position + part.size, {}, call.now, wanted)
        headers |= {"etag": f'"{info.etag}"', "last-modified": http_date(info.modified)}
    return empty(call, 202, headers)


async def flush(call: Call) -> Response:
    if "x-ms-lease-action" in call.headers:
        raise unsupported("Leases taken by a flush")
    position = call.number("position", required=True, query=True) or 0
    given = checked_headers({name: call.headers[header] for name, header in _CONTENT.items() if call.headers.get(header)})
    keep = call.query.get("retainuncommitteddata", "").lower() == "true"
    info = await call.ctx.db.write(blocks.flush, call.key, position, given, call.now, call.conditions(), keep_rest=keep)
    return written(call, info.etag, info.modified, 200)


async def get_path(call: Call) -> Response:
    answer = await get_blob(call)
    answer.headers["x-ms-properties"] = _packed({name[10:]: value for name, value in answer.headers.items() if name.startswith("x-ms-meta-")})
    return answer


async def get_status(call: Call) -> Response:
    info = await call.ctx.db.read(directories.find, call.key)
    check_read(call.conditions(), info.etag, info.modified)
    shown = {name: value for name, value in info.meta.items() if name != DIRECTORY}
    headers = blob_headers(call, info) | {"content-length": str(info.size), "x-ms-properties": _packed(shown)}
    return Response(b"", 200, headers)


async def get_access(call: Call) -> Response:
    info = await call.ctx.db.read(directories.find, call.key) if call.blob else await _root(call)
    headers = {"etag": f'"{info.etag}"', "last-modified": http_date(info.modified), "x-ms-acl": access_of(info)["acl"], **access_headers(info)}
    return empty(call, 200, headers)


async def _root(call: Call) -> BlobInfo:
    """The root folder of a file system, which has no blob."""
    info = await call.ctx.db.read(records.need_container, call.account, call.container)
    return BlobInfo(call.account, call.container, "", "Directory", 0, info.etag, [], {}, {}, info.modified, info.modified)


async def set_access(call: Call) -> Response:
    def edit(info: BlobInfo) -> None:
        info.access = _access(call, info)

    info = await call.ctx.db.write(metadata.change, call.key, edit, call.now, call.conditions(), quiet=True)
    return written(call, info.etag, info.modified, 200)


async def set_access_recursive(call: Call) -> Response:
    mode, given = call.query.get("mode", "").lower(), call.header("x-ms-acl")
    if mode not in ("set", "modify", "remove"):
        raise storage_error("InvalidQueryParameterValue", "mode is set, modify or remove.", "mode")
    limit = min(call.number("maxrecords", low=1, query=True) or _PATCH, _PATCH)

    def edit(info: BlobInfo) -> dict[str, str]:
        before = access_of(info)
        entries = acl.combine(before["acl"], given, mode)
        return {**before, "acl": entries, "permissions": acl.permissions_of(entries, before["permissions"])}

    folders, files, after = await call.ctx.db.write(directories.set_access, call.key, edit, from_marker(call.query.get("continuation", "")), limit)
    body = {"directoriesSuccessful": folders, "filesSuccessful": files, "failureCount": 0, "failedEntries": []}
    return json_response(body, 200, {"x-ms-version": call.version, **({"x-ms-continuation": to_marker(after)} if after else {})})


async def set_properties(call: Call) -> Response:
    given = checked_headers({name: call.headers[header] for name, header in _CONTENT.items() if call.headers.get(header)})
    fresh = properties(call)

    def edit(info: BlobInfo) -> None:
        info.headers |= given
        if fresh is not None:
            info.meta = check_meta({**fresh, **({DIRECTORY: "true"} if info.kind == "Directory" else {})})

    info = await call.ctx.db.write(metadata.change, call.key, edit, call.now, call.conditions())
    return written(call, info.etag, info.modified, 200)


async def delete_path(call: Call) -> Response:
    """A file, or a folder with recursive=true. Done when it is answered, so there is never a continuation."""
    key, recursive = call.key, call.query.get("recursive", "").lower() == "true"
    info = await call.ctx.db.read(directories.check_delete, key, recursive, call.now, call.conditions())
    if info.kind == "Directory":
        await call.store.delete_prefix(key.account, key.container, key.name + "/")
    await call.ctx.db.write(metadata.delete, key, call.now, call.conditions())
    return empty(call, 200)


def check_path(name: str) -> None:
    check_blob(name)
    if "//" in name:
        raise storage_error("InvalidResourceName", "A path has no empty pieces.", "path")


def properties(call: Call) -> dict[str, str] | None:
    """x-ms-properties: name=BASE64,name=BASE64; None when the header is absent."""
    text = call.headers.get("x-ms-properties")
    if text is None:
        return None
    found = {}
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = piece.partition("=")
        try:
            found[name] = check_header(name, base64.b64decode(value, validate=True).decode("latin-1"), "InvalidMetadata")
        except (binascii.Error, ValueError):
            raise storage_error("InvalidHeaderValue", f"'{piece[:60]}' is not name=BASE64.", "x-ms-properties") from None
    return found


def _packed(meta: dict[str, str]) -> str:
    return ",".join(f"{name}={base64.b64encode(value.encode('latin-1', 'replace')).decode()}" for name, value in meta.items())


def _access(call: Call, info: BlobInfo | None) -> dict[str, str]:
    access: dict[str, Any] = dict(access_of(info)) if info else {"owner": "$superuser", "group": "$superuser", "permissions": "rwxr-x---"}
    for name in ("owner", "group"):
        if given := call.headers.get(f"x-ms-{name}"):
            access[name] = check_header(f"x-ms-{name}", given[:256])
    if given := call.headers.get("x-ms-permissions"):
        access["permissions"] = acl.permissions(given)
        access["acl"] = acl.of_permissions(access["permissions"])
    if given := call.headers.get("x-ms-acl"):
        access["acl"] = acl.combine("", given, "set")
        access["permissions"] = acl.permissions_of(access["acl"], access["permissions"])
    return {"acl": acl.of_permissions(access["permissions"]), **access}


MOVE = Need("md", "o", "containers/blobs/delete")
_STATUS = Need("rel", "o", "containers/blobs/read")
_APPEND = Need("aw", "o", "containers/blobs/write")
_MODE = Need("pow", "o", "containers/blobs/write")


def table() -> tuple[dict, dict, dict]:
    """(handler, need) by level, method and word()."""
    filesystem = "resource=filesystem"
    account = {("GET", "resource=account"): (dfs_listing.list_filesystems, auth.CONTAINERS_LIST)}
    level = {
        ("PUT", filesystem): (create_filesystem, auth.CONTAINER_CREATE),
        ("HEAD", filesystem): (get_filesystem, auth.CONTAINER_READ),
        ("PATCH", filesystem): (set_filesystem, auth.CONTAINER_WRITE),
        ("DELETE", filesystem): (container.delete_container, auth.CONTAINER_DELETE),
        ("GET", filesystem): (dfs_listing.list_paths, auth.LIST),
        ("HEAD", "action=getaccesscontrol"): (get_access, auth.CONTAINER_READ),
    }
    path = {
        ("PUT", "resource=file"): (create_path, auth.CREATE),
        ("PUT", "resource=directory"): (create_path, auth.CREATE),
        ("PUT", ""): (rename_path, auth.CREATE),
        ("PATCH", "action=append"): (append, _APPEND),
        ("PATCH", "action=flush"): (flush, _APPEND),
        ("PATCH", "action=setproperties"): (set_properties, auth.WRITE),
        ("PATCH", "action=setaccesscontrol"): (set_access, _MODE),
        ("PATCH", "action=setaccesscontrolrecursive"): (set_access_recursive, _MODE),
        ("GET", ""): (get_path, auth.READ),
        ("HEAD", ""): (get_status, _STATUS),
        ("HEAD", "action=getaccesscontrol"): (get_access, _STATUS),
        ("DELETE", ""): (delete_path, auth.DELETE),
        ("POST", ""): (append_blob.lease, auth.WRITE),
    }
    return account, level, path
