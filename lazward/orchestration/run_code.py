"""The code of a run as a tree of files: its job's code asset, or, for a run that was logged from elsewhere, what its client kept as
artifacts: `source/snapshot.zip` (the files) and `source/diff.patch` (what differed from the commit, as `git diff` writes it)."""

from __future__ import annotations

import asyncio
import io
import zipfile
import zlib
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

SNAPSHOT, PATCH = "source/snapshot.zip", "source/diff.patch"
MAX_FILES = 5000
MAX_FILE = 512 << 10  # bytes of a file that are read
MAX_ZIP = 32 << 20
MAX_UNZIPPED = 64 << 20

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
    for kind, name, most in (("snapshot", SNAPSHOT, MAX_ZIP), ("patch", PATCH, MAX_FILE)):
        info = await blobs.info(account, ARTIFACTS, f"{folder}/{name}")
        if info is None or info.kind == "Directory":
            continue
        if info.size > most:
            return Code("none", why=f"its {name} has {info.size} bytes, more than the {most} that are compared")
        if kind == "patch":
            return Code(kind, {PATCH: File(info.size, None, lambda: blobs.read_all(account, ARTIFACTS, f"{folder}/{PATCH}"))})
        return await asyncio.to_thread(_unpacked, await blobs.read_all(account, ARTIFACTS, f"{folder}/{name}"))
    return Code("none", why="it has no code asset" if facts is not None else f"it is no job, and has neither {SNAPSHOT} nor {PATCH} among its artifacts")


async def _asset(db: Database, blobs: Any, workspace: Row, reference: str) -> Code:
    try:
        place: Place = await db.read(locate, workspace, reference, "codeId", "codes")
    except ArmError as error:
        return Code("none", why=f"its code asset cannot be read: {error.message}", id=reference)
    if not place.account:
        return Code("none", why="its code asset lies outside of this server's storage", id=reference)
    found = Code("asset", id=reference)
    base, marker = place.path.rstrip("/"), ""
    single = await blobs.info(place.account, place.container, base) if base else None
    if single is not None and single.kind != "Directory":
        found.files[base.rsplit("/", 1)[-1]] = _blob(blobs, single)
        return found
    while not found.cut:
        page = await blobs.list(place.account, place.container, f"{base}/" if base else "", "", marker)
        for blob in page.blobs:
            if blob.kind != "Directory" and len(found.files) < MAX_FILES:
                found.files[blob.name.removeprefix(f"{base}/")] = _blob(blobs, blob)
        found.cut = len(found.files) >= MAX_FILES
        marker = page.next_marker
        if not marker:
            break
    return found


def _blob(blobs: Any, info: Any) -> File:
    checksum = info.headers.get("contentMD5")
    return File(info.size, f"md5 {checksum} {info.size}" if checksum else None, lambda: blobs.read_all(info.account, info.container, info.name))


def _unpacked(data: bytes) -> Code:
    """Names are only shown and compared, never written to. Sizes are those that are met, not those that the archive claims."""
    found, left = Code("snapshot"), MAX_UNZIPPED
    if data.count(b"PK\1\2") > 4 * MAX_FILES:  # entries of its directory, all of which would be read into memory
        return Code("none", why=f"its {SNAPSHOT} holds more than {4 * MAX_FILES} files")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                if len(found.files) >= MAX_FILES or left <= 0:
                    found.cut = True
                    break
                with archive.open(entry) as file:
                    content = file.read(min(MAX_FILE, left) + 1)
                left -= len(content)
                # The checksum of what is there; of a file too large to be read it is the archive's word.
                mark = f"crc {entry.CRC} {entry.file_size}"
                found.files[entry.filename] = File(max(len(content), entry.file_size if len(content) > MAX_FILE else 0), mark if len(content) > MAX_FILE else None, _given(content))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as error:
        return Code("none", why=f"its {SNAPSHOT} cannot be read: {error}")
    return found


def _given(content: bytes) -> Read:
    async def read() -> bytes:
        return content

    return read
