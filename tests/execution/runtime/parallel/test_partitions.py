from __future__ import annotations

import datetime

import pytest

from lazward.execution.runtime.parallel.partitions import Format, folder_keys
from lazward.execution.runtime.parallel.refused import Refused


class TestFormat:
    def test_matches_the_end_of_a_path(self):
        form = Format("{Store}/{Brand}/{file_name}.{extension}")
        assert form.values("/data/in/1000/tropicana/part.csv") == {"Store": "1000", "Brand": "tropicana", "file_name": "part", "extension": "csv"}
        assert form.values("part.csv") is None

    def test_text_around_columns_and_a_slash_in_front(self):
        assert Format("/country={country}/v(1)/{n}.csv").values("a/country=nl/v(1)/7.csv") == {"country": "nl", "n": "7"}
        assert Format("b-{n}.csv").values("a/bb-1.csv") is None

    def test_dates(self):
        form = Format("{country}/{when:yyyy/MM/dd}/data.csv")
        assert form.values("x/USA/2019/01/31/data.csv") == {"country": "USA", "when": "2019/01/31"}
        assert form.typed("x/USA/2019/01/31/data.csv") == {"country": "USA", "when": datetime.datetime(2019, 1, 31)}  # noqa: DTZ001
        assert Format("{t:yyyyMMdd-HHmmss}.csv").typed("20190131-235901.csv") == {"t": datetime.datetime(2019, 1, 31, 23, 59, 1)}  # noqa: DTZ001
        assert form.values("x/USA/2019/1/31/data.csv") is None

    @pytest.mark.parametrize("text", ["a/b.csv", "{when:soon}/b.csv"])
    def test_no_format(self, text):
        with pytest.raises(Refused):
            Format(text)


class TestFolders:
    def test_named_or_by_level(self):
        assert folder_keys("b=2/a=1/f", ["a", "b"]) == {"a": "1", "b": "2"}
        assert folder_keys("x/y/deep/f", ["a", "b"]) == {"a": "x", "b": "y"}
        assert folder_keys("x/f", ["a", "b"]) is None
        assert folder_keys("a=1/f", ["c"]) is None
