"""From the environment a job or deployment names to a built one on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import posixpath
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from lazward.contract.errors import ArmError
from lazward.domain.context_files import MAX_BYTES, ContextFiles
from lazward.domain.curated import curated
from lazward.domain.environments import translate
from lazward.domain.package_set import LOCAL, EnvironmentSpec, FileContent, PackageSet, invalid
from lazward.domain.uris import parse_uri
from lazward.execution.environments import Environment, digest_of
from lazward.execution.file_lock import file_lock
from lazward.orchestration.data import Place, account_of, asset, locate
from lazward.orchestration.job_prepare import copy_writable, remove_tree
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.blobs.records import BlobInfo
from lazward.storage.db import Tx
from lazward.storage.resources import Row

LOOSENED = "lazward.environment.loosened"  # property of a job or deployment: versions other than those its environment asks for
MAX_FILES = 20_000  # of a build context
LEFT_OVER_S = 86_400.0


class Definition(msgspec.Struct, frozen=True):
    """What is to be built. context: where the files of the build context lie, for requirements that are such files."""

    packages: PackageSet
    context: Place | None = None


async def definition_of(runtime: Runtime, workspace_key: str, environment_id: str, target: str) -> Definition:
    """What an environment id means; ArmError 400/404 naming `target` or the offending line."""

    def load(tx: Tx) -> tuple[Row, Row | None]:
        workspace = resources.get(tx, workspace_key)
        if workspace is None:
            raise ArmError(404, "ResourceNotFound", "The workspace is gone.", target)
        return workspace, _version(tx, workspace, environment_id, target)

    workspace, row = await runtime.db.read(load)
    if row is None:
        known = curated(environment_id.rsplit("/environments/", 1)[-1].split("/")[0].removeprefix("azureml:").split("@")[0].split(":")[0])
        assert known is not None
        return Definition(known.packages)
    facts = row.properties
    if name := facts.get("lazwardCurated"):
        known = curated(name)
        if known is not None:
            return Definition(known.packages)
    spec = EnvironmentSpec(name=row.id.split("/versions/")[0].rsplit("/", 1)[-1], version=row.name, image=facts.get("image"), conda_file=facts.get("condaFile"))
    build = facts.get("build") or {}
    if not build:
        return Definition(translate(spec))
    place = await runtime.db.read(_context_place, workspace, build["contextUri"], target)
    if not place.account:
        raise ArmError(400, "InvalidBuildContext", "The build context lies outside of this server's storage; upload it with the environment.", f"{target}.build.contextUri")
    files = await _files(runtime, place, target)
    # In a thread, since it reads the files it comes to, each from the store.
    return Definition(await asyncio.to_thread(_translated, spec, build.get("dockerfilePath") or "Dockerfile", files, target), place)


async def build(runtime: Runtime, definition: Definition, log: Callable[[str], None], extra: Sequence[str] = ()) -> Environment:
    packages = definition.packages
    local = sorted(r for r in packages.requirements if r.startswith(LOCAL))
    if not local or definition.context is None:
        return await runtime.environments.ensure(packages, log, extra)
    async with _context_folder(runtime, definition.context, local) as folder:
        return await runtime.environments.ensure(packages, log, extra, context=folder)


def tell_loosened(tx: Tx, key: str, environment: Environment, now: float) -> None:
    """Says in the properties of a job or deployment what its environment has instead of what was asked for."""
    row = resources.get(tx, key)
    told = "; ".join(environment.loosened)
    if row is None or (row.properties.get("properties") or {}).get(LOOSENED, "") == told:
        return
    kept = {k: v for k, v in (row.properties.get("properties") or {}).items() if k != LOOSENED}
    row.properties["properties"] = {**kept, LOOSENED: told} if told else kept
    resources.update(tx, row, now)


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


def _translated(spec: EnvironmentSpec, dockerfile: str, files: dict[str, FileContent], target: str) -> PackageSet:
    text = ContextFiles({posixpath.normpath(dockerfile): files[posixpath.normpath(dockerfile)]}).read(dockerfile) if posixpath.normpath(dockerfile) in files else None
    if text is None:
        raise ArmError(400, "InvalidBuildContext", f"The build context has no Dockerfile '{dockerfile[:200]}'.", f"{target}.build.dockerfilePath")
    return translate(msgspec.structs.replace(spec, dockerfile=text, context_files=files))


async def _files(runtime: Runtime, place: Place, target: str) -> dict[str, FileContent]:
    """Every file of a build context by its path relative to it. The values read a file; to be called on another thread than the loop's."""
    loop = asyncio.get_running_loop()
    prefix = place.path.rstrip("/") + "/" if place.path else ""

    def read(blob: BlobInfo) -> bytes:
        name = blob.name[len(prefix) :]
        if blob.size > MAX_BYTES:
            raise invalid(f"build context: `{name}` is larger than {MAX_BYTES // 1024 // 1024} MiB.", f"build.{name}")
        return asyncio.run_coroutine_threadsafe(runtime.blobs.read_all(place.account, place.container, blob.name), loop).result()

    files: dict[str, FileContent] = {}
    marker = ""
    while True:
        page = await runtime.blobs.list(place.account, place.container, prefix, "", marker, 1000)
        files |= {blob.name[len(prefix) :]: partial(read, blob) for blob in page.blobs if blob.kind != "Directory"}
        if len(files) > MAX_FILES:
            raise ArmError(400, "InvalidBuildContext", f"The build context has more than {MAX_FILES} files.", f"{target}.build.contextUri")
        marker = page.next_marker
        if not marker:
            return files


@contextlib.asynccontextmanager
async def _context_folder(runtime: Runtime, place: Place, local: Sequence[str]) -> AsyncIterator[Path]:
    """The files of a build context as a folder, for as long as the build takes. Its path follows from the content of what is installed from
    it, since locks name that path; builds of the same take turns, as each may write into it."""
    root = contexts_of(runtime.data_dir)
    fetched = root / f"fetch-{uuid.uuid4().hex}"
    try:
        await runtime.blobs.materialize(place.account, place.container, place.path.rstrip("/") + "/" if place.path else "", fetched, cache=runtime.data_dir / "cache" / "inputs")
        digests = await asyncio.to_thread(lambda: [[requirement, digest_of(fetched, requirement)] for requirement in local])
        name = hashlib.sha256(msgspec.json.encode(digests)).hexdigest()[:32]
        async with file_lock(root / f"{name}.lock"):
            folder = root / name
            try:
                await asyncio.to_thread(remove_tree, folder)  # of a worker that was killed
                await asyncio.to_thread(copy_writable, fetched, folder)
                yield folder
            finally:
                await asyncio.to_thread(remove_tree, folder)
    finally:
        await asyncio.to_thread(remove_tree, fetched)


def contexts_of(data_dir: Path) -> Path:
    return data_dir / "cache" / "contexts"


def remove_left_contexts(data_dir: Path) -> None:
    """Folders of build contexts that killed workers left."""
    root = contexts_of(data_dir)
    for path in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if path.is_dir() and time.time() - path.stat().st_mtime > LEFT_OVER_S:
                remove_tree(path)


def _context_place(tx: Tx, workspace: Row, uri: str, target: str) -> Place:
    place = locate(tx, workspace, uri, target)
    if place.account or not place.url:
        return place
    # In path style the SDK drops the account: https://localhost:PORT/{container}/LocalUpload/{hash}/{dir}/ means the workspace's own.
    parts = [p for p in unquote(urlsplit(place.url).path).split("/") if p]
    if len(parts) > 1 and urlsplit(place.url).hostname in ("localhost", "127.0.0.1"):
        return Place(account_of(workspace), parts[0], "/".join(parts[1:]))
    return place
