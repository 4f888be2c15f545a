"""What is answered while the server is away has the shape that MLflow reads, and says what was logged."""

from __future__ import annotations

import pytest

from lazward_mlflow import known
from lazward_mlflow.known import Known
from tests.lazward_mlflow.standin import BASE

OWN = "ab" * 16


@pytest.fixture
def facts() -> Known:
    return Known(BASE, {})


def run(facts: Known) -> dict:
    answer = facts.answer("runs/get", {"run_id": OWN})
    assert answer
    return answer["run"]


def test_a_run_of_our_own(facts):
    made = facts.log("runs/create", {"experiment_id": "7", "start_time": 5, "user_id": "u", "tags": [{"key": "a", "value": "1"}], "run_name": "n"}, OWN)["run"]
    assert made["info"] == {
        "run_id": OWN, "run_uuid": OWN, "run_name": "n", "experiment_id": "7", "user_id": "u", "status": "RUNNING", "start_time": 5, "lifecycle_stage": "active",
        "artifact_uri": f"{BASE}/api/2.0/mlflow-artifacts/artifacts/{OWN}/artifacts",
    }
    about = {"run_id": OWN}
    for step in (3, 1, 2):
        facts.log("runs/log-metric", {**about, "key": "m", "value": step * 1.5, "step": step, "timestamp": 1})
    facts.log("runs/log-batch", {**about, "metrics": [{"key": "x", "value": "NaN", "timestamp": 1}], "params": [{"key": "p", "value": "v"}], "tags": [{"key": "t", "value": "1"}]})
    facts.log("runs/log-parameter", {**about, "key": "p", "value": "other"})
    facts.log("runs/set-tag", {**about, "key": "a", "value": "2"})
    facts.log("runs/delete-tag", {**about, "key": "t"})
    facts.log("runs/outputs", {**about, "models": [{"model_id": "m-1", "step": 0}]})
    data = run(facts)["data"]
    assert {m["key"]: m["value"] for m in data["metrics"]} == {"m": 4.5, "x": "NaN"}
    assert data["params"] == [{"key": "p", "value": "v"}]
    assert {t["key"]: t["value"] for t in data["tags"]} == {"a": "2", "mlflow.runName": "n"}
    assert run(facts)["outputs"] == {"model_outputs": [{"model_id": "m-1", "step": 0}]}
    ended = facts.log("runs/update", {**about, "status": "FINISHED", "end_time": 9, "run_name": "new"})["run_info"]
    assert (ended["status"], ended["end_time"], ended["run_name"]) == ("FINISHED", 9, "new")
    assert "end_time" not in facts.log("runs/update", {**about, "status": 1})["run_info"]


def test_a_run_of_the_server_goes_on_from_what_it_said(facts):
    given = {"info": {"run_id": OWN, "status": "RUNNING", "artifact_uri": "azureml://x"}, "data": {"params": [{"key": "p", "value": "1"}], "tags": [], "metrics": []}}
    facts.learn("runs/get", {"run": given})
    facts.log("runs/log-parameter", {"run_id": OWN, "key": "q", "value": "2"})
    assert run(facts)["info"]["artifact_uri"] == "azureml://x"
    assert run(facts)["data"]["params"] == [{"key": "p", "value": "1"}, {"key": "q", "value": "2"}]


def test_experiments(facts):
    assert facts.answer("experiments/get-by-name", {"experiment_name": "e"}) is None
    facts.log("experiments/create", {"name": "e"}, "guid")
    for name, query in (("experiments/get-by-name", {"experiment_name": "e"}), ("experiments/get", {"experiment_id": "guid"})):
        answer = facts.answer(name, query)
        assert answer and (answer["experiment"]["experiment_id"], answer["experiment"]["name"]) == ("guid", "e")
    default = facts.answer("experiments/get-by-name", {"experiment_name": "Default"})
    assert default and default["experiment"]["experiment_id"] == "0"
    facts.learn("experiments/get", {"experiment": {"experiment_id": "5", "name": "five"}})
    assert facts.answer("experiments/get-by-name", {"experiment_name": "five"})
    assert facts.answer("experiments/get", {"experiment_id": "6"}) is None


def test_what_a_job_names_is_there(facts):
    facts = Known(BASE, {"MLFLOW_RUN_ID": "job_1", "MLFLOW_EXPERIMENT_ID": "e1", "MLFLOW_EXPERIMENT_NAME": "train"})
    answer = facts.answer("runs/get", {"run_id": "job_1"})
    assert answer and (answer["run"]["info"]["experiment_id"], answer["run"]["info"]["status"]) == ("e1", "RUNNING")
    assert facts.answer("runs/get", {"run_id": "job_2"}) is None
    for query in ({"experiment_id": "e1"}, {"experiment_name": "train"}):
        found = facts.answer("experiments/get" if "experiment_id" in query else "experiments/get-by-name", query)
        assert found and (found["experiment"]["experiment_id"], found["experiment"]["name"]) == ("e1", "train")


def test_a_logged_model(facts):
    own = "m-" + OWN
    made = facts.log("logged-models", {"experiment_id": "0", "name": "net", "params": [{"key": "a", "value": "1"}]}, own)["model"]
    assert (made["info"]["model_id"], made["info"]["status"]) == (own, "LOGGED_MODEL_PENDING")
    facts.log(f"logged-models/{own}/params", {"params": [{"key": "b", "value": "2"}]})
    facts.log(f"logged-models/{own}/tags", {"tags": [{"key": "t", "value": "x"}]})
    ready = facts.log(f"logged-models/{own}", {"status": "LOGGED_MODEL_READY"})["model"]
    assert (ready["info"]["status"], ready["info"]["tags"], len(ready["data"]["params"])) == ("LOGGED_MODEL_READY", [{"key": "t", "value": "x"}], 2)
    assert facts.answer(f"logged-models/{own}", {}) == {"model": ready}
    assert facts.answer("logged-models/m-other", {}) is None


def test_traces_say_where_their_spans_go(facts):
    info = {"trace_id": "tr-1", "trace_location": {"mlflow_experiment": {"experiment_id": "3"}}, "tags": {"a": "b"}}
    told = facts.log("traces", {"trace": {"trace_info": info}})["trace"]["trace_info"]
    assert told["tags"]["mlflow.artifactLocation"].startswith(BASE) and told["tags"]["a"] == "b"
    older = facts.log("traces", {"experiment_id": "3", "timestamp_ms": 1}, "tr-2")["trace_info"]
    assert older["request_id"] == "tr-2"


def test_a_process_of_many_runs_remembers_the_last_ones(facts, monkeypatch):
    monkeypatch.setattr(known, "MOST", 3)
    for n in range(5):
        facts.log("runs/create", {}, f"run{n}")
    assert list(facts.runs) == ["run2", "run3", "run4"]
