"""Blobs as local read-only files, for the inputs of jobs.

Each content is copied once into a cache, under a hash of its extents (which never change, so the name says the content); jobs get hard
links to it. Not links to the extents themselves: a job that may write what it should not could then change stored data.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from lazward.contract.errors import ArmError
from lazward.domain.blobs.errors import storage_error
from lazward.storage.blobs import listing, records
from lazward.storage.blobs.extents import Extents
from lazward.storage.blobs.local_extents import copy_bytes
from lazward.storage.blobs.records import BlobInfo, BlobKey
from lazward.storage.db import Database

_AT_ONCE = 8
_TRIES = 3
_LEFT_OVER_S = 86_400.0
_MARK = 946_684_800  # the modification time of cached files; another one says that somebody wrote into it


async def materialize(db: Database, extents: Extents, account: str, container: str, name: str, dest: Path, *, cache: Path) -> list[Path]:
    """The files made, in the order of the blobs' names.

    name: of one blob, which becomes dest/BASENAME; or of a folder ("" for the container, a slash at the end or not), whose blobs become
    files below dest at their paths relative to it. Empty when there is nothing. ArmError 404 for a missing container, 400 naming the
    blob for one whose name is no path, 409 for a blob that is a folder's name as well. Files are read-only; existing ones are replaced.
    """
    wanted = await _wanted(db, account, container, name)
    await asyncio.to_thread(_prepare, dest, cache)
    root = await asyncio.to_thread(dest.resolve)
    places = [(info, _inside(root, relative, info.name)) for relative, info in wanted]
    turns = asyncio.Semaphore(_AT_ONCE)

    async def make(info: BlobInfo, path: Path) -> None:
        async with turns:
            await _make(extents, info, path, root, cache)

    for info, path in places:
        if info.kind == "Directory":
            await asyncio.to_thread(_folder, path, root, info.name)
    files = [(info, path) for info, path in places if info.kind != "Directory"]
    outcomes = await asyncio.gather(*(make(info, path) for info, path in files), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [path for _, path in files]


def prune(cache: Path, max_bytes: int) -> int:
    """Removes cached contents that no job has linked, those unused for longest first, until the cache is small enough; bytes freed.
    A link made or removed changes a file's ctime, which so tells its last use."""
    _left_overs(cache / "partial")
    entries = []
    for folder in cache.glob("[0-9a-f][0-9a-f]"):
        for entry in os.scandir(folder):
            facts = entry.stat(follow_symlinks=False)
            entries.append((facts.st_ctime, facts.st_size, facts.st_nlink, Path(entry.path)))
    total, freed = sum(size for _, size, _, _ in entries), 0
    for _, size, links, path in sorted(entries):
        if total - freed <= max_bytes:
            break
        if links == 1:
            path.unlink(missing_ok=True)
            freed += size
    return freed


def _left_overs(partial: Path) -> None:
    """Files of processes that were killed while they fetched."""
    for entry in os.scandir(partial) if partial.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFT_OVER_S:
                Path(entry.path).unlink()


async def _wanted(db: Database, account: str, container: str, name: str) -> list[tuple[str, BlobInfo]]:
    """(path relative to the destination, blob), in order of names."""
    if name and not name.endswith("/"):
        single = await db.read(records.get, BlobKey(account, container, name), whole=True)
        if single is not None and single.kind != "Directory":
            return [(name.rsplit("/", 1)[-1], single)]
    prefix = name.rstrip("/") + "/" if name.rstrip("/") else ""
    found: list[tuple[str, BlobInfo]] = []
    marker = ""
    while True:
        page = await db.read(listing.page, account, container, prefix, "", marker, 5000, whole=True)
        found += [(info.name[len(prefix) :], info) for info in page.blobs if info.name != prefix]
        if not (marker := page.next_marker):
            return found


def _inside(root: Path, relative: str, name: str) -> Path:
    """The one place where a blob's name becomes a path. Compared as text here and as a resolved folder in _folder."""
    pieces = [piece for piece in relative.split("/") if piece]
    if not pieces or any(piece in (".", "..") or "\0" in piece or len(piece.encode("utf-8", "surrogatepass")) > 255 for piece in pieces):
        raise storage_error("InvalidResourceName", f"The blob '{name[:200]}' cannot be a file: its name is not a path.", "blob")
    return root.joinpath(*pieces)


def _folder(path: Path, root: Path, name: str) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise storage_error("PathConflict", f"'{name[:200]}' lies below another blob, or is a folder and a blob at once.", "blob") from None
    if not path.resolve().is_relative_to(root):  # through a link that lay there before
        raise storage_error("InvalidResourceName", f"The blob '{name[:200]}' would lie outside of its folder.", "blob")


async def _make(extents: Extents, info: BlobInfo, path: Path, root: Path, cache: Path) -> None:
    cached = cache / _content(info.extents)
    for _ in range(_TRIES):
        await _cached(extents, info, cached, cache)
        if await asyncio.to_thread(_link, cached, path, root, info):
            return
    raise ArmError(500, "InternalError", f"'{info.name[:200]}' was removed from the cache again and again while it was linked.", "blob")


async def _cached(extents: Extents, info: BlobInfo, cached: Path, cache: Path) -> None:
    """Makes the cached file unless it is there."""
    if not await asyncio.to_thread(_intact, cached, info.size):
        partial = cache / "partial" / uuid.uuid4().hex
        try:
            await _fetch(extents, info, partial)
            await asyncio.to_thread(_keep, partial, cached)
        except FileNotFoundError:
            raise storage_error("BlobNotFound", f"'{info.name[:200]}' was deleted while it was read.", "blob") from None
        finally:
            partial.unlink(missing_ok=True)


async def _fetch(extents: Extents, info: BlobInfo, partial: Path) -> None:
    local = [extents.local_path(id) for id, _ in info.extents]
    if all(local):
        await asyncio.to_thread(_concatenate, local, partial)
        return
    with await asyncio.to_thread(partial.open, "wb") as out:
        for id, size in info.extents:
            async with aclosing(extents.read(id, 0, size)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(out.write, piece)


def _concatenate(sources: Sequence[Path | None], target: Path) -> None:
    with target.open("wb") as out:
        for source in sources:
            with source.open("rb") as data:  # type: ignore[union-attr]
                copy_bytes(data.fileno(), out.fileno())


def _content(extents: Sequence[tuple[str, int]]) -> str:
    digest = hashlib.sha256("\n".join(f"{id} {size}" for id, size in extents).encode()).hexdigest()
    return f"{digest[:2]}/{digest[2:]}"


def _intact(path: Path, size: int) -> bool:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return False
    return facts.st_size == size and facts.st_mtime == _MARK


def _keep(partial: Path, cached: Path) -> None:
    partial.chmod(0o444)
    os.utime(partial, (_MARK, _MARK))
    cached.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(cached)


def _link(cached: Path, path: Path, root: Path, info: BlobInfo) -> bool:
    """False: prune took the cached file just now."""
    _folder(path.parent, root, info.name)
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        try:
            os.link(cached, path, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # another file system, or as many links as a file may have
            if not cached.exists():
                return False
            shutil.copyfile(cached, path)
            path.chmod(0o444)
    except (FileExistsError, IsADirectoryError):
        raise storage_error("PathConflict", f"'{info.name[:200]}' is a folder and a blob at once.", "blob") from None
    except OSError as error:
        raise ArmError(500, "InternalError", f"'{info.name[:200]}' could not be made a file: {error.strerror}.", "blob") from error
    return True


def _prepare(dest: Path, cache: Path) -> None:
    dest.mkdir(parents=True, exist_ok=True)
    (cache / "partial").mkdir(parents=True, exist_ok=True, mode=0o700)
