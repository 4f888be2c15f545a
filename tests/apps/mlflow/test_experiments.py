from __future__ import annotations

import pytest

from tests.apps.tracking_app import PLAIN

API = PLAIN + "/api/2.0/mlflow/experiments/"


async def call(app, method, name, /, **body):
    async with app.client() as client:
        answer = await (client.get(API + name, params=body) if method == "GET" else client.post(API + name, json=body))
    return answer.status_code, answer.json()


async def test_a_life(app):
    _, made = await call(app, "POST", "create", name="a", tags=[{"key": "t", "value": "1"}])
    id_ = made["experiment_id"]
    _, found = await call(app, "GET", "get", experiment_id=id_)
    assert found["experiment"] == {
        "experiment_id": id_, "name": "a", "artifact_location": f"mlflow-artifacts:/{id_}", "lifecycle_stage": "active", "last_update_time": 1_800_000_000_000,
        "creation_time": 1_800_000_000_000, "tags": [{"key": "t", "value": "1"}],
    }
    for name, body in (("update", {"new_name": "b"}), ("set-experiment-tag", {"key": "x", "value": "y"}), ("delete-experiment-tag", {"key": "t"}), ("delete", {}), ("restore", {})):
        assert await call(app, "POST", name, experiment_id=id_, **body) == (200, {})
    _, found = await call(app, "GET", "get-by-name", experiment_name="b")
    assert (found["experiment"]["experiment_id"], found["experiment"]["tags"]) == (id_, [{"key": "x", "value": "y"}])


async def test_the_default_one_is_always_there(app):
    assert (await call(app, "GET", "get-by-name", experiment_name="Default"))[1]["experiment"]["experiment_id"] == "0"
    assert [e["name"] for e in (await call(app, "POST", "search", max_results=10))[1]["experiments"]] == ["Default"]


async def test_artifacts_in_a_store_of_ones_own(app):
    _, made = await call(app, "POST", "create", name="a", artifact_location="s3://bucket/mine/")
    async with app.client() as client:
        run = (await client.post(PLAIN + "/api/2.0/mlflow/runs/create", json={"experiment_id": made["experiment_id"]})).json()["run"]["info"]
        assert run["artifact_uri"] == f"s3://bucket/mine/{run['run_id']}/artifacts"
        answer = await client.get(f"{PLAIN}/api/2.0/mlflow/artifacts/list?run_id={run['run_id']}")
        assert answer.status_code == 400
        assert "s3://bucket/mine" in answer.json()["message"]


@pytest.mark.parametrize(("method", "name", "body", "code"), [
    ("POST", "create", {}, "INVALID_PARAMETER_VALUE"), ("POST", "create", {"name": ""}, "INVALID_PARAMETER_VALUE"), ("POST", "create", {"name": "x" * 501}, "INVALID_PARAMETER_VALUE"),
    ("POST", "create", {"name": "Default"}, "RESOURCE_ALREADY_EXISTS"), ("POST", "create", {"name": "a", "artifact_location": "file:///etc"}, "INVALID_PARAMETER_VALUE"),
    ("POST", "create", {"name": "a", "tags": {"k": "v"}}, "INVALID_PARAMETER_VALUE"), ("GET", "get", {}, "INVALID_PARAMETER_VALUE"), ("GET", "get", {"experiment_id": "7"}, "RESOURCE_DOES_NOT_EXIST"),
    ("GET", "get-by-name", {"experiment_name": "none"}, "RESOURCE_DOES_NOT_EXIST"), ("POST", "delete", {"experiment_id": "7"}, "RESOURCE_DOES_NOT_EXIST"),
    ("POST", "search", {"max_results": 0}, "INVALID_PARAMETER_VALUE"), ("POST", "search", {"max_results": 50_001}, "INVALID_PARAMETER_VALUE"), ("POST", "search", {"view_type": "SOME"}, "INVALID_PARAMETER_VALUE"),
    ("POST", "search", {"filter": "metrics.a > 1"}, "INVALID_PARAMETER_VALUE"), ("POST", "search", {"order_by": ["tags.a"]}, "INVALID_PARAMETER_VALUE"), ("POST", "search", {"order_by": "name"}, "INVALID_PARAMETER_VALUE"),
])
async def test_refusals(app, method, name, body, code):
    status, answer = await call(app, method, name, **body)
    assert (status, answer["error_code"]) == ({"RESOURCE_DOES_NOT_EXIST": 404}.get(code, 400), code)


async def test_datasets_of_an_experiment(app):
    async with app.client() as client:
        run = (await client.post(PLAIN + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"})).json()["run"]["info"]["run_id"]
        data = {"dataset": {"name": "iris", "digest": "d", "source_type": "local", "source": "{}"}, "tags": [{"key": "mlflow.data.context", "value": "eval"}]}
        assert (await client.post(PLAIN + "/api/2.0/mlflow/runs/log-inputs", json={"run_id": run, "datasets": [data]})).status_code == 200
    assert (await call(app, "POST", "search-datasets", experiment_ids=["0"]))[1] == {"dataset_summaries": [{"experiment_id": "0", "name": "iris", "digest": "d", "context": "eval"}]}
