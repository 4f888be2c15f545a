from __future__ import annotations

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

from lazward.execution.runtime.serve.messages import Request
from lazward.execution.runtime.serve.mlflow_model import find_model, load, plain
from lazward.execution.runtime.serve.settings import Settings

COLUMNS = ["age", "income", "city"]


class Sums(mlflow.pyfunc.PythonModel):
    """Rows of numbers to their sum; `params` may scale it."""

    def predict(self, context, model_input, params=None):
        frame = model_input
        if (frame["age"] == 666).any():
            raise RuntimeError("the model broke")
        assert str(frame["income"].dtype) == "float64"
        return (frame["age"] + frame["income"]) * (params or {}).get("factor", 1.0)


class Shapes(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        data = model_input if isinstance(model_input, dict) else {"": model_input}
        return {name: [str(np.asarray(value).dtype), list(np.asarray(value).shape)] for name, value in data.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """models[name] -> a loaded model: with columns, with a tensor, without signature."""
    root = tmp_path_factory.mktemp("models")
    sample = pd.DataFrame({"age": [1, 2], "income": [1.5, 2.5], "city": ["a", "b"]})
    columns = infer_signature(sample, np.array([1.0]), params={"factor": 1.0})
    tensor = infer_signature(np.zeros((2, 3), dtype="float32"))
    needs = {"pip_requirements": ["mlflow"]}  # else MLflow runs a process to find them out
    mlflow.pyfunc.save_model(str(root / "columns"), python_model=Sums(), signature=columns, input_example=sample, **needs)
    mlflow.pyfunc.save_model(str(root / "tensor"), python_model=Shapes(), signature=tensor, **needs)
    mlflow.pyfunc.save_model(str(root / "free"), python_model=Shapes(), **needs)
    env = {"LAZWARD_SERVE_SOCKET": "s", "LAZWARD_SERVE_STATE": "s"}
    return {
        name: load(Settings.read({**env, "LAZWARD_SERVE_MLFLOW_MODEL": str(root / name)}))
        for name in ("columns", "tensor", "free")
    }


def score(model, document, kind=b"application/json", method="POST"):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    reply = model.score(Request(method, "/score", b"", [(b"content-type", kind)], body, {}))
    return reply.status, json.loads(reply.body)


ROWS = [[1, 2, "x"], [3, 4, "y"]]
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
SPLIT = {"columns": COLUMNS, "data": ROWS}


@pytest.mark.parametrize(
    "document",
    [
        {"input_data": {**SPLIT, "index": [0, 1]}},
        {"input_data": SPLIT},
        {"input_data": {"columns": COLUMNS[::-1], "data": [row[::-1] for row in ROWS]}},
        {"input_data": RECORDS},
        {"input_data": ROWS},
        {"input_data": {"age": [1, 3], "income": [2, 4], "city": ["x", "y"]}},
        {"dataframe_split": SPLIT},
        {"dataframe_records": RECORDS},
        {"instances": RECORDS},
        {"inputs": {"age": [1, 3], "income": [2.0, 4.0], "city": ["x", "y"]}},
    ],
    ids=lambda document: f"{next(iter(document))}-{type(next(iter(document.values()))).__name__}",
)
def test_all_forms_of_a_data_frame_are_the_same(models, document):
    assert score(models["columns"], document) == (200, [3.0, 7.0])


def test_csv_and_params(models):
    csv = b"age,income,city\n1,2.0,x\n3,4.0,y\n"
    assert score(models["columns"], csv, b"text/csv; charset=utf-8") == (200, [3.0, 7.0])
    assert score(models["columns"], {"input_data": SPLIT, "params": {"factor": 2.0}}) == (200, [6.0, 14.0])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "not JSON"),
        (b"[1]", "JSON object"),
        ({}, "it has none"),
        ({"data": []}, "it has data"),
        ({"input_data": [], "inputs": []}, "exactly one"),
        ({"input_data": "x"}, "must be an object or a list"),
        ({"input_data": {"columns": COLUMNS[:2], "data": [[1, 2]]}}, "city"),
        ({"input_data": [[1, 2]]}, "3 columns"),
        ({"input_data": {"columns": COLUMNS, "data": [[1, "much", "x"]]}}, "income"),
        ({"input_data": {"columns": COLUMNS, "index": [0], "data": ROWS}}, "index has 1"),
        ({"dataframe_split": {"columns": COLUMNS}}, "split form"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "does not fit"),
        ({"dataframe_records": [1]}, "list of objects"),
        ({"input_data": SPLIT, "params": 5}, "params"),
        ({"input_data": SPLIT, "params": {"factor": "x"}}, "factor"),
    ],
)
def test_input_that_does_not_fit_is_400_with_the_reason(models, document, said):
    status, answer = score(models["columns"], document)
    assert (status, list(answer)) == (400, ["message"])
    assert said in answer["message"]


def test_a_failure_of_the_model_is_500(models):
    status, answer = score(models["columns"], {"input_data": [[666, 1.0, "x"]]})
    assert (status, answer["error"]["message"]) == (500, "RuntimeError: the model broke")


def test_tensors_have_the_type_of_the_signature(models):
    assert score(models["tensor"], {"input_data": [[1, 2, 3]]}) == (200, {"": ["float32", [1, 3]]})
    assert score(models["tensor"], {"inputs": [[1, 2, 3]]})[0] == 200
    status, answer = score(models["tensor"], {"input_data": [[1, 2]]})
    assert (status, "(-1, 3)" in answer["message"]) == (400, True)


def test_without_signature_the_input_is_passed_on(models):
    assert score(models["free"], {"input_data": {"x": [1, 2], "y": [[1.5]]}})[1] == {"x": ["int64", [2]], "y": ["float64", [1, 1]]}
    assert score(models["free"], {"input_data": {"columns": ["a"], "data": [[1]]}})[0] == 200


def test_other_methods(models):
    assert score(models["columns"], b"", method="GET")[0] == 405
    assert models["columns"].score(Request("OPTIONS", "/score", b"", [], b"", {})).status == 200


def test_swagger_shows_the_saved_example(models):
    body, _ = models["columns"].swagger()
    assert body["example"]["input_data"]["columns"] == COLUMNS
    assert models["free"].swagger()[0]["example"]["input_data"]["columns"] == []


def test_a_model_is_found_in_the_folder_or_one_below(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file MLmodel"):
        find_model(str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").touch()
    assert find_model(str(tmp_path)) == str(tmp_path / "model")
    assert find_model(str(tmp_path / "model")) == str(tmp_path / "model")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "MLmodel").touch()
    with pytest.raises(FileNotFoundError, match="several"):
        find_model(str(tmp_path))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[1, 2]]), [[1, 2]]),
        (np.float32(1.5), 1.5),
        (pd.Series([1, 2]), [1, 2]),
        (pd.DataFrame({"a": [1], 2: ["x"]}), [{"a": 1, "2": "x"}]),
        ({"a": np.array([1])}, {"a": [1]}),
        ([np.int64(1), (2,)], [1, [2]]),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), ["2020-01-01"]),
        (pd.Timestamp("2020-01-01"), "2020-01-01T00:00:00"),
        (pd.NaT, None),
        ("text", "text"),
        (None, None),
        (np.bool_(True), True),
    ],
)
def test_predictions_become_plain_json(value, expected):
    assert plain(value) == expected


def test_an_unknown_prediction_is_named():
    with pytest.raises(TypeError, match="object"):
        plain(object())
