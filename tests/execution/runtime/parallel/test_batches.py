"""Every file, every row, every byte of the input is in exactly one mini-batch, whatever the sizes."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.execution.runtime.parallel import batches
from lazward.execution.runtime.parallel.plan import Plan
from lazward.execution.runtime.parallel.refused import Refused

READ = [{"read_delimited": {"delimiter": ",", "header": "all_files_same_headers"}}]
LINES = st.lists(st.text(alphabet="ab,c 1", max_size=12).map(lambda t: "x" + t), max_size=40)


def plan(folder: Path, kind: str = "folder", **members) -> Plan:
    return Plan("score.py", str(folder), kind, **members)


def table(folder: Path, steps: list | None = None, paths: list | None = None) -> Path:
    """JSON is YAML."""
    (folder / "MLTable").write_text(json.dumps({"paths": paths or [{"pattern": "./**/*.csv"}], "transformations": READ if steps is None else steps}))
    return folder


class TestFiles:
    @given(count=st.integers(1, 60), size=st.integers(1, 70))
    @settings(deadline=None, max_examples=40)
    def test_each_in_one_batch_of_the_size_but_the_last(self, count, size):
        files = list(range(count))
        parts = list(batches.chunks(files, size))
        assert [i for part in parts for i in part] == files
        assert all(len(part) == size for part in parts[:-1]) and 1 <= len(parts[-1]) <= size

    def test_of_a_folder_and_of_one_file(self, tmp_path):
        for name in ("b/2", "a", "b/1"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert batches.split(plan(tmp_path, mini_batch_size=2)) == [{"files": [str(tmp_path / "a"), str(tmp_path / "b/1")]}, {"files": [str(tmp_path / "b/2")]}]
        assert batches.split(plan(tmp_path / "a")) == [{"files": [str(tmp_path / "a")]}]

    def test_that_a_table_lists(self, tmp_path):
        (tmp_path / "data" / "deep").mkdir(parents=True)
        for name in ("data/1.txt", "data/deep/2.txt", "other.txt"):
            (tmp_path / name).touch()
        for steps in ([], READ):  # mounted, a table that could be read is a list of files, too
            table(tmp_path, steps, [{"folder": "./data"}, {"file": "./other.txt"}, {"file": "./data/1.txt"}])
            (only,) = batches.split(plan(tmp_path, "files"))
            assert [Path(p).name for p in only["files"]] == ["1.txt", "2.txt", "other.txt"]
        table(tmp_path, [], [{"folder": "./data"}])
        assert len(batches.split(plan(tmp_path, "table"))[0]["files"]) == 2  # it has no reader

    @given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("12"), st.integers(0, 5)), min_size=1, unique=True))
    @settings(deadline=None, max_examples=25)
    def test_a_partition_is_all_files_of_its_keys(self, places):
        with tempfile.TemporaryDirectory() as folder:
            for letter, digit, number in places:
                path = Path(folder, f"letter={letter}", f"digit={digit}", str(number))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            found = batches.split(plan(Path(folder), partition_keys=["digit", "letter"]))
        assert sorted((b["keys"]["letter"], b["keys"]["digit"], int(Path(p).name)) for b in found for p in b["files"]) == sorted(places)
        assert len({tuple(b["keys"].values()) for b in found}) == len(found)


class TestTables:
    @given(files=st.lists(LINES, min_size=1, max_size=4), size=st.integers(1, 200), ends=st.booleans())
    @settings(deadline=None, max_examples=60)
    def test_each_line_is_in_one_piece_and_no_piece_crosses_a_file(self, files, size, ends):
        with tempfile.TemporaryDirectory() as folder:
            for i, lines in enumerate(files):
                Path(folder, f"{i}.csv").write_text("\n".join(["head,er", *lines]) + ("\n" if ends else ""))
            found = batches.split(plan(table(Path(folder)), "table", mini_batch_size=size))
            got: dict[str, list[str]] = {}
            for batch in found:
                (piece,) = batch["pieces"]
                data = Path(piece["path"]).read_bytes()
                if "end" not in piece:
                    part = data.split(b"\n", 1)[1] if b"\n" in data else b""
                else:
                    part = data[piece["start"] : piece["end"]]
                    # At least the size, by one line at most, unless it is the file's last.
                    assert piece["end"] == len(data) or len(part) >= size > len(part) - len(part.splitlines(True)[-1])
                got.setdefault(Path(piece["path"]).stem, []).extend(part.decode().splitlines())
            assert got == {str(i): lines for i, lines in enumerate(files)}

    @given(cells=st.lists(st.text(alphabet='a"\n,', max_size=8), min_size=1, max_size=30), size=st.integers(1, 60))
    @settings(deadline=None, max_examples=60)
    def test_a_line_break_in_quotes_is_no_end_of_a_line(self, cells, size):
        quoted = ['"' + cell.replace('"', '""') + '"\n' for cell in cells]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.csv").write_text("h\n" + "".join(quoted))
            steps = [{"read_delimited": {"support_multi_line": True}}]
            found = [b["pieces"][0] for b in batches.split(plan(table(Path(folder), steps), "table", mini_batch_size=size))]
            data = Path(folder, "a.csv").read_text()
        if "end" in found[0]:
            starts = {2 + sum(map(len, quoted[:i])) for i in range(len(quoted) + 1)}
            assert {p["start"] for p in found} | {p["end"] for p in found} <= starts
            assert (found[0]["start"], found[-1]["end"]) == (2, len(data)) and all(a["end"] == b["start"] for a, b in itertools.pairwise(found))

    def test_parquet_by_row_groups(self, tmp_path):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"a": list(range(10_000))}), tmp_path / "a.parquet", row_group_size=1000)
        steps, paths = [{"read_parquet": {}}], [{"file": "./a.parquet"}]
        whole = (tmp_path / "a.parquet").stat().st_size
        pieces = [b["pieces"][0] for b in batches.split(plan(table(tmp_path, steps, paths), "table", mini_batch_size=whole // 3))]
        assert [p["start"] for p in pieces] == [0, *(p["end"] for p in pieces[:-1])] and pieces[-1]["end"] == 10 and 3 <= len(pieces) <= 5
        assert batches.split(plan(tmp_path, "table", mini_batch_size=whole)) == [{"pieces": [{"path": str(tmp_path / "a.parquet")}]}]

    def test_wide_characters_are_not_cut(self, tmp_path):
        (tmp_path / "a.csv").write_bytes("h\na\nb\n".encode("utf-16"))
        assert batches.split(plan(table(tmp_path, [{"read_delimited": {"encoding": "utf16"}}]), "table", mini_batch_size=1)) == [{"pieces": [{"path": str(tmp_path / "a.csv")}]}]

    def test_partitions_by_a_part_of_the_keys_in_the_paths(self, tmp_path):
        for path in ("s1/x/1.csv", "s1/y/1.csv", "s2/x/1.csv"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text("a\n1\n")
        table(tmp_path, [*READ, {"extract_columns_from_partition_format": {"partition_format": "{Store}/{Brand}/{file}.csv"}}])
        found = batches.split(plan(tmp_path, "table", partition_keys=["Brand"]))
        assert [(b["keys"], len(b["pieces"])) for b in found] == [({"Brand": "x"}, 2), ({"Brand": "y"}, 1)]


class TestRefused:
    @pytest.mark.parametrize(("document", "members", "says"), [
        ("paths: 3", {}, "no list `paths`"),
        ("paths: [{file: ./none.csv}]\ntransformations: [read_delimited]", {}, "names './none.csv', which is not in the input"),
        ("paths: [x: y]", {}, "is not a path"),
        ("paths: [{pattern: ./*.csv}]\ntransformations: [{a: 1, b: 2}]", {}, "is not a transformation"),
        ("paths: [{pattern: ./*.none}]\ntransformations: [read_delimited]", {}, "nothing to do"),
        ("a: [", {}, "is not YAML"),
        ("paths: [{pattern: ./*.csv}]\ntransformations: [read_delimited]", {"partition_keys": ["a"]}, "extract_columns_from_partition_format"),
        ("paths: [{pattern: ./*.csv}]\ntransformations: [read_delimited, extract_columns_from_partition_format: '{name}.csv']", {"partition_keys": ["a"]}, "names 'a', which the data are not partitioned by; they are by name"),
        ("paths: [{pattern: ./*.csv}]\ntransformations: [read_delimited, take: 3]", {}, "takes the first rows needs the package mltable"),
        ("paths: [{file: 'https://localhost/x.csv'}]\ntransformations: [read_delimited]", {}, "outside of this machine needs the package mltable"),
    ])
    def test_says_what_is_wrong(self, tmp_path, document, members, says):
        (tmp_path / "a.csv").write_text("h\n1\n")
        (tmp_path / "MLTable").write_text(document)
        with pytest.raises(Refused, match="(?s).*") as told:
            batches.split(plan(tmp_path, "table", **members))
        assert says in str(told.value)

    def test_no_table_no_input_no_folders(self, tmp_path):
        with pytest.raises(Refused, match="holds no file named MLTable"):
            batches.split(plan(tmp_path, "table"))
        with pytest.raises(Refused, match="is not there"):
            batches.split(plan(tmp_path / "none"))
        (tmp_path / "a").touch()
        with pytest.raises(Refused, match="in no folders that tell color"):
            batches.split(plan(tmp_path, partition_keys=["color"]))
