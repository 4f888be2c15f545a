"""From the environment a job or deployment names to a built one on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from lazward.contract.errors import ArmError
from lazward.domain.curated import curated
from lazward.domain.environments import translate
from lazward.domain.package_set import EnvironmentSpec, PackageSet
from lazward.domain.uris import parse_uri
from lazward.orchestration.data import Place, account_of, asset, locate
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row

TEXT_LIMIT, FILE_LIMIT = 1 << 20, 200  # of a build context: what could matter to a translation is small text


async def packages_of(runtime: Runtime, workspace_key: str, environment_id: str, target: str) -> PackageSet:
    """The package set of an environment id; ArmError 400/404 naming `target` or the offending line."""

    def load(tx: Tx) -> tuple[Row, Row | None]:
        workspace = resources.get(tx, workspace_key)
        if workspace is None:
            raise ArmError(404, "ResourceNotFound", "The workspace is gone.", target)
        return workspace, _version(tx, workspace, environment_id, target)

    workspace, row = await runtime.db.read(load)
    if row is None:
        known = curated(environment_id.rsplit("/environments/", 1)[-1].split("/")[0].removeprefix("azureml:").split("@")[0].split(":")[0])
        assert known is not None
        return known.packages
    facts = row.properties
    if name := facts.get("lazwardCurated"):
        known = curated(name)
        if known is not None:
            return known.packages
    build = facts.get("build") or {}
    context = await _context(runtime, workspace, build["contextUri"], target) if build else {}
    spec = EnvironmentSpec(
        name=row.id.split("/versions/")[0].rsplit("/", 1)[-1], version=row.name, image=facts.get("image"), conda_file=facts.get("condaFile"),
        dockerfile=_text(context.get(build.get("dockerfilePath") or "Dockerfile"), target) if build else None,
        context_files=context or None,
    )
    return translate(spec)


async def build(runtime: Runtime, packages: PackageSet, log: Callable[[str], None], extra: Sequence[str] = ()) -> Any:
    return await runtime.environments.ensure(packages, log, extra)


def check(tx: Tx, workspace: Row, environment_id: str, target: str) -> None:
    """Raises ArmError 400/404 naming `target` when the id leads to no environment."""
    _version(tx, workspace, environment_id, target)


def _version(tx: Tx, workspace: Row, environment_id: str, target: str) -> Row | None:
    found = parse_uri(environment_id, target, "environments")
    if found.kind != "asset" or found.family != "environments":
        raise ArmError(400, "InvalidEnvironment", f"'{environment_id[:200]}' does not name an environment.", target)
    home = workspace
    if found.registry:
        rows = [r for r in resources.every(tx, "microsoft.machinelearningservices/registries") if r.name.lower() == found.registry.lower()]
        if not rows:
            raise ArmError(404, "RegistryNotFound", f"The registry '{found.registry}' was not found.", target)
        home = rows[0]
    try:
        return asset(tx, home, found, target)
    except ArmError as error:
        if error.status == 404 and curated(found.name) is not None and (found.registry or found.name.lower().startswith("azureml-")):
            return None
        raise


async def _context(runtime: Runtime, workspace: Row, uri: str, target: str) -> dict[str, str]:
    """Small text files of a build context, by path relative to it."""
    place = await runtime.db.read(_context_place, workspace, uri, target)
    if not place.account:
        raise ArmError(400, "InvalidBuildContext", "The build context lies outside of this server's storage; upload it with the environment.", f"{target}.build.contextUri")
    prefix = place.path.rstrip("/") + "/" if place.path else ""
    files: dict[str, str] = {}
    marker = ""
    while True:
        page = await runtime.blobs.list(place.account, place.container, prefix, "", marker, 1000)
        for blob in page.blobs:
            if blob.size > TEXT_LIMIT or len(files) >= FILE_LIMIT or blob.kind == "Directory":
                continue
            raw = await runtime.blobs.read_all(place.account, place.container, blob.name)
            files[blob.name[len(prefix) :]] = raw.decode("utf-8", "replace")
        marker = page.next_marker
        if not marker:
            return files


def _context_place(tx: Tx, workspace: Row, uri: str, target: str) -> Place:
    place = locate(tx, workspace, uri, target)
    if place.account or not place.url:
        return place
    # In path style the SDK drops the account: https://localhost:PORT/{container}/LocalUpload/{hash}/{dir}/ means the workspace's own.
    parts = [p for p in unquote(urlsplit(place.url).path).split("/") if p]
    if len(parts) > 1 and urlsplit(place.url).hostname in ("localhost", "127.0.0.1"):
        return Place(account_of(workspace), parts[0], "/".join(parts[1:]))
    return place


def _text(value: str | None, target: str) -> str:
    if value is None:
        raise ArmError(400, "InvalidBuildContext", "The build context has no such Dockerfile.", f"{target}.build.dockerfilePath")
    return value
