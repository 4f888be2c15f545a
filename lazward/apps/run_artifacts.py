"""Artifacts of runs, logged models and registered versions in the blob store: one way from (root, path) to bytes, for every surface.

A root is a run's id, a logged model's id (m-...), or NAME:VERSION of a registered model; paths go through domain.tracking.paths.below.
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from lazward.apps.services import Services
from lazward.contract.errors import ArmError
from lazward.contract.mlflow import invalid, missing
from lazward.domain.tracking.names import check_run_id
from lazward.domain.tracking.paths import CONTAINER, below, quoted
from lazward.identity.sas import account_key, sign_blob_sas
from lazward.storage import artifact_roots, experiments
from lazward.storage.blobs import blocks
from lazward.storage.blobs.listing import BlobPage
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobKey
from lazward.storage.blobs.store import BlobStore

LINK_SECONDS = 4 * 3600  # how long a link for up- or download is good


class ModelPlaces(Protocol):
    async def place(self, workspace: str, name: str, version: str) -> tuple[str, str, str] | None: ...


@dataclass(frozen=True)
class Root:
    """fixed: nothing may be changed below it (a registered version)."""

    account: str
    container: str
    prefix: str
    fixed: bool = False


@dataclass(frozen=True)
class Entry:
    """path: relative to the root."""

    path: str
    is_dir: bool
    size: int


class RunArtifacts:
    def __init__(self, services: Services):
        self._services = services

    @property
    def _blobs(self) -> BlobStore:
        return self._services.blobs

    async def root(self, workspace: str, name: str) -> Root:
        """RESOURCE_DOES_NOT_EXIST for what is not in this workspace."""
        model, colon, version = name.partition(":")
        if colon:
            place = await self._services.models.place(workspace, model, version)
            if place is None:
                raise missing(f"Model Version (name={model[:255]}, version={version[:60]}) not found")
            return Root(*place, fixed=True)
        account, folder = await self._services.db.read(artifact_roots.place, workspace, check_run_id(name))
        return Root(account, CONTAINER, folder)

    async def upload_root(self, workspace: str, name: str) -> Root:
        """A folder for files that were uploaded by themselves, beside any run."""
        _, account = await self._services.db.read(experiments.workspace, workspace)
        if not account:
            raise missing("The workspace has no storage account yet.")
        return Root(account, CONTAINER, below("LocalUpload", check_run_id(name, "container")))

    async def list(self, root: Root, path: str) -> list[Entry]:
        """Directly below path, files and folders by name; [] when path is a file or nothing."""
        folder = below(root.prefix, path.rstrip("/")) + "/"
        found: list[Entry] = []
        marker = ""
        while True:
            page = await self._list(root, prefix=folder, delimiter="/", marker=marker)
            found += [Entry(_relative(root, prefix.rstrip("/")), True, 0) for prefix in page.prefixes]
            found += [Entry(_relative(root, blob.name), False, blob.size) for blob in page.blobs if blob.kind != "Directory"]
            marker = page.next_marker
            if not marker:
                return sorted(found, key=lambda entry: entry.path)

    async def files(self, root: Root, path: str, marker: str, limit: int = 1000) -> tuple[list[Entry], str]:
        """Every file at or below path, a page of them, and the marker to go on with ("" at the end)."""
        name = below(root.prefix, path.rstrip("/"))
        itself = await self._blobs.info(root.account, root.container, name) if path and not marker else None
        page = await self._list(root, prefix=f"{name}/", marker=marker, limit=limit)
        found = [blob for blob in ([itself] if itself else []) + list(page.blobs) if blob.kind != "Directory"]
        return [Entry(_relative(root, blob.name), False, blob.size) for blob in found], page.next_marker or ""

    async def find(self, root: Root, path: str) -> Any:
        """The blob's facts. RESOURCE_DOES_NOT_EXIST when it is not there."""
        info = await self._blobs.info(root.account, root.container, below(root.prefix, path)) if path else None
        if info is None:
            raise missing(f"The artifact '{path[:300]}' was not found.")
        return info

    def read(self, root: Root, path: str) -> AsyncIterator[bytes]:
        return self._blobs.read(root.account, root.container, below(root.prefix, path))

    async def put(self, root: Root, path: str, data: bytes | AsyncIterable[bytes], content_type: str | None = None) -> None:
        _changeable(root)
        await self._blobs.ensure_container(root.account, root.container)
        headers = {"contentType": content_type} if content_type else None
        await self._blobs.put(root.account, root.container, below(root.prefix, path), data, headers=headers)

    async def delete(self, root: Root, path: str) -> None:
        """The file, and everything in the folder of that name. Nothing happens when neither is there."""
        _changeable(root)
        name = below(root.prefix, path.rstrip("/"))
        if path:
            await self._blobs.delete(root.account, root.container, name)
        await self._blobs.delete_prefix(root.account, root.container, f"{name}/")

    def link(self, root: Root, path: str, permissions: str, query: str = "") -> str:
        """A URL that lets its holder do `permissions` ("r", "cw") to this one blob for a while."""
        name = below(root.prefix, path)
        key = account_key(self._services.master_key, root.account)
        expires = self._services.now() + LINK_SECONDS
        sas = sign_blob_sas(key, root.account, root.container, name, permissions=permissions, expires=expires)
        url = f"{self._services.base_url}/{root.account}.blob.core.windows.net/{root.container}/{quoted(name)}"
        return f"{url}?{query}{'&' if query else ''}{sas}"

    async def writable_link(self, root: Root, path: str, query: str = "") -> str:
        _changeable(root)
        await self._blobs.ensure_container(root.account, root.container)
        return self.link(root, path, "cw", query)

    async def commit(self, root: Root, path: str, block_ids: list[str]) -> None:
        """Makes the blob of blocks that were uploaded to it by links."""
        _changeable(root)
        key = BlobKey(root.account, root.container, below(root.prefix, path))
        wanted = [("Uncommitted", block_id) for block_id in block_ids]
        await self._services.db.write(blocks.commit, key, wanted, Draft(), self._services.now())

    async def _list(self, root: Root, **how: Any) -> Any:
        """A page of blobs; an empty one while nothing has been stored yet."""
        try:
            return await self._blobs.list(root.account, root.container, **how)
        except ArmError as error:
            if error.code != "ContainerNotFound":
                raise
            return BlobPage([], [], "")


def _changeable(root: Root) -> None:
    if root.fixed:
        raise invalid("The files of a registered version cannot be changed: register a new version.", "path")


def _relative(root: Root, name: str) -> str:
    return posixpath.relpath(name, root.prefix)
