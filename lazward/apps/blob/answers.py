"""From what is stored to what is answered: the headers of a blob, a container, a write."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from email.utils import formatdate

from starlette.responses import Response

from lazward.apps.blob.call import Call
from lazward.domain.blobs import leases
from lazward.storage.blobs.records import BlobInfo, ContainerInfo

# Stored name -> (request header that sets it, response header that shows it)
CONTENT = {
    "contentType": ("x-ms-blob-content-type", "content-type"),
    "contentEncoding": ("x-ms-blob-content-encoding", "content-encoding"),
    "contentLanguage": ("x-ms-blob-content-language", "content-language"),
    "contentDisposition": ("x-ms-blob-content-disposition", "content-disposition"),
    "cacheControl": ("x-ms-blob-cache-control", "cache-control"),
    "contentMD5": ("x-ms-blob-content-md5", "content-md5"),
}
# What a browser would run from our origin it runs without rights: stored HTML is somebody's data (S11).
SANDBOX = {"content-security-policy": "sandbox; default-src 'none'"}


def content_headers(headers: Mapping[str, str], *, standard: bool = False) -> dict[str, str]:
    """What a request says of the content, by stored names; standard: the plain HTTP headers count too, as Put Blob has it."""
    found = {}
    for stored, (given, plain) in CONTENT.items():
        value = headers.get(given) or (headers.get(plain) if standard else None)
        if value:
            found[stored] = value
    return found


def http_date(at: float) -> str:
    return formatdate(at, usegmt=True)


def written(call: Call, etag: str, modified: float, status: int = 201, more: Mapping[str, str] | None = None) -> Response:
    """The answer to a write: no body, ETag and Last-Modified."""
    headers = {"etag": f'"{etag}"', "last-modified": http_date(modified), "x-ms-request-server-encrypted": "true"}
    return empty(call, status, {**headers, **(more or {})})


def empty(call: Call, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(b"", status, {"x-ms-version": call.version, "content-length": "0", **(headers or {})})


def lease_headers(lease: leases.Lease | None, now: float) -> dict[str, str]:
    state = leases.state(lease, now)
    headers = {"x-ms-lease-state": state, "x-ms-lease-status": "locked" if leases.locked(lease, now) else "unlocked"}
    if state == "leased" and lease:
        headers["x-ms-lease-duration"] = "infinite" if lease["until"] is None else "fixed"
    return headers


def container_headers(info: ContainerInfo, now: float) -> dict[str, str]:
    return {
        "etag": f'"{info.etag}"', "last-modified": http_date(info.modified), "x-ms-has-immutability-policy": "false", "x-ms-has-legal-hold": "false",
        "x-ms-immutable-storage-with-versioning-enabled": "false", "x-ms-default-encryption-scope": "$account-encryption-key",
        "x-ms-deny-encryption-scope-override": "false", **lease_headers(info.lease, now), **{f"x-ms-meta-{k}": v for k, v in info.meta.items()},
    }


def blob_headers(call: Call, info: BlobInfo, *, part: bool = False) -> dict[str, str]:
    """part: only a range is answered, so the digest of the whole goes under another name."""
    headers = {
        "etag": f'"{info.etag}"', "last-modified": http_date(info.modified), "x-ms-creation-time": http_date(info.created), "accept-ranges": "bytes",
        "x-ms-blob-type": "BlockBlob" if info.kind == "Directory" else info.kind, "x-ms-server-encrypted": "true", "x-ms-version": call.version,
        "x-ms-access-tier": info.headers.get("accessTier", "Hot"), **lease_headers(info.lease, call.now), **SANDBOX,
    }
    if "accessTier" not in info.headers:
        headers["x-ms-access-tier-inferred"] = "true"
    for stored, (given, plain) in CONTENT.items():
        if value := info.headers.get(stored):
            headers[given if stored == "contentMD5" and part else plain] = value
    headers.setdefault("content-type", "application/octet-stream")
    if info.tags:
        headers["x-ms-tag-count"] = str(len(info.tags))
    if info.kind == "AppendBlob":
        headers["x-ms-blob-committed-block-count"] = str(info.blocks if isinstance(info.blocks, int) else 0)
    if copied := info.headers.get("copyId"):
        headers |= {"x-ms-copy-id": copied, "x-ms-copy-status": "success", "x-ms-copy-progress": f"{info.size}/{info.size}",
                    "x-ms-copy-source": info.headers.get("copySource", ""), "x-ms-copy-completion-time": http_date(float(info.headers.get("copyTime", info.modified)))}
    headers |= {f"x-ms-meta-{name}": value for name, value in info.meta.items()}
    if info.kind == "Directory" or call.endpoint == "dfs":
        headers["x-ms-resource-type"] = "directory" if info.kind == "Directory" else "file"
    headers |= access_headers(info)
    if call.grant:
        headers |= call.grant.overrides
    return headers


def access_headers(info: BlobInfo) -> dict[str, str]:
    """POSIX owner, group and mode: kept for clients that set and read them; rights are decided by roles and signatures."""
    access = access_of(info)
    return {"x-ms-owner": access["owner"], "x-ms-group": access["group"], "x-ms-permissions": access["permissions"]}


def access_of(info: BlobInfo) -> dict[str, str]:
    mode = "rwxr-x---" if info.kind == "Directory" else "rw-r-----"
    return {"owner": "$superuser", "group": "$superuser", "permissions": mode, "acl": acl_of(mode), **(info.access or {})}


def acl_of(mode: str) -> str:
    return f"user::{mode[:3]},group::{mode[3:6]},other::{mode[6:9]}"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
