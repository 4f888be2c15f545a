"""The format of a backup: a tar whose first member says what it is and whose last lists every file with size and SHA-256.

    lazward-backup.json   {"format": 1, "version", "created", "database": "sqlite"|"postgresql", "blobs": "included"|"<url>"}
    database.sqlite | database.pgdump
    keys/..., blobs/..., settings.toml, endpoint.json
    manifest.json         {"files": [{"name", "size", "sha256"}, ...]}

Reading trusts nothing: only these names, only regular files, nothing outside the target folder, sizes and hashes checked, and nothing is
put in its place before all of it has been read.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lazward.cli.tar_file import TarWriter, reading

HEAD, MANIFEST = "lazward-backup.json", "manifest.json"
FORMAT = 1
SQLITE, PGDUMP = "database.sqlite", "database.pgdump"
FILES = frozenset({SQLITE, PGDUMP, "settings.toml", "endpoint.json"})
FOLDERS = frozenset({"keys", "blobs"})
_CHUNK = 1024 * 1024
_MAX_JSON = 256 * 1024 * 1024


class BadArchive(Exception):
    """The file is no backup, is damaged, or holds what no backup holds; the message names the member."""


class Writer(TarWriter):
    """Writes one archive; files are streamed, whatever their size."""

    def __init__(self, path: Path, head: dict[str, Any]):
        super().__init__(path)
        self.files = 0
        self.bytes = 0
        self._head = head
        self._manifest: list[dict[str, Any]] = []

    def first(self) -> None:
        self.member(HEAD, json.dumps({"format": FORMAT, "created": time.time(), **self._head}).encode())

    def last(self) -> None:
        self.member(MANIFEST, json.dumps({"files": self._manifest}).encode())

    def add(self, name: str, path: Path) -> bool:
        """Adds a file; returns False where it has gone meanwhile. Raises OSError when it gets shorter while it is read."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            size = os.fstat(file.fileno()).st_size
            reader = _Hashing(file, size)
            self.stream(name, size, reader)
            if reader.left:
                raise OSError(f"{path} got shorter while it was read")
        self._manifest.append({"name": name, "size": size, "sha256": reader.hash.hexdigest()})
        self.files += 1
        self.bytes += size
        return True

    def add_folder(self, name: str, folder: Path) -> int:
        """Adds all regular files below; returns how many had gone between listing and reading. Links are not followed and not kept."""
        gone = 0
        for path in files_below(folder):
            gone += not self.add(f"{name}/{path.relative_to(folder).as_posix()}", path)
        return gone


def unpack(path: Path, target: Path) -> dict[str, Any]:
    """Writes the files of the archive below the empty folder `target`, checks them, returns the head. Raises BadArchive."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadArchive(f"{path} cannot be read: {error.strerror}") from None
    with file:
        try:
            with reading(file) as tar:
                return _unpack(tar, target)
        except BadArchive:
            raise
        except OSError as error:
            if error.errno is not None:  # of the disk; what gzip and tarfile find wrong has no number
                raise
            raise BadArchive(f"{path} is no complete backup: {error}") from None
        except (tarfile.TarError, zlib.error, EOFError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise BadArchive(f"{path} is no complete backup: {error or type(error).__name__}") from None


def files_below(folder: Path) -> Iterator[Path]:
    """Regular files, sorted within each folder; what vanishes meanwhile is left out."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _unpack(tar: tarfile.TarFile, target: Path) -> dict[str, Any]:
    head: dict[str, Any] | None = None
    manifest: dict[str, tuple[int, str]] | None = None
    found: dict[str, tuple[int, str]] = {}
    for member in tar:
        if not member.isreg():
            raise BadArchive(f"member {member.name!r} is no regular file")
        if manifest is not None:
            raise BadArchive(f"member {member.name!r} comes after the manifest")
        if head is None:
            if member.name != HEAD:
                raise BadArchive(f"the first member is {member.name[:100]!r}, not {HEAD}: this is no Lazward backup")
            head = _head(_json(tar, member))
        elif member.name == MANIFEST:
            manifest = {f["name"]: (f["size"], f["sha256"]) for f in _json(tar, member)["files"]}
        else:
            if member.name in found:
                raise BadArchive(f"member {member.name!r} comes twice")
            found[member.name] = _extract(tar, member, place(target, member.name))
    if head is None or manifest is None:
        raise BadArchive("the archive ends before its manifest: it is cut short")
    if found != manifest:
        wrong = sorted(set(found.items()) ^ set(manifest.items()))[0][0]
        raise BadArchive(f"member {wrong!r} is missing, or is not what the manifest says (size, SHA-256)")
    return head


def place(target: Path, name: str) -> Path:
    """Where a member goes: below `target`, or BadArchive. The one function that decides it."""
    parts = name.split("/")
    known = name in FILES or (len(parts) > 1 and parts[0] in FOLDERS)
    if not known or any(part in ("", ".", "..") or "\x00" in part for part in parts):
        raise BadArchive(f"member {name[:200]!r} does not belong into a backup")
    root = os.path.realpath(target)
    resolved = os.path.realpath(os.path.join(root, *parts))  # noqa: PTH118
    if os.path.commonpath([root, resolved]) != root:
        raise BadArchive(f"member {name[:200]!r} points out of the data dir")
    return Path(resolved)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> tuple[int, str]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    source = tar.extractfile(member)
    assert source is not None
    digest = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(fd, "wb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return path.stat().st_size, digest.hexdigest()


def _json(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    source = tar.extractfile(member)
    if source is None or member.size > _MAX_JSON:
        raise BadArchive(f"member {member.name!r} cannot be read")
    value = json.loads(source.read())
    if not isinstance(value, dict):
        raise BadArchive(f"member {member.name!r} is no JSON object")
    return value


def _head(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("format") != FORMAT:
        raise BadArchive(f"its format is {value.get('format')!r}; this version of Lazward reads format {FORMAT}")
    return value


class _Hashing:
    """Reads at most `size` bytes of a file, hashing them: a file that grows meanwhile is taken as it was."""

    def __init__(self, file: IO[bytes], size: int):
        self._file = file
        self.left = size
        self.hash = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(self.left if count < 0 else min(count, self.left))
        self.left -= len(data)
        self.hash.update(data)
        return data
