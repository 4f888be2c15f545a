"""MLTable files: which files a table is made of, how it can be split, and reading a part of it into a pandas DataFrame.

The user's `mltable` package reads where it is installed, so types are those that Azure gives; else pandas reads, for tables of local
files with the common transformations.
"""

from __future__ import annotations

import glob
import importlib.util
import os
from typing import Any

from .partitions import Format
from .refused import Refused

FILE = "MLTable"
READERS = ("read_delimited", "read_parquet", "read_json_lines", "read_delta_lake")
# What looks at more than one row: such a table cannot be read file by file.
WHOLE = {"take": "takes the first rows", "skip": "skips rows", "take_random_sample": "takes a sample", "read_delta_lake": "is a Delta Lake"}
WIDE = ("utf16", "utf32")  # encodings whose lines cannot be found by looking for a byte


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def need(package: str, why: str) -> Any:
    """The imported package. Raises Refused that names it and what needs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = {"yaml": "pyyaml"}.get(package, package)
        raise Refused(f"{why} needs the package {name}, which cannot be imported in the job's environment ({error}). Add it to the environment.") from None


class Table:
    """whole: why the table can only be read as a whole, a half sentence ("takes a sample"), or ""."""

    def __init__(self, folder: str, document: dict[str, Any]):
        self.folder = folder
        self.document = document
        self.steps: list[tuple[str, Any]] = [_step(step) for step in document.get("transformations") or []]
        names = [name for name, _ in self.steps]
        self.reader = next((name for name in names if name in READERS), "")
        self.options: dict[str, Any] = next((options or {} for name, options in self.steps if name == self.reader), {})
        self.whole = next((WHOLE[name] for name in names if name in WHOLE), "")
        if any(_remote(path) for _, path in self._paths()):
            self.whole = "lies outside of this machine"
        self._files: list[str] | None = None
        text = next((options for name, options in self.steps if name == "extract_columns_from_partition_format"), None)
        if isinstance(text, dict):
            text = text.get("partition_format")
        self.format: Format | None = Format(str(text)) if text else None

    @classmethod
    def open(cls, folder: str) -> Table | None:
        """The table of a folder; None when it holds no MLTable file. Raises Refused."""
        path = os.path.join(folder, FILE)
        if not os.path.isfile(path):
            return None
        yaml = need("yaml", "Reading an MLTable file")
        with open(path, encoding="utf-8") as source:
            try:
                document = yaml.safe_load(source)
            except yaml.YAMLError as error:
                raise Refused(f"{path} is not YAML: {error}") from None
        if not isinstance(document, dict) or not isinstance(document.get("paths"), list):
            raise Refused(f"{path} is not an MLTable file: it has no list `paths`.")
        return cls(folder, document)

    @property
    def tabular(self) -> bool:
        """Whether rows are read from the files, or the table is a list of files."""
        return bool(self.reader)

    def files(self) -> list[str]:
        """The files of the table, each once, in the order of the paths."""
        if self._files is not None:
            return self._files
        found: dict[str, None] = {}
        for kind, path in self._paths():
            if _remote(path):
                raise Refused(f"The MLTable file names '{path}', which is not a file of the input: it cannot be read file by file.")
            full = os.path.normpath(os.path.join(self.folder, path[5:] if path.startswith("file:") else path))
            if kind == "pattern":
                matches = sorted(p for p in glob.glob(full, recursive=True) if os.path.isfile(p))
            elif os.path.isdir(full):
                matches = [os.path.join(at, name) for at, _, names in sorted(os.walk(full)) for name in sorted(names)]
            elif os.path.isfile(full):
                matches = [full]
            else:
                raise Refused(f"The MLTable file names '{path}', which is not in the input.")
            found.update(dict.fromkeys(p for p in matches if os.path.basename(p) != FILE))
        self._files = list(found)
        return self._files

    def pieces(self, path: str, size: int) -> list[dict[str, Any]]:
        """A file's parts of about `size` bytes: whole lines, or row groups of Parquet."""
        total = os.path.getsize(path)
        if total <= size:
            return [{"path": path}]
        if self.reader == "read_parquet":
            return _row_groups(path, size)
        if str(self.options.get("encoding") or "utf8").lower().replace("-", "") in WIDE:
            return [{"path": path}]
        start = self.header_end(path)
        cuts = _cuts(path, start, total, size, bool(self.options.get("support_multi_line")))
        return [{"path": path, "start": a, "end": b} for a, b in zip([start, *cuts], [*cuts, total]) if a < b] or [{"path": path}]

    def header_end(self, path: str) -> int:
        """Bytes of the line with the names of the columns; 0 where the file has none."""
        header = str(self.options.get("header") or "all_files_same_headers")
        if self.reader != "read_delimited" or header == "no_header" or (header == "from_first_file" and path != self.files()[0]):
            return 0
        with open(path, "rb") as source:
            return len(source.readline())

    def measure(self) -> tuple[int, float]:
        """Rows of a table that is read as a whole, and the bytes of one in memory."""
        frame = self.read_whole()
        return len(frame), float(frame.memory_usage(deep=True).sum()) / max(1, len(frame))

    def read_whole(self) -> Any:
        mltable = need("mltable", f"A table that {self.whole}")
        return mltable.load(self.folder).to_pandas_dataframe()

    def _paths(self) -> list[tuple[str, str]]:
        out = []
        for entry in self.document["paths"]:
            if not isinstance(entry, dict) or len(entry) != 1 or next(iter(entry)) not in ("file", "folder", "pattern"):
                raise Refused(f"In the MLTable file, {entry!r} is not a path: file, folder or pattern.")
            out.append(next((kind, str(path)) for kind, path in entry.items()))
        return out


def _step(step: Any) -> tuple[str, Any]:
    if isinstance(step, str):
        return step, None
    if isinstance(step, dict) and len(step) == 1:
        return next(iter(step.items()))
    raise Refused(f"In the MLTable file, {step!r} is not a transformation.")


def _remote(path: str) -> bool:
    return "://" in path and not path.startswith("file://")


def _row_groups(path: str, size: int) -> list[dict[str, Any]]:
    meta = need("pyarrow.parquet", "Splitting a Parquet file").ParquetFile(path).metadata
    pieces, start, held = [], 0, 0
    for group in range(meta.num_row_groups):
        width = sum(meta.row_group(group).column(i).total_compressed_size for i in range(meta.num_columns))
        if held and held + width > size:
            pieces.append({"path": path, "start": start, "end": group})
            start, held = group, 0
        held += width
    return [*pieces, {"path": path, "start": start, "end": meta.num_row_groups}]


def _cuts(path: str, start: int, total: int, size: int, multi_line: bool) -> list[int]:
    """Where to cut: ends of lines, each the first at least `size` bytes after the one before. With multi_line, a line's end within quotes
    is none, so all of the file is read."""
    cuts, last = [], start
    with open(path, "rb") as source:
        if not multi_line:
            while last + size < total:
                source.seek(last + size - 1)
                source.readline()
                last = source.tell()
                if last < total:
                    cuts.append(last)
            return cuts
        source.seek(start)
        quoted, at = False, start
        for line in source:
            at += len(line)
            quoted ^= line.count(b'"') % 2 == 1
            if not quoted and at - last >= size and at < total:
                cuts.append(at)
                last = at
    return cuts
