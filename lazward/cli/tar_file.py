"""The tars that commands write and read, as streams: backups (archive.py) and exports (moving/archive_file.py)."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


class TarWriter:
    """A tar, gzip'd when its name ends in .gz or .tgz. A context manager: without an error, `path` is complete, private and on disk; with
    one, it does not exist."""

    def __init__(self, path: Path):
        self.path = path
        self._partial = path.with_name(f".{path.name}.partial")

    def first(self) -> None:
        """Called when it is open."""

    def last(self) -> None:
        """Called before it is closed, unless there was an error."""

    def __enter__(self) -> Any:
        fd = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        os.fchmod(fd, 0o600)
        self._file = os.fdopen(fd, "wb")
        mode: Any = "w|gz" if self.path.name.endswith((".gz", ".tgz")) else "w|"
        self._tar = tarfile.open(fileobj=self._file, mode=mode, format=tarfile.PAX_FORMAT)
        self.first()
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self.last()
            with contextlib.suppress(*(() if kind is None else (Exception,))):  # the first error is the one to tell
                self._tar.close()
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._partial.replace(self.path)
        finally:
            self._file.close()
            self._partial.unlink(missing_ok=True)

    def member(self, name: str, data: bytes) -> None:
        self.stream(name, len(data), io.BytesIO(data))

    def stream(self, name: str, size: int, data: Any) -> None:
        """data.read() must give exactly `size` bytes: OSError when there are fewer."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, int(time.time())
        self._tar.addfile(info, data)


@contextlib.contextmanager
def reading(file: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """A tar as a stream, whether compressed or not."""
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    with gzip.open(file) if compressed else contextlib.nullcontext(file) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        yield tar
