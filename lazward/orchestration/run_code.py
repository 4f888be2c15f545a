"""The code of a run as a tree of files: its job's code asset, or, for a run that was logged from elsewhere, what its client kept as
artifacts: the files below `source/snapshot/`, one by one since no server of ours unpacks anything (S19), and `source/diff.patch` (what
differed from the commit, as `git diff` writes it)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from lazward.contract.errors import ArmError
from lazward.contract.mlflow import MlflowError
from lazward.domain.jobs.source import code_of
from lazward.orchestration.data import ARTIFACTS, Place, locate
from lazward.storage import artifact_roots
from lazward.storage.db import Database
from lazward.storage.resources import Row

SNAPSHOT, PATCH = "source/snapshot/", "source/diff.patch"
MAX_FILES = 5000
MAX_FILE = 512 << 10  # bytes of a file that are read

Read = Callable[[], Awaitable[bytes]]


@dataclass
class File:
    """mark: equal marks mean equal content; None where only the content can tell. read: the content, of a file of MAX_FILE bytes at most."""

    size: int
    mark: str | None
    read: Read


@dataclass
class Code:
    """kind: "asset", "snapshot", "patch" or "none", for the reason in `why`. files: by path; a patch is one file."""

    kind: str
    files: dict[str, File] = field(default_factory=dict)
    why: str = ""
    id: str = ""
    cut: bool = False  # there are more files than these


async def code_of_run(db: Database, blobs: Any, workspace: Row, run: str, facts: dict[str, Any] | None) -> Code:
    """facts: the properties of the job, None for a run that is none."""
    if facts is not None and code_of(facts):
        return await _asset(db, blobs, workspace, code_of(facts))
    if facts is not None and facts.get("jobType") == "Pipeline":
        return Code("none", why="a pipeline has the code of its steps: compare those")
    try:
        account, folder = await db.read(artifact_roots.place, workspace.key, run)
    except MlflowError as error:
        return Code("none", why=error.message)
    found = await _below(blobs, account, ARTIFACTS, f"{folder}/{SNAPSHOT}", Code("snapshot"))
    if found.files:
        return found
    info = await blobs.info(account, ARTIFACTS, f"{folder}/{PATCH}")
    if info is not None and info.kind != "Directory":
        if info.size > MAX_FILE:
            return Code("none", why=f"its {PATCH} has {info.size} bytes, more than the {MAX_FILE} that are compared")
        return Code("patch", {PATCH: _blob(blobs, info)})
    return Code("none", why="it has no code asset" if facts is not None else f"it is no job, and has neither {SNAPSHOT} nor {PATCH} among its artifacts")


async def _asset(db: Database, blobs: Any, workspace: Row, reference: str) -> Code:
    try:
        place: Place = await db.read(locate, workspace, reference, "codeId", "codes")
    except ArmError as error:
        return Code("none", why=f"its code asset cannot be read: {error.message}", id=reference)
    if not place.account:
        return Code("none", why="its code asset lies outside of this server's storage", id=reference)
    found, base = Code("asset", id=reference), place.path.rstrip("/")
    single = await blobs.info(place.account, place.container, base) if base else None
    if single is not None and single.kind != "Directory":
        found.files[base.rsplit("/", 1)[-1]] = _blob(blobs, single)
        return found
    return await _below(blobs, place.account, place.container, f"{base}/" if base else "", found)


async def _below(blobs: Any, account: str, container: str, prefix: str, found: Code) -> Code:
    """Adds the files there, MAX_FILES of them at most."""
    marker = ""
    while not found.cut:
        page = await blobs.list(account, container, prefix, "", marker)
        for blob in page.blobs:
            if blob.kind == "Directory":
                continue
            if len(found.files) == MAX_FILES:
                found.cut = True
                break
            found.files[blob.name.removeprefix(prefix)] = _blob(blobs, blob)
        marker = page.next_marker
        if not marker:
            break
    return found


def _blob(blobs: Any, info: Any) -> File:
    checksum = info.headers.get("contentMD5")
    return File(info.size, f"md5 {checksum} {info.size}" if checksum else None, lambda: blobs.read_all(info.account, info.container, info.name))

