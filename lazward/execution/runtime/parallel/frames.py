"""Parts of tables as pandas DataFrames, in workers: by the `mltable` package, or by pandas alone."""

from __future__ import annotations

import io
import json
import os
import tempfile
from typing import Any

from .refused import Refused
from .table import Table, installed, need

_ENCODINGS = {
    "utf8": "utf-8", "utf8bom": "utf-8-sig", "iso88591": "iso-8859-1", "latin1": "latin-1", "ascii": "ascii", "utf16": "utf-16", "utf32": "utf-32",
    "windows1252": "cp1252",
}
PATH = "Path"


class Frames:
    """Reads mini-batches of one table."""

    def __init__(self, table: Table):
        self.table = table
        self.by_mltable = installed("mltable")
        self.pandas = need("pandas", "A table")
        self._whole: Any = None

    def read(self, batch: dict[str, Any]) -> Any:
        """The rows of a mini-batch as a DataFrame with an index of its own."""
        if "rows" in batch:
            if self._whole is None:
                self._whole = self.table.read_whole()
            first, after = batch["rows"]
            return self._whole.iloc[first:after].reset_index(drop=True)
        one = self._by_mltable if self.by_mltable else self._by_pandas
        frames = [one(piece) for piece in batch["pieces"]]
        return frames[0] if len(frames) == 1 else self.pandas.concat(frames, ignore_index=True)

    # ---- mltable --------------------------------------------------------------------------------------------------------------

    def _by_mltable(self, piece: dict[str, Any]) -> Any:
        """A table of that one file, with the same transformations. A part of a file is written below a folder of its own under its whole
        path, so that what is read from the path stays as it is."""
        mltable = need("mltable", "A table")
        with tempfile.TemporaryDirectory(prefix="mltable") as folder:
            at = piece["path"]
            if "end" in piece:
                at = folder + os.path.abspath(piece["path"])
                os.makedirs(os.path.dirname(at))
                self._write_part(piece, at)
            # JSON is YAML; what the package needs to write YAML may not be there.
            with open(os.path.join(folder, "MLTable"), "w", encoding="utf-8") as out:
                json.dump({**self.table.document, "paths": [{"file": at}]}, out)
            frame = mltable.load(folder).to_pandas_dataframe()
        if at != piece["path"] and PATH in frame.columns:
            frame[PATH] = frame[PATH].map(lambda text: str(text).replace(folder, "", 1))
        return frame

    def _write_part(self, piece: dict[str, Any], at: str) -> None:
        if self.table.reader == "read_parquet":
            parquet = need("pyarrow.parquet", "A Parquet file")
            parquet.write_table(parquet.ParquetFile(piece["path"]).read_row_groups(range(piece["start"], piece["end"])), at)
            return
        with open(at, "wb") as out:
            out.write(self._bytes(piece))

    def _bytes(self, piece: dict[str, Any]) -> bytes:
        """The lines of a piece, below the line with the names of the columns."""
        with open(piece["path"], "rb") as source:
            if "end" not in piece:
                return source.read()
            header = source.read(self.table.header_end(piece["path"]))
            source.seek(piece["start"])
            return header + source.read(piece["end"] - piece["start"])

    # ---- pandas ---------------------------------------------------------------------------------------------------------------

    def _by_pandas(self, piece: dict[str, Any]) -> Any:
        frame = None
        for name, options in self.table.steps:
            if name in _READ:
                frame = _READ[name](self, piece, options or {})
                if (options or {}).get("include_path_column"):
                    frame.insert(0, PATH, piece["path"])
            elif frame is not None and name in _CHANGE:
                frame = _CHANGE[name](self, frame, options, piece["path"])
            else:
                raise Refused(f"The transformation '{name}' of the MLTable file needs the package mltable. Add it to the environment.")
        return frame

    def _delimited(self, piece: dict[str, Any], options: dict[str, Any]) -> Any:
        header = str(options.get("header") or "all_files_same_headers")
        names: list[str] | None = None
        given = dict(sep=options.get("delimiter") or ",", encoding=_encoding(options), keep_default_na=False, na_values=[""], low_memory=False)
        if header == "from_first_file" and piece["path"] != self.table.files()[0]:
            names = list(self.pandas.read_csv(self.table.files()[0], nrows=0, **given).columns)
        if options.get("infer_column_types", True) is False:
            given["dtype"] = str
        try:
            frame = self.pandas.read_csv(io.BytesIO(self._bytes(piece)), header=None if names or header == "no_header" else 0, names=names, **given)
        except self.pandas.errors.EmptyDataError:
            return self.pandas.DataFrame()
        if header == "no_header":
            frame.columns = [f"Column{i + 1}" for i in range(frame.shape[1])]
        if options.get("empty_as_string"):
            for column in frame.columns:
                if not self.pandas.api.types.is_numeric_dtype(frame[column]):
                    frame[column] = frame[column].fillna("")
        return frame

    def _parquet(self, piece: dict[str, Any], options: dict[str, Any]) -> Any:
        if "end" not in piece:
            return self.pandas.read_parquet(piece["path"])
        source = need("pyarrow.parquet", "A Parquet file").ParquetFile(piece["path"])
        return source.read_row_groups(range(piece["start"], piece["end"])).to_pandas()

    def _json_lines(self, piece: dict[str, Any], options: dict[str, Any]) -> Any:
        rows = []
        for line in self._bytes(piece).decode(_encoding(options)).splitlines():
            if not line.strip():
                continue
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                if options.get("invalid_lines") != "drop":
                    raise ValueError(f"{piece['path']}: not JSON: {error}: {line[:100]}") from None
        return self.pandas.DataFrame(rows)

    def _extract(self, frame: Any, options: Any, path: str) -> Any:
        values = self.table.format.typed(path) if self.table.format else None
        if values is None:
            raise ValueError(f"the path {path} does not match the partition format '{self.table.format and self.table.format.text}'")
        for name, value in values.items():
            frame[name] = value
        return frame

    def _drop(self, frame: Any, options: Any, path: str) -> Any:
        return frame.drop(columns=_list(options), errors="ignore")

    def _keep(self, frame: Any, options: Any, path: str) -> Any:
        return frame[_list(options)]

    def _convert(self, frame: Any, options: Any, path: str) -> Any:
        for change in options or []:
            kind, more = change["column_type"], {}
            if isinstance(kind, dict):
                kind, more = next(iter(kind.items()))
            for column in _list(change["columns"]):
                frame[column] = self._converted(frame[column], str(kind), more or {})
        return frame

    def _converted(self, column: Any, kind: str, more: dict[str, Any]) -> Any:
        if kind == "datetime":
            return self.pandas.to_datetime(column, format=(_list(more.get("formats")) or [None])[0])
        if kind == "boolean":
            values = {**dict.fromkeys(_list(more.get("true_values")) or ["true", "True", "1"], True),
                      **dict.fromkeys(_list(more.get("false_values")) or ["false", "False", "0"], False)}
            return column.map(lambda value: values.get(str(value)))
        if kind in ("int", "float"):
            return self.pandas.to_numeric(column).astype("Int64" if kind == "int" else "float64")
        if kind == "string":
            return column.where(column.isna(), column.astype(str))
        raise Refused(f"convert_column_types to '{kind}' needs the package mltable. Add it to the environment.")


_READ = {"read_delimited": Frames._delimited, "read_parquet": Frames._parquet, "read_json_lines": Frames._json_lines}
_CHANGE = {
    "extract_columns_from_partition_format": Frames._extract, "drop_columns": Frames._drop, "keep_columns": Frames._keep, "convert_column_types": Frames._convert,
}


def _encoding(options: dict[str, Any]) -> str:
    name = str(options.get("encoding") or "utf8").lower().replace("-", "").replace("_", "")
    return _ENCODINGS.get(name, name)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
