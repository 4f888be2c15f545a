from __future__ import annotations

import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.execution.runtime.parallel import rows
from lazward.execution.runtime.parallel.rows import RowFile, WrongResult, count, text_of


class TestResults:
    @pytest.mark.parametrize(("result", "items"), [([], 0), ([1, 2], 2), ((1,), 1), (3, 3), (numpy.zeros((4, 2)), 4), (pandas.Series([1]), 1), (pandas.DataFrame({"a": [1, 2]}), 2)])
    def test_count(self, result, items):
        assert count(result) == items

    @pytest.mark.parametrize("result", [None, "text", b"x", {}, True, 1.5, -1, object()])
    def test_no_result(self, result):
        with pytest.raises(WrongResult, match=r"run\(\) returned"):
            count(result)

    def test_text_of_lists_and_frames(self):
        assert text_of(["a: 1", 2], False) == (b"a: 1\n2\n", b"")
        frame = pandas.DataFrame({"n": [1, 2], "name": ["x", "a b"]})
        assert text_of(frame, False) == (b'1 x\n2 "a b"\n', b"")
        assert text_of(frame, True) == (b'1 x\n2 "a b"\n', b"n name\n")
        assert text_of(7, True) == (b"", b"")


class TestRowFile:
    @given(order=st.permutations(range(12)), held=st.integers(0, 40))
    @settings(deadline=None, max_examples=40)
    def test_rows_are_in_order_whatever_order_they_come_in(self, tmp_path_factory, order, held):
        path = tmp_path_factory.getbasetemp() / "rows.txt"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows, "HELD_BYTES", held)
            out = RowFile(str(path))
            for index in order:
                out.put(index, f"row {index}\n".encode() * (index % 3), b"head\n")
            out.close()
        assert path.read_text() == "head\n" + "".join(f"row {i}\n" * (i % 3) for i in range(12))

    def test_what_has_come_is_kept_when_the_job_is_given_up(self, tmp_path):
        out = RowFile(str(tmp_path / "new" / "rows.txt"))
        out.put(2, b"two\n")
        out.put(0, b"zero\n")
        out.close()
        assert (tmp_path / "new" / "rows.txt").read_text() == "zero\ntwo\n"

    def test_a_folder_gets_the_name_that_azure_gives(self, tmp_path):
        RowFile(str(tmp_path)).close()
        assert (tmp_path / "parallel_run_step.txt").exists()
