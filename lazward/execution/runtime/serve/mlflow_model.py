"""A deployment without a scoring script: an MLflow model behind POST /score.

Input (JSON object), one of
- input_data: {"columns", "data", "index"?}, a list of records, a list of rows, or a dict of named tensors;
- dataframe_split, dataframe_records, instances, inputs: as MLflow's own server takes them;
and, if the model has some, `params`. Also text/csv with a header line. Output: a JSON list (records for a data frame).
"""

from __future__ import annotations

import inspect
import io
import json
import os
import time
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.utils import proto_json_utils

from . import timelimit
from .failures import short, traceback_text
from .logs import log
from .messages import Reply, Request, json_reply, message
from .settings import Settings
from .timelimit import ScoringTimeout

FORMS = ("input_data", "dataframe_split", "dataframe_records", "instances", "inputs")


class BadInput(Exception):
    """The request can not be read as input of the model."""


class MlflowModel:
    """A loaded pyfunc model; MLflow enforces its signature."""

    def __init__(self, model: Any, folder: str, timeout_s: float) -> None:
        self._model = model
        self._folder = folder
        self._timeout_s = timeout_s
        self._schema = model.metadata.get_input_schema()
        self._takes_params = "params" in inspect.signature(model.predict).parameters
        timelimit.prepare()

    def score(self, request: Request) -> Reply:
        if request.method == "OPTIONS":
            return Reply(200, b"", b"text/html; charset=utf-8")
        if request.method != "POST":
            return message(405, "A model is scored with POST.")
        try:
            data, params = self._read(request)
        except BadInput as error:
            return message(400, str(error))
        except (MlflowException, ValueError, TypeError, KeyError, OverflowError) as error:
            return message(400, f"The request does not fit the model: {short(error)}")
        started = time.perf_counter()
        try:
            arguments = {"params": params} if params is not None else {}
            result = timelimit.call(self._timeout_s, self._model.predict, data, **arguments)
            reply = json_reply(200, plain(result))
            reply.run_failed = False
        except MlflowException as error:
            reply = message(400, f"The request does not fit the model: {error.message}")
        except ScoringTimeout as error:
            log.error("predict() did not finish within %g ms\n%s", self._timeout_s * 1000, traceback_text(error))
            reply = message(500, f"Scoring timeout: the model did not answer within {self._timeout_s * 1000:g} ms.")
            reply.run_failed = True
        except (Exception, SystemExit) as error:
            log.error("predict() failed\n%s", traceback_text(error))
            reply = message(500, "The model failed. Its log holds the traceback.", error=short(error))
            reply.run_failed = True
        reply.run_ms = (time.perf_counter() - started) * 1000
        return reply

    def _read(self, request: Request) -> tuple[Any, dict[str, Any] | None]:
        """(data, params) of a request."""
        kind = (request.header(b"content-type") or "application/json").split(";")[0].strip().lower()
        if kind == "text/csv":
            return pd.read_csv(io.BytesIO(request.body)), None
        try:
            document = json.loads(request.body)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"The request body is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise BadInput(f"The request body must be a JSON object with one of the keys {', '.join(FORMS)}.")
        forms = [form for form in FORMS if form in document]
        if len(forms) != 1:
            found = f"it has {', '.join(sorted(map(str, document))) or 'none'}"
            raise BadInput(f"The request body must have exactly one of the keys {', '.join(FORMS)}; {found}.")
        params = document.get("params")
        if params is not None and not isinstance(params, dict):
            raise BadInput("params must be a JSON object.")
        if params is not None and not self._takes_params:
            raise BadInput("The MLflow version of this deployment has no params.")
        return self._data(forms[0], document), params

    def _data(self, form: str, document: dict[str, Any]) -> Any:
        value = document[form]
        if form == "dataframe_split":
            return self._frame(value, "split")
        if form == "dataframe_records":
            return self._frame(value, "records")
        if form in ("instances", "inputs"):
            return proto_json_utils.parse_tf_serving_input({form: value}, schema=self._schema)
        return self._input_data(value)

    def _input_data(self, value: Any) -> Any:
        if isinstance(value, dict) and "columns" in value and "data" in value:
            return self._frame(value, "split")
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return self._frame(value, "records")
        if not isinstance(value, (dict, list)):
            raise BadInput(f"input_data must be an object or a list, not {type(value).__name__}.")
        if self._schema is None or self._schema.is_tensor_spec():
            return proto_json_utils.parse_tf_serving_input({"inputs": value}, schema=self._schema)
        if isinstance(value, dict):
            columns = {name: item if isinstance(item, list) else [item] for name, item in value.items()}
            rows = [list(row) for row in zip(*columns.values())]
            return self._frame({"columns": list(columns), "data": rows}, "split")
        rows = [row if isinstance(row, list) else [row] for row in value]
        names = self._names(rows)
        return self._frame({"columns": names, "data": rows}, "split")

    def _names(self, rows: list[list[Any]]) -> list[Any]:
        """Column names for rows without any: those of the signature, in its order."""
        width = max((len(row) for row in rows), default=0)
        names = self._schema.input_names()
        if not names:
            return list(range(width))
        if rows and width != len(names):
            raise BadInput(f"A row has {width} values, but the model has {len(names)} columns: {', '.join(names)}.")
        return names

    def _frame(self, value: Any, orient: str) -> Any:
        if orient == "split":
            if not isinstance(value, dict) or not isinstance(value.get("data"), list) or "columns" not in value:
                raise BadInput('A data frame in split form is {"columns": [...], "data": [[...], ...]}.')
            value = {key: value[key] for key in ("columns", "index", "data") if key in value}
            if "index" in value and len(value["index"]) != len(value["data"]):
                raise BadInput(f"index has {len(value['index'])} entries, data has {len(value['data'])} rows.")
        elif not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise BadInput("A data frame in records form is a list of objects.")
        return proto_json_utils.dataframe_from_parsed_json(value, pandas_orient=orient, schema=self._schema)

    def swagger(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Schemas from the signature; the example is the one saved with the model, where there is one."""
        names = (self._schema.input_names() if self._schema else None) or []
        body: dict[str, Any] = {
            "type": "object",
            "required": ["input_data"],
            "properties": {
                "input_data": {
                    "type": "object",
                    "properties": {
                        "columns": {"type": "array", "items": {"type": "string"}},
                        "index": {"type": "array", "items": {"type": "integer"}},
                        "data": {"type": "array", "items": {"type": "array", "items": {}}},
                    },
                },
                "params": {"type": "object"},
            },
        }
        saved = self._saved_example()
        body["example"] = {"input_data": saved or {"columns": names, "index": [0], "data": [[None] * len(names)]}}
        return body, {"type": "array", "items": {}, "example": []}

    def _saved_example(self) -> Any:
        info = self._model.metadata.saved_input_example_info or {}
        path = os.path.realpath(os.path.join(self._folder, str(info.get("artifact_path", ""))))
        if info.get("type") != "dataframe" or not path.startswith(os.path.realpath(self._folder) + os.sep):
            return None
        try:
            with open(path) as file:
                return json.load(file)
        except (OSError, ValueError):
            return None


def load(settings: Settings) -> MlflowModel:
    """Loads the model in settings.mlflow_model, or the only one in a folder of it."""
    folder = find_model(settings.mlflow_model or "")
    log.info("Loading the MLflow model in %s with mlflow %s", folder, mlflow.__version__)
    model = mlflow.pyfunc.load_model(folder)
    return MlflowModel(model, folder, settings.scoring_timeout_s)


def find_model(root: str) -> str:
    """The folder that holds MLmodel: root or one folder in it. Raises FileNotFoundError."""
    if os.path.isfile(os.path.join(root, "MLmodel")):
        return root
    inner = [entry.path for entry in os.scandir(root) if entry.is_dir()] if os.path.isdir(root) else []
    found = [path for path in sorted(inner) if os.path.isfile(os.path.join(path, "MLmodel"))]
    if len(found) != 1:
        raise FileNotFoundError(f"there {'are several files' if found else 'is no file'} MLmodel in {root} or its folders")
    return found[0]


def plain(value: Any) -> Any:
    """A prediction as what JSON can hold: arrays and series as lists, frames as lists of records."""
    if isinstance(value, pd.DataFrame):
        return [{str(name): plain(item) for name, item in row.items()} for row in value.to_dict(orient="records")]
    if isinstance(value, (pd.Series, pd.Index)):
        return plain(value.tolist())
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind in "biufU" else plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    if value is pd.NaT:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "toarray"):  # scipy's sparse matrices
        return plain(value.toarray())
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    raise TypeError(f"a prediction of type {type(value).__name__} can not be sent as JSON")
