"""Tables as DataFrames: the parts together are the whole, with either reader."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas
import pytest

from lazward.execution.runtime.parallel import batches, frames
from lazward.execution.runtime.parallel import table as tables
from lazward.execution.runtime.parallel.plan import Plan
from lazward.execution.runtime.parallel.refused import Refused
from lazward.execution.runtime.parallel.table import Table
from tests.execution.runtime.parallel.running import Run

# Instead of the package: the same interface, reading with pandas what the document names.
STANDIN = """
import json, os, pandas
read = []
class Loaded:
    def __init__(self, folder): self.document = json.load(open(os.path.join(folder, "MLTable")))
    def to_pandas_dataframe(self):
        read.append([path for entry in self.document["paths"] for path in entry.values()])
        frame = pandas.concat([pandas.read_csv(path).assign(Path=path) for path in read[-1]])
        for step in self.document["transformations"]:
            if "take" in step: frame = frame.head(step["take"])
        return frame
def load(folder): return Loaded(folder)
"""


@pytest.fixture
def no_mltable(monkeypatch):
    monkeypatch.setattr(frames, "installed", lambda package: False)


@pytest.fixture
def standin(tmp_path, monkeypatch):
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "mltable.py").write_text(STANDIN)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "mltable", raising=False)
    import mltable

    yield mltable
    del sys.modules["mltable"]


def make(folder: Path, *steps, paths: list | None = None) -> Path:
    (folder / "MLTable").write_text(json.dumps({"paths": paths or [{"pattern": "./**/*.csv"}], "transformations": list(steps)}))
    return folder


def opened(folder: Path) -> Table:
    table = Table.open(str(folder))
    assert table is not None
    return table


def all_of(folder: Path, size: int = 1 << 20) -> list[pandas.DataFrame]:
    reader = frames.Frames(opened(folder))
    return [reader.read(batch) for batch in batches.split(Plan("s.py", str(folder), "table", mini_batch_size=size))]


@pytest.mark.usefixtures("no_mltable")
class TestByPandas:
    def test_parts_are_the_whole(self, tmp_path):
        rows = pandas.DataFrame({"n": range(500), "text": [f"t {i}" for i in range(500)]})
        rows.to_csv(tmp_path / "a.csv", index=False)
        make(tmp_path, {"read_delimited": {}})
        parts = all_of(tmp_path, 1000)
        assert len(parts) > 3 and all(list(part.index) == list(range(len(part))) for part in parts)
        pandas.testing.assert_frame_equal(pandas.concat(parts, ignore_index=True), rows)

    @pytest.mark.parametrize(("header", "columns", "values"), [
        ("all_files_same_headers", ["a", "b"], [[1, 2], [3, 4]]),
        ("all_files_different_headers", ["a", "b"], [[1, 2], [3, 4]]),
        ("from_first_file", ["a", "b"], [[1, 2], ["a", "b"], ["3", "4"]]),
        ("no_header", ["Column1", "Column2"], [["a", "b"], ["1", "2"], ["a", "b"], ["3", "4"]]),
    ])
    def test_headers(self, tmp_path, header, columns, values):
        (tmp_path / "1.csv").write_text("a;b\n1;2\n")
        (tmp_path / "2.csv").write_text("a;b\n3;4\n")
        make(tmp_path, {"read_delimited": {"header": header, "delimiter": ";"}})
        for size in (1 << 20, 3):
            parts = all_of(tmp_path, size)
            assert all(list(part.columns) == columns for part in parts)
            assert [[str(v) for v in row] for part in parts for row in part.to_numpy().tolist()] == [[str(v) for v in row] for row in values]

    def test_options_of_delimited_files(self, tmp_path):
        (tmp_path / "a.csv").write_bytes("n,t\n1,\xe9\n,NA\n2,\n".encode("cp1252"))
        make(tmp_path, {"read_delimited": {"encoding": "windows1252", "include_path_column": True}})
        (part,) = all_of(tmp_path)
        assert list(part.columns) == ["Path", "n", "t"] and part["t"].tolist()[:2] == ["é", "NA"] and part["t"].isna().tolist() == [False, False, True]
        make(tmp_path, {"read_delimited": {"encoding": "windows1252", "empty_as_string": True, "infer_column_types": False}})
        (part,) = all_of(tmp_path)
        assert part["t"].tolist() == ["é", "NA", ""] and part["n"].tolist() == ["1", "", "2"]

    def test_json_lines(self, tmp_path):
        (tmp_path / "a.jsonl").write_text('{"a": 1}\n\nnot\n{"a": 2}\n')
        make(tmp_path, {"read_json_lines": {"invalid_lines": "drop"}}, paths=[{"file": "./a.jsonl"}])
        for size in (1 << 20, 2):
            assert [v for part in all_of(tmp_path, size) if len(part) for v in part["a"]] == [1, 2]
        make(tmp_path, {"read_json_lines": {}}, paths=[{"file": "./a.jsonl"}])
        with pytest.raises(ValueError, match="not JSON"):
            all_of(tmp_path)

    def test_parquet(self, tmp_path):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"a": list(range(3000))}), tmp_path / "a.parquet", row_group_size=1000)
        make(tmp_path, {"read_parquet": {}}, paths=[{"file": "./a.parquet"}])
        for size in (1 << 20, 10):
            parts = all_of(tmp_path, size)
            assert [v for part in parts for v in part["a"]] == list(range(3000))
        assert len(parts) == 3

    def test_transformations(self, tmp_path):
        path = tmp_path / "s1" / "2020" / "05"
        path.mkdir(parents=True)
        (path / "a.csv").write_text("n,d,b,drop\n1,31/12/2020,yes,x\n2,01/01/2021,no,y\n")
        make(
            tmp_path, {"read_delimited": {"include_path_column": True}}, {"extract_columns_from_partition_format": {"partition_format": "{store}/{when:yyyy/MM}/{f}.csv"}},
            {"drop_columns": ["Path", "f", "drop", "never there"]}, {"convert_column_types": [
                {"columns": "d", "column_type": {"datetime": {"formats": ["%d/%m/%Y"]}}}, {"columns": ["b"], "column_type": {"boolean": {"true_values": ["yes"], "false_values": ["no"]}}},
                {"columns": "n", "column_type": "string"},
            ]},
        )
        (part,) = all_of(tmp_path)
        assert part.to_dict("list") == {
            "n": ["1", "2"], "d": [pandas.Timestamp(2020, 12, 31), pandas.Timestamp(2021, 1, 1)], "b": [True, False], "store": ["s1", "s1"], "when": [pandas.Timestamp(2020, 5, 1)] * 2,
        }
        make(tmp_path, {"read_delimited": {}}, {"keep_columns": "n"})
        assert list(all_of(tmp_path)[0].columns) == ["n"]

    def test_what_only_the_package_can_is_refused_by_its_name(self, tmp_path):
        (tmp_path / "a.csv").write_text("n\n1\n")
        make(tmp_path, "read_delimited", {"filter": 'col("n") > 1'})
        with pytest.raises(Refused, match=r"'filter' of the MLTable file needs the package mltable\. Add it"):
            all_of(tmp_path)


class TestByMltable:
    def test_each_part_is_a_table_of_its_own(self, tmp_path, standin):
        rows = pandas.DataFrame({"n": range(300)})
        rows.to_csv(tmp_path / "a.csv", index=False)
        make(tmp_path, {"read_delimited": {"include_path_column": True}})
        parts = all_of(tmp_path, 300)
        assert len(parts) > 2 and [v for part in parts for v in part["n"]] == list(range(300))
        assert {path for part in parts for path in part["Path"]} == {str(tmp_path / "a.csv")}
        assert all(given[0].endswith(str(tmp_path / "a.csv")) for given in standin.read)  # so that partition formats match
        assert not any(Path(given[0]).exists() for given in standin.read)

    def test_a_table_that_looks_at_many_rows_is_read_whole_and_split_by_rows(self, tmp_path, standin):
        pandas.DataFrame({"n": range(300)}).to_csv(tmp_path / "a.csv", index=False)
        pandas.DataFrame({"n": range(300, 600)}).to_csv(tmp_path / "b.csv", index=False)
        make(tmp_path, "read_delimited", {"take": 400}, paths=[{"file": str(tmp_path / "a.csv")}, {"file": str(tmp_path / "b.csv")}])
        (tmp_path / "MLTable").write_text((tmp_path / "MLTable").read_text().replace('"read_delimited"', '{"read_delimited": {}}'))
        parts = all_of(tmp_path, 5000)
        assert len(parts) > 2 and [v for part in parts for v in part["n"]] == list(range(400))


def test_a_package_that_is_missing_is_named(monkeypatch):
    with pytest.raises(Refused, match="A table needs the package no_such_package, which cannot be imported in the job's environment"):
        tables.need("no_such_package", "A table")


def test_a_table_in_a_job_rows_are_the_items(tmp_path):
    data = tmp_path / "in"
    data.mkdir()
    pandas.DataFrame({"n": range(100)}).to_csv(data / "a.csv", index=False)
    make(data, {"read_delimited": {}})
    run = Run(tmp_path, "def run(frame):\n    frame['twice'] = frame['n'] * 2\n    return frame[frame['n'] % 2 == 0]\n", ("--append_row_dataframe_header", "True"), input_kind="table", mini_batch_size=100)
    assert run.code == 0 and run.rows == ["n twice", *(f"{i} {2 * i}" for i in range(0, 100, 2))], run.out
    assert "items: 100 processed, 50 failed" in run.out


def test_a_table_without_pandas_says_so_at_once(tmp_path):
    data = tmp_path / "in"
    data.mkdir()
    (data / "a.csv").write_text("n\n1\n")
    make(data, {"read_delimited": {}})
    (tmp_path / "pandas.py").write_text("raise ImportError('not here')\n")
    run = Run(tmp_path, "def run(frame): return frame\n", input_kind="table", max_retries=5)
    assert run.code == 1 and "A table needs the package pandas" in run.log("job_result.txt"), run.out
