"""The journal: calls kept on disk in the order they were made, one line each, with a checksum. Whatever is killed while it writes leaves a
torn last line, which was never acknowledged and is ignored.

A line is the CRC-32 of the rest as eight hexadecimal digits, a space, the record as JSON without line breaks, a line feed.
"""

from __future__ import annotations

import json
import os
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CHUNK = 1 << 20


class Full(Exception):
    """The record could not be written, for want of room say; the journal is as it was."""


class Journal:
    """The writer. Not safe for several threads: whoever calls holds a lock."""

    def __init__(self, path: str):
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self._fd).st_size
        self._torn = self.size > 0 and os.pread(self._fd, 1, self.size - 1) != b"\n"

    def append(self, record: dict[str, Any]) -> None:
        """After it the record outlives the process. Raises Full."""
        line = encode(record)
        if self._torn:
            line = b"\n" + line
        try:
            done = os.write(self._fd, line)
            while done < len(line):
                done += os.write(self._fd, line[done:])
        except OSError as error:
            self._torn = True
            try:
                os.ftruncate(self._fd, self.size)
                self._torn = False
            except OSError:
                pass
            raise Full(f"{self.path}: {error.strerror or error}") from None
        self._torn = False
        self.size += len(line)

    def flush(self) -> None:
        """After it the records outlive the machine's end, too."""
        os.fsync(self._fd)

    def clear(self) -> None:
        os.ftruncate(self._fd, 0)
        self.size, self._torn = 0, False

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def encode(record: dict[str, Any]) -> bytes:
    body = json.dumps(record, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> dict[str, Any] | None:
    """The record of a line without its line feed; None for one that is damaged."""
    checksum, _, body = line.partition(b" ")
    try:
        if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(body):
            return None
        record = json.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def read(path: str, start: int = 0) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(place after it, record) of every whole line from `start` on; None for a line that is damaged. A last line without its line feed
    is not there yet, or never will be."""
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        place, rest = start, b""
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                return
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                place += len(line) + 1
                yield place, decode(line)
