from __future__ import annotations

import pandas as pd
import pytest

from lazward.execution.runtime.serve.legacy.frames import PandasParameterType as Pandas

SAMPLE = pd.DataFrame({"a": [1], "b": ["x"]})
FORMS = {
    "split": {"columns": ["a", "b"], "index": [0], "data": [[1, "x"]]},
    "records": [{"a": 1, "b": "x"}],
    "index": {"0": {"a": 1, "b": "x"}},
    "columns": {"a": {"0": 1}, "b": {"0": "x"}},
    "values": [[1, "x"]],
    "table": {"schema": {}, "data": [{"index": 0, "a": 1, "b": "x"}]},
}


@pytest.mark.parametrize("orient", FORMS)
def test_every_form_is_read(orient):
    frame = Pandas(SAMPLE, orient=orient, apply_column_names=orient == "values").deserialize_input(FORMS[orient])
    assert frame.to_dict("records") == [{"a": 1, "b": "x"}]
    schema = Pandas(SAMPLE, orient=orient).input_to_swagger()
    assert schema["format"] == f"pandas.DataFrame:{orient}"


def test_columns_get_the_types_of_the_sample():
    sample = pd.DataFrame({"t": [pd.Timestamp("2020-01-01")], "d": [pd.Timedelta("1s")], "f": [1.5]})
    frame = Pandas(sample).deserialize_input([{"t": "2021-02-03", "d": "2s", "f": 1}])
    assert [dtype.kind for dtype in frame.dtypes] == ["M", "m", "f"]


@pytest.mark.parametrize("value", [[{"a": 1}], [{"a": "x", "b": "y"}], 5, "x", [{"a": 1, "b": "x", "c": 1}]])
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(ValueError, match=r"\w"):
        Pandas(SAMPLE).deserialize_input(value)


def test_checks_may_be_turned_off():
    assert Pandas(SAMPLE, enforce_shape=False).deserialize_input([{"a": 1}]).shape == (1, 1)
    assert Pandas(SAMPLE, enforce_column_type=False).deserialize_input([{"a": "x", "b": 1}]).shape == (1, 2)


def test_wrong_samples_are_refused():
    with pytest.raises(TypeError, match="list"):
        Pandas([1])
    with pytest.raises(ValueError, match="bogus"):
        Pandas(SAMPLE, orient="bogus")
