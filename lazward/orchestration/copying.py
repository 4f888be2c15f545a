"""Copies of what lies at a place of this server's storage: by reference to the same bytes, so of any size in no time."""

from __future__ import annotations

from lazward.contract.errors import ArmError
from lazward.orchestration.data import Place
from lazward.orchestration.runtime import Runtime
from lazward.storage.blobs import metadata
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobInfo, BlobKey


async def copy(runtime: Runtime, source: Place, target: Place, at: str) -> None:
    """The blob of the source's name, and those in the folder of that name, at the target. Can be repeated. ArmError 400, naming `at`,
    when one of them is not in this server's storage."""
    for place in (source, target):
        if not place.account:
            raise ArmError(400, "OutputNotWritable", f"'{(place.url or place.readable)[:200]}' is outside of this server's storage, so it is not copied.", at)
    await runtime.blobs.ensure_container(target.account, target.container)
    base, to = source.path.rstrip("/"), target.path.rstrip("/")
    for blob in await _at(runtime, source.account, source.container, base):
        key = BlobKey(target.account, target.container, f"{to}{blob.name.removeprefix(base)}".lstrip("/"))
        await runtime.db.write(metadata.copy, blob.key, key, runtime.now(), _as_it_is, lambda _: None)


async def _at(runtime: Runtime, account: str, container: str, base: str) -> list[BlobInfo]:
    out, marker = [], ""
    while True:
        page = await runtime.blobs.list(account, container, base, marker=marker)
        out += [blob for blob in page.blobs if blob.name == base or blob.name.startswith(base + "/")]
        if not (marker := page.next_marker):
            return out


def _as_it_is(found: BlobInfo) -> Draft:
    return Draft(found.kind, (), dict(found.headers), dict(found.meta), found.tags, found.access, found.blocks)
