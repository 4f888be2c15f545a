"""Whatever is killed while it writes: what was acknowledged is read back, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward_mlflow import journal
from lazward_mlflow.journal import Full, Journal, decode, encode, read

VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5)
RECORDS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), min_size=1, max_size=6)


def written(path: Path, records: list[dict]) -> bytes:
    made = Journal(str(path))
    for record in records:
        made.append(record)
    made.close()
    return path.read_bytes()


def records_of(path: Path, start: int = 0) -> list:
    return [record for _, record in read(str(path), start)]


class TestTorn:
    @settings(deadline=None, max_examples=15)
    @given(records=RECORDS)
    def test_at_every_byte(self, tmp_path_factory, records):
        path = tmp_path_factory.mktemp("j") / "journal"
        whole = written(path, records)
        ends = [place for place, _ in read(str(path))]
        assert ends[-1] == len(whole)
        for cut in range(len(whole), -1, -1):
            os.truncate(path, cut)
            assert records_of(path) == records[: sum(end <= cut for end in ends)]

    @settings(deadline=None, max_examples=40)
    @given(records=RECORDS, more=RECORDS, data=st.data())
    def test_and_written_on(self, tmp_path_factory, records, more, data):
        """The torn line is told apart from those after it, and takes none of them along."""
        path = tmp_path_factory.mktemp("j") / "journal"
        whole = written(path, records)
        ends = [0, *(place for place, _ in read(str(path)))]
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        written(path, more)
        kept = records[: sum(0 < end <= cut for end in ends)]
        # A line that lacks nothing but its line feed is as good as whole.
        last = [records[len(kept)]] if cut + 1 in ends and cut not in ends else [] if cut in ends else [None]
        assert records_of(path) == kept + last + more

    @settings(deadline=None, max_examples=40)
    @given(records=RECORDS, data=st.data())
    def test_any_byte_changed_is_noticed(self, tmp_path_factory, records, data):
        path = tmp_path_factory.mktemp("j") / "journal"
        whole = bytearray(written(path, records))
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255).filter(lambda b: b != whole[at]))
        path.write_bytes(bytes(whole))
        found = [r for r in records_of(path) if r is not None]
        assert all(r in records for r in found)
        assert len(found) >= len(records) - 2

    def test_lines_longer_than_what_is_read_at_once(self, tmp_path, monkeypatch):
        monkeypatch.setattr(journal, "CHUNK", 7)
        records = [{"a": "x" * n} for n in range(30)]
        written(tmp_path / "j", records)
        assert records_of(tmp_path / "j") == records


class TestPlace:
    def test_goes_on_where_one_was(self, tmp_path):
        written(tmp_path / "j", [{"n": n} for n in range(5)])
        places = [place for place, _ in read(str(tmp_path / "j"))]
        assert records_of(tmp_path / "j", places[2]) == [{"n": 3}, {"n": 4}]
        assert records_of(tmp_path / "j", places[-1]) == []

    def test_nothing_there(self, tmp_path):
        assert records_of(tmp_path / "none") == []


class TestFull:
    def test_a_write_that_is_cut_short_leaves_nothing(self, tmp_path, monkeypatch):
        made = Journal(str(tmp_path / "j"))
        made.append({"n": 1})
        real = os.write

        def short(fd: int, data: bytes) -> int:
            if len(data) > 4:
                return real(fd, data[:4])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(journal.os, "write", short)
        with pytest.raises(Full, match="No space left"):
            made.append({"n": 2})
        monkeypatch.undo()
        made.append({"n": 3})
        assert records_of(tmp_path / "j") == [{"n": 1}, {"n": 3}]
        assert made.size == (tmp_path / "j").stat().st_size

    def test_nobody_else_may_read_it(self, tmp_path):
        written(tmp_path / "j", [{}])
        assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


@settings(deadline=None)
@given(record=st.dictionaries(st.text(), VALUES))
def test_a_line_is_one_line(record):
    line = encode(record)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line[:-1]) == record
