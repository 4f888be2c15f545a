from __future__ import annotations

import pytest

from tests.apps.tracking_app import PLAIN, PLUGIN
from tests.storage.tracking_data import WORKSPACE, make_run

API = "/api/2.0/mlflow/logged-models"


async def request(app, method, path, /, *, prefix=PLAIN, **body):
    async with app.client() as client:
        answer = await (client.get(prefix + API + path, params=body) if method == "GET" else client.request(method, prefix + API + path, json=body))
    return answer.status_code, answer.json()


async def test_a_life(app):
    make_run(app.db, "r1")
    params = [{"key": "estimator__C", "value": "1"}, {"key": "weird key!", "value": "2"}]
    _, made = await request(app, "POST", "", experiment_id="0", name="clf", source_run_id="r1", model_type="cls", params=params, tags=[{"key": "a", "value": "b"}])
    info = made["model"]["info"]
    assert (info["status"], info["name"], info["source_run_id"], info["model_type"]) == ("LOGGED_MODEL_PENDING", "clf", "r1", "cls")
    assert info["artifact_uri"] == f"mlflow-artifacts:/{info['model_id']}/artifacts"
    assert made["model"]["data"]["params"] == params
    one = f"/{info['model_id']}"
    _, found = await request(app, "GET", one, prefix=PLUGIN)
    assert found["model"]["info"]["artifact_uri"] == f"azureml://localhost:8443{WORKSPACE}/experiments/0/runs/{info['model_id']}/artifacts"
    for status in ("LOGGED_MODEL_READY", 2):
        _, found = await request(app, "PATCH", one, model_id=info["model_id"], status=status)
        assert found["model"]["info"]["status"] == "LOGGED_MODEL_READY"
    assert (await request(app, "POST", f"{one}/params", params=[{"key": "x", "value": "y"}]))[0] == 200
    assert (await request(app, "PATCH", f"{one}/tags", tags=[{"key": "c", "value": "d"}]))[0] == 200
    assert (await request(app, "DELETE", f"{one}/tags/a"))[0] == 200
    _, found = await request(app, "POST", "/search", experiment_ids=["0"], filter="params.x = 'y' AND tags.c = 'd'", order_by=[{"field_name": "name", "ascending": False}])
    assert [m["info"]["model_id"] for m in found["models"]] == [info["model_id"]]
    assert (await request(app, "DELETE", one))[0] == 200
    assert (await request(app, "GET", one))[0] == 404
    assert (await request(app, "GET", one, allow_deleted="true"))[1]["model"]["info"]["model_id"] == info["model_id"]


async def test_names_are_made_up_when_none_is_given(app):
    _, made = await request(app, "POST", "", experiment_id="0")
    assert made["model"]["info"]["name"].startswith("model-")


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "", {}), ("POST", "", {"experiment_id": "0", "name": "a/b"}), ("POST", "", {"experiment_id": "0", "params": [{"value": "x"}]}), ("POST", "", {"experiment_id": "0", "source_run_id": "../x"}),
    ("POST", "/search", {"experiment_ids": ["0"], "order_by": ["name"]}), ("POST", "/search", {"experiment_ids": ["0"], "order_by": [{"field_name": "params.x"}]}),
    ("POST", "/search", {"experiment_ids": ["0"], "datasets": [{}]}), ("POST", "/search", {"experiment_ids": ["0"], "filter": "nothing = 1"}), ("POST", "/search", {"experiment_ids": "0"}),
    ("POST", "/search", {"experiment_ids": ["0"], "page_token": "x"}),
])
async def test_refusals(app, method, path, body):
    make_run(app.db, "r1")
    status, answer = await request(app, method, path, **body)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_statuses_that_are_none(app):
    _, made = await request(app, "POST", "", experiment_id="0")
    for status in (None, 0, 9, "READY"):
        assert (await request(app, "PATCH", f"/{made['model']['info']['model_id']}", status=status))[0] == 400
    assert (await request(app, "PATCH", "/m-none", status=2))[0] == 404
