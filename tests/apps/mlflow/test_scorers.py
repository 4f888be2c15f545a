from __future__ import annotations

import json

import pytest

from tests.apps.tracking_app import PLAIN, PLUGIN

API = "/api/3.0/mlflow/"


async def ask(app, method, path, /, *, prefix=PLAIN, **body):
    async with app.client() as client:
        answer = await (client.get(prefix + API + path, params=body) if method == "GET" else client.request(method, prefix + API + path, json=body))
    return answer.status_code, answer.json()


JUDGE = json.dumps({"name": "j", "instructions_judge_pydantic_data": {"instructions": "ok?", "model": "openai:/gpt"}})
GATEWAY = JUDGE.replace("openai:/gpt", "gateway:/x")


async def register(app, name="j", body=JUDGE, experiment="0"):
    status, answer = await ask(app, "POST", "scorers/register", experiment_id=experiment, name=name, serialized_scorer=body)
    assert status == 200, answer
    return answer


async def test_a_scorer_as_clients_read_it(app):
    made = await register(app)
    assert (made["version"], made["experiment_id"], made["name"], made["serialized_scorer"]) == (1, "0", "j", JUDGE)
    await register(app)
    for prefix in (PLAIN, PLUGIN):
        _, answer = await ask(app, "GET", "scorers/get", prefix=prefix, experiment_id="0", name="j")
        assert (answer["scorer"]["scorer_version"], answer["scorer"]["scorer_id"], answer["scorer"]["experiment_id"]) == (2, made["scorer_id"], 0)
    assert (await ask(app, "GET", "scorers/get", experiment_id="0", name="j", version=1))[1]["scorer"]["scorer_version"] == 1
    assert [one["scorer_version"] for one in (await ask(app, "GET", "scorers/versions", experiment_id="0", name="j"))[1]["scorers"]] == [1, 2]
    for more in ({"experiment_id": "0"}, {"experiment_ids": ["0", "none"]}, {"experiment_ids": "0"}, {}):
        assert [one["scorer_version"] for one in (await ask(app, "GET", "scorers/list", **more))[1]["scorers"]] == [2], more
    assert await ask(app, "DELETE", "scorers/delete", experiment_id="0", name="j") == (200, {})


async def test_an_experiment_of_ones_own_is_told_by_its_number(app):
    """The protobuf has room for an integer only: clients must be able to read the answer."""
    async with app.client() as client:
        made = (await client.post(PLAIN + "/api/2.0/mlflow/experiments/create", json={"name": "e"})).json()["experiment_id"]
    assert (await register(app, experiment=made))["experiment_id"] == made
    assert isinstance((await ask(app, "GET", "scorers/get", experiment_id=made, name="j"))[1]["scorer"]["experiment_id"], int)


async def test_settings_for_scoring_as_traces_come(app):
    made = await register(app)
    _, answer = await ask(app, "PUT", "scorers/online-config", experiment_id="0", name="j", sample_rate=0, filter_string="status = 'OK'")
    assert (answer["config"]["sample_rate"], answer["config"]["filter_string"], answer["config"]["scorer_id"]) == (0.0, "status = 'OK'", made["scorer_id"])
    assert (await ask(app, "GET", "scorers/online-configs", scorer_ids=made["scorer_id"]))[1]["configs"] == [answer["config"]]
    status, refused = await ask(app, "PUT", "scorers/online-config", experiment_id="0", name="j", sample_rate=0.5)
    assert (status, "gateway" in refused["message"]) == (400, True)
    await register(app, "g", GATEWAY)
    status, refused = await ask(app, "PUT", "scorers/online-config", experiment_id="0", name="g", sample_rate=0.5)
    assert (status, refused["error_code"]) == (501, "NOT_IMPLEMENTED")  # it would be a promise that nobody keeps
    assert (await ask(app, "GET", "scorers/online-configs", scorer_ids=["a", "b"]))[1] == {"configs": []}


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("POST", "register", {"experiment_id": "0", "name": "n"}, 400), ("POST", "register", {"experiment_id": "none", "name": "n", "serialized_scorer": "{}"}, 404),
    ("POST", "register", {"experiment_id": "0", "name": " ", "serialized_scorer": "{}"}, 400), ("POST", "register", {"experiment_id": "0", "name": "n", "serialized_scorer": '{"call_source": "x"}'}, 400),
    ("GET", "list", {"experiment_id": "0", "experiment_ids": ["0"]}, 400), ("GET", "list", {"experiment_id": "none"}, 404), ("GET", "get", {"experiment_id": "0", "name": "none"}, 404),
    ("GET", "get", {"experiment_id": "0", "name": "n", "version": "x"}, 400), ("GET", "versions", {"experiment_id": "0"}, 400), ("DELETE", "delete", {"experiment_id": "0", "name": "none"}, 404),
    ("GET", "online-configs", {}, 400), ("PUT", "online-config", {"experiment_id": "0", "name": "none", "sample_rate": 0}, 404), ("PUT", "online-config", {"experiment_id": "0", "name": "n", "sample_rate": 2}, 400),
])
async def test_refusals(app, method, path, body, status):
    got, answer = await ask(app, method, f"scorers/{path}", **body)
    assert (got, answer["error_code"]) == (status, "INVALID_PARAMETER_VALUE" if status == 400 else "RESOURCE_DOES_NOT_EXIST")
