"""What run() returns: how many items it stands for, its rows as text, and the one file that gathers the rows of all mini-batches."""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO

DEFAULT_NAME = "parallel_run_step.txt"
HELD_BYTES = 64 << 20  # rows that wait in memory for those before them; more wait in a file


class WrongResult(Exception):
    """run() returned what no result can be."""


def count(result: Any) -> int:
    """Items that the result says were done: the length of a list, tuple, array, Series or DataFrame, or a number itself. Raises WrongResult."""
    if isinstance(result, int) and not isinstance(result, bool) and result >= 0:
        return result
    if result is None or isinstance(result, (str, bytes, dict, bool)) or not hasattr(result, "__len__"):
        what = "nothing" if result is None else f"a {type(result).__name__}"
        raise WrongResult(f"run() returned {what}; it returns a list, a tuple, a pandas DataFrame or a number of items")
    return len(result)  # type: ignore[arg-type]


def text_of(result: Any, header: bool) -> tuple[bytes, bytes]:
    """The rows, a line each, and the line with the names of the columns if there is to be one. A DataFrame's values are separated by
    blanks, as Azure does it."""
    if isinstance(result, int):
        return b"", b""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(result, pandas.DataFrame):
        names = result.head(0).to_csv(sep=" ", index=False) if header else ""
        return result.to_csv(sep=" ", header=False, index=False).encode("utf-8", "replace"), names.encode("utf-8", "replace")
    return "".join(f"{item}\n" for item in result).encode("utf-8", "replace"), b""


class RowFile:
    """Rows in the order of the mini-batches, whatever the order they come in, each mini-batch once."""

    def __init__(self, path: str):
        if os.path.isdir(path):
            path = os.path.join(path, DEFAULT_NAME)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self.path = path
        self._out: BinaryIO = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._next = 0
        self._header = False
        self._held: dict[int, Any] = {}  # rows, or (offset, length) in the file beside
        self._bytes = 0
        self._beside: Any = None

    def put(self, index: int, rows: bytes, header: bytes = b"") -> None:
        """rows: of the mini-batch `index`, empty if it failed. All indices from 0 on are put, each once."""
        if header and not self._header:
            self._header = True
            self._out.write(header)  # all rows before it, if there are any, came from results without columns
        self._held[index] = self._keep(rows)
        while self._next in self._held:
            self._out.write(self._take(self._held.pop(self._next)))
            self._next += 1

    def close(self) -> None:
        """Writes what still waits (a job that was given up has gaps)."""
        for index in sorted(self._held):
            self._out.write(self._take(self._held.pop(index)))
        self._out.close()
        if self._beside is not None:
            self._beside.close()

    def _keep(self, rows: bytes) -> Any:
        if self._bytes + len(rows) <= HELD_BYTES:
            self._bytes += len(rows)
            return rows
        if self._beside is None:
            import tempfile  # slow to import, and workers import this module, too

            self._beside = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._beside.seek(0, os.SEEK_END)
        at = self._beside.tell()
        self._beside.write(rows)
        return at, len(rows)

    def _take(self, kept: Any) -> bytes:
        if isinstance(kept, bytes):
            self._bytes -= len(kept)
            return kept
        self._beside.seek(kept[0])
        return self._beside.read(kept[1])
