"""inference-schema's parameter type for pandas data frames."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from .parameters import AbstractParameterType, _describe

ORIENTS = ("split", "records", "index", "columns", "values", "table")


class PandasParameterType(AbstractParameterType):
    """A frame in one of pandas' JSON forms. Columns and their types are those of the sample unless told not to be enforced."""

    def __init__(
        self,
        sample_input: Any,
        enforce_column_type: bool = True,
        enforce_shape: bool = True,
        apply_column_names: bool = False,
        orient: str = "records",
    ) -> None:
        if not isinstance(sample_input, pd.DataFrame):
            raise TypeError(f"the sample of a PandasParameterType must be a DataFrame, not {type(sample_input).__name__}")
        if orient not in ORIENTS:
            raise ValueError(f"orient must be one of {', '.join(ORIENTS)}, not {orient!r}")
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape
        self.apply_column_names = apply_column_names
        self.orient = orient

    def deserialize_input(self, input_data: Any) -> Any:
        if isinstance(input_data, pd.DataFrame):
            return input_data
        frame = self._read(input_data)
        sample = self.sample_input
        if self.apply_column_names:
            frame.columns = sample.columns.copy()
        if self.enforce_shape and frame.shape[1] != sample.shape[1]:
            raise ValueError(f"expected {sample.shape[1]} columns, got {frame.shape[1]}")
        if self.enforce_column_type:
            for column in frame.columns:
                if column in sample.columns and frame[column].dtype != sample[column].dtype:
                    frame[column] = _cast(frame[column], sample[column].dtype)
        return frame

    def _read(self, value: Any) -> Any:
        wanted = dict if self.orient in ("split", "index", "table") else (list, dict)
        if not isinstance(value, wanted):
            raise ValueError(f"expected a data frame as orient={self.orient!r} has it, got {type(value).__name__}")
        if not isinstance(value, dict):
            return pd.DataFrame(value)
        if self.orient == "split":
            return pd.DataFrame(value["data"], index=value.get("index"), columns=value["columns"])
        if self.orient == "index":
            return pd.DataFrame.from_dict(value, orient="index")
        if self.orient == "table":
            rows = pd.DataFrame(value["data"])
            return rows.drop(columns=[c for c in rows.columns if c not in self.sample_input.columns])
        return pd.DataFrame(value)

    def input_to_swagger(self) -> dict[str, Any]:
        text = self.sample_input.to_json(orient=self.orient, date_format="iso")
        sample = json.loads(text)
        return {**_describe(sample), "format": f"pandas.DataFrame:{self.orient}", "example": sample}


def _cast(column: Any, dtype: Any) -> Any:
    try:
        if dtype.kind == "M":
            return pd.to_datetime(column).astype(dtype)
        if dtype.kind == "m":
            return pd.to_timedelta(column).astype(dtype)
        return column.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {column.name!r} is not {dtype}: {error}") from None
