"""Lists of the Data Lake endpoint, as JSON. Folders that are only implied by the names below them are listed too."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from lazward.apps.blob.answers import access_of, http_date
from lazward.apps.blob.call import Call
from lazward.apps.blob.markers import from_marker, to_marker
from lazward.apps.chain import json_response
from lazward.domain.blobs.errors import storage_error
from lazward.domain.blobs.names import parents
from lazward.storage.blobs import containers, directories, listing
from lazward.storage.blobs.records import BlobInfo, BlobKey
from lazward.storage.db import Tx

PAGE = 5000
_FILETIME_EPOCH = 11_644_473_600  # seconds from 1601 to 1970


async def list_filesystems(call: Call) -> Response:
    limit = min(call.number("maxresults", low=1, query=True) or PAGE, PAGE)
    found, after = await call.ctx.db.read(containers.page, call.account, call.query.get("prefix", ""), from_marker(call.query.get("continuation", "")), limit)
    items = [{"name": info.name, "etag": info.etag, "lastModified": http_date(info.modified)} for info in found]
    return json_response({"filesystems": items}, 200, _headers(call, after))


async def list_paths(call: Call) -> Response:
    folder = call.query.get("directory", "").strip("/")
    recursive = call.query.get("recursive", "").lower()
    if recursive not in ("true", "false"):
        raise storage_error("MissingRequiredQueryParameter", "recursive is true or false.", "recursive")
    limit = min(call.number("maxresults", low=1, query=True) or PAGE, PAGE)
    after, start = from_marker(call.query.get("continuation", "")), call.query.get("beginfrom", "")
    key = BlobKey(call.account, call.container, folder)
    entries, following = await call.ctx.db.read(_page, key, recursive == "true", after, limit, start)
    return json_response({"paths": entries}, 200, _headers(call, following))


def _page(tx: Tx, key: BlobKey, recursive: bool, after: str, limit: int, start: str) -> tuple[list[dict[str, Any]], str]:
    prefix = key.name + "/" if key.name else ""
    page = listing.page(tx, key.account, key.container, prefix, "" if recursive else "/", after, limit, start_from=prefix + start if start else "")
    if key.name and not after and not page.blobs and not page.prefixes:
        found = directories.find(tx, key)  # an empty folder, or none
        if found.kind != "Directory":
            raise storage_error("PathConflict", "A file has no paths below it.", "directory")
    shown: dict[str, BlobInfo | None] = {info.name: info for info in page.blobs}
    implied = {folder.rstrip("/") for folder in page.prefixes}
    if recursive:
        for info in page.blobs:
            # What holds the last name of the page before was listed there.
            implied.update(p for p in parents(info.name) if p.startswith(prefix) and not after.startswith(p + "/"))
    implied.difference_update(shown)
    implied.discard(key.name)
    implied -= directories.explicit(tx, key.account, key.container, sorted(implied))
    entries = [_entry(info) for info in shown.values() if info] + [_implied(name) for name in implied]
    return sorted(entries, key=lambda entry: entry["name"]), page.next_marker


def _entry(info: BlobInfo) -> dict[str, Any]:
    access = access_of(info)
    entry = {
        "name": info.name, "contentLength": str(info.size), "lastModified": http_date(info.modified), "etag": info.etag, "owner": access["owner"],
        "group": access["group"], "permissions": access["permissions"], "creationTime": str(int((info.created + _FILETIME_EPOCH) * 10_000_000)),
    }
    return {**entry, "isDirectory": "true"} if info.kind == "Directory" else entry


def _implied(name: str) -> dict[str, Any]:
    return {
        "name": name, "isDirectory": "true", "contentLength": "0", "lastModified": http_date(0), "etag": "0x" + "0" * 16, "owner": "$superuser",
        "group": "$superuser", "permissions": "rwxr-x---", "creationTime": "0",
    }


def _headers(call: Call, after: str) -> dict[str, str]:
    return {"x-ms-version": call.version, **({"x-ms-continuation": to_marker(after)} if after else {})}
