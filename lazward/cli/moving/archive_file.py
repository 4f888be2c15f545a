"""The file of an export: a tar, gzip'd when its name ends in .gz or .tgz, written and read as a stream.

    lazward-export.json        {"format": 1, "version", "created", "workspace", "totals": {...}}
    records/00000001.jsonl ... records (domain/tracking/moved.py), one JSON object a line, in the order they are to be taken in
    artifacts/OWNER/ID/PATH    files, after all records; OWNER is run, model, trace or upload
    end.json                   {"records", "files"}: without it the file is not complete

Reading trusts nothing: no name in it becomes a path of this machine.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, get_args

import msgspec

from lazward.cli.moving.source import CHUNK, BadSource, File
from lazward.cli.tar_file import TarWriter, reading
from lazward.domain.tracking.moved import LINE, Owner, Record

HEAD, END = "lazward-export.json", "end.json"
FORMAT = 1
_PART_BYTES = 4 << 20  # of a member with records
_MAX_MEMBER = 1 << 30
_OWNERS = get_args(Owner)


class Writer(TarWriter):
    def __init__(self, path: Path, head: dict[str, Any]):
        super().__init__(path)
        self.records = self.files = self.bytes = 0
        self._head = head
        self._lines = bytearray()
        self._part = 0

    def first(self) -> None:
        self.member(HEAD, json.dumps({"format": FORMAT, "created": time.time(), **self._head}).encode())

    def last(self) -> None:
        self._end_part()
        self.member(END, json.dumps({"records": self.records, "files": self.files}).encode())

    def add(self, record: Record) -> None:
        self._lines += msgspec.json.encode(record) + b"\n"
        self.records += 1
        if len(self._lines) >= _PART_BYTES:
            self._end_part()

    def add_file(self, owner: Owner, id_: str, path: str, size: int, data: IO[bytes]) -> None:
        """data must give exactly `size` bytes: OSError when there are fewer."""
        self._end_part()
        self.stream(f"artifacts/{owner}/{id_}/{path}", size, data)
        self.files += 1
        self.bytes += size

    def _end_part(self) -> None:
        if self._lines:
            self._part += 1
            self.member(f"records/{self._part:08}.jsonl", bytes(self._lines))
            self._lines.clear()


class Archive:
    """An export as a source."""

    def __init__(self, path: Path):
        self.path = path
        self.place = HEAD  # the member that is being read
        self._totals: dict[str, int] = {}
        with self._opened() as tar:
            self._head(tar)

    def totals(self) -> dict[str, int]:
        return self._totals

    def items(self) -> Iterator[Record | File]:
        records = files = 0
        with self._opened() as tar:
            self._head(tar)
            for member in self._members(tar):
                self.place = _shown(member.name)
                if member.name == END:
                    told = self._json(tar, member)
                    if (told.get("records"), told.get("files")) != (records, files):
                        raise BadSource(f"{self.path}: {END} tells of {told.get('records')} records and {told.get('files')} files, but there are {records} and {files}.")
                    return
                if member.name.startswith("records/") and member.name.endswith(".jsonl"):
                    for record in self._records(tar, member):
                        records += 1
                        yield record
                elif member.name.startswith("artifacts/"):
                    files += 1
                    yield self._artifact(tar, member)
                else:
                    raise BadSource(f"{self.path}: the member {self.place} is none of an export.")
            raise BadSource(f"{self.path} is not complete: it ends after the member {self.place}. What came before is imported; a whole file goes on from there.")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tarfile.TarFile]:
        """Whatever tarfile and gzip find wrong becomes BadSource with the member's name."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise BadSource(f"{self.path} cannot be read: {error.strerror}.") from None
        try:
            with file, reading(file) as tar:
                yield tar
        except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
            what = "is no export of Lazward" if self.place == HEAD else f"is damaged at or after the member {self.place}"
            raise BadSource(f"{self.path} {what}: {error or type(error).__name__}.") from None

    def _head(self, tar: tarfile.TarFile) -> None:
        first = next(self._members(tar), None)
        if first is None or first.name != HEAD:
            raise BadSource(f"{self.path} is no export of Lazward: its first member is not {HEAD}.")
        head = self._json(tar, first)
        if head.get("format") != FORMAT:
            raise BadSource(f"{self.path} has the format {str(head.get('format'))[:20]}; this version reads {FORMAT}.")
        totals = head.get("totals")
        self._totals = {k: v for k, v in totals.items() if isinstance(v, int)} if isinstance(totals, dict) else {}

    def _members(self, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        while (member := tar.next()) is not None:
            self.place = _shown(member.name)
            if not member.isreg():
                raise BadSource(f"{self.path}: the member {self.place} is no regular file.")
            yield member
            tar.members.clear()  # type: ignore[attr-defined] - or it keeps them all

    def _json(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
        data = b"".join(self._bytes(tar, member)) if member.size <= CHUNK else b""
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise BadSource(f"{self.path}: the member {self.place} is no JSON object.")
        return found

    def _records(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[Record]:
        if member.size > _MAX_MEMBER:
            raise BadSource(f"{self.path}: the member {self.place} is larger than any export's.")
        for number, line in enumerate(b"".join(self._bytes(tar, member)).splitlines(), 1):
            try:
                yield LINE.decode(line)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
                raise BadSource(f"{self.path}: line {number} of the member {self.place} is no record: {error}.") from None

    def _artifact(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> File:
        pieces = member.name.split("/", 3)
        if len(pieces) != 4 or pieces[1] not in _OWNERS or not pieces[3]:
            raise BadSource(f"{self.path}: the member {self.place} is no artifact.")
        return File(pieces[1], pieces[2], pieces[3], member.size, lambda: self._bytes(tar, member))  # type: ignore[arg-type]

    def _bytes(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
        data = tar.extractfile(member)
        assert data is not None
        left = member.size
        while left:
            piece = data.read(min(left, CHUNK))
            if not piece:
                raise BadSource(f"{self.path} is not complete: it ends in the member {self.place}. What came before is imported; a whole file goes on from there.")
            left -= len(piece)
            yield piece


def _shown(name: str) -> str:
    return name[:200].encode("ascii", "backslashreplace").decode()
