from __future__ import annotations

import json

import pandas as pd
import pytest

from lazward.execution.runtime.serve.legacy.collector import COLLECT_DIR, BasicCorrelationContext, Collector


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_inputs_and_outputs_of_a_request_share_an_id(tmp_path, monkeypatch):
    monkeypatch.setenv(COLLECT_DIR, str(tmp_path / "collected"))
    context = Collector(name="model_inputs").collect(pd.DataFrame({"a": [1, 2]}))
    Collector(name="model_outputs").collect(pd.DataFrame({"b": [0.5]}), context)
    (inputs,) = lines(tmp_path / "collected" / "model_inputs.jsonl")
    (outputs,) = lines(tmp_path / "collected" / "model_outputs.jsonl")
    assert inputs["data"] == [{"a": 1}, {"a": 2}]
    assert inputs["correlationid"] == outputs["correlationid"] == context.id
    assert inputs["type"] == "azureml.inference.model_inputs"
    assert BasicCorrelationContext(id="mine").id == "mine"


def test_without_a_folder_nothing_is_kept(monkeypatch):
    monkeypatch.delenv(COLLECT_DIR, raising=False)
    assert Collector(name="model_inputs").collect("anything").id


def test_errors_go_to_the_callback(tmp_path, monkeypatch):
    monkeypatch.setenv(COLLECT_DIR, str(tmp_path))
    errors = []
    Collector(name="model_inputs", on_error=errors.append).collect("no frame")
    assert "DataFrame" in str(errors[0])
    Collector(name="model_inputs").collect("no frame")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\0"])
def test_a_name_is_no_path(name):
    with pytest.raises(ValueError, match="name"):
        Collector(name=name)
