from __future__ import annotations

import pytest

from tests.apps.tracking_app import PLAIN, PLUGIN

API = "/api/3.0/mlflow/"


async def ask(app, method, path, /, *, prefix=PLAIN, **body):
    async with app.client() as client:
        answer = await (client.get(prefix + API + path, params=body) if method == "GET" else client.request(method, prefix + API + path, json=body))
    return answer.status_code, answer.json()


async def make(app, name="q", **more):
    status, answer = await ask(app, "POST", "label-schemas/create", **{"experiment_id": "0", "name": name, "type": "FEEDBACK", "input": {"pass_fail": {"positive_label": "Good", "negative_label": "Bad"}}, **more})
    assert status == 200, answer
    return answer["label_schema"]


async def test_a_question_as_clients_read_it(app):
    made = await make(app, instruction="Look", enable_comment=True)
    assert (made["type"], made["input"], made["enable_comment"], made["instruction"], made["is_default"], made["experiment_id"]) == ("FEEDBACK", {"pass_fail": {"positive_label": "Good", "negative_label": "Bad"}}, True, "Look", False, "0")
    for prefix in (PLAIN, PLUGIN):
        assert (await ask(app, "GET", "label-schemas/get", prefix=prefix, schema_id=made["schema_id"]))[1]["label_schema"] == made
    assert (await ask(app, "GET", "label-schemas/get-by-name", experiment_id="0", name="q"))[1]["label_schema"] == made
    _, answer = await ask(app, "PATCH", "label-schemas/update", schema_id=made["schema_id"], name="n", enable_comment=False, instruction="")
    assert (answer["label_schema"]["name"], answer["label_schema"]["enable_comment"], answer["label_schema"]["instruction"]) == ("n", False, "")
    await make(app, "t", type="EXPECTATION", input={"text": {"max_length": "5"}})
    _, first = await ask(app, "GET", "label-schemas/list", experiment_id="0", max_results=2)
    _, second = await ask(app, "GET", "label-schemas/list", experiment_id="0", page_token=first["next_page_token"])
    assert [one["name"] for one in first["label_schemas"] + second["label_schemas"]] == ["Feedback", "t", "n"] and second["next_page_token"] == ""
    assert await ask(app, "DELETE", "label-schemas/delete", schema_id=made["schema_id"]) == (200, {})


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("POST", "create", {"experiment_id": "none"}, 404), ("POST", "create", {"name": "feedback"}, 400), ("POST", "create", {"type": "OTHER"}, 400), ("POST", "create", {"type": None}, 400),
    ("POST", "create", {"input": {}}, 400), ("POST", "create", {"instruction": "x" * 1001}, 400), ("POST", "create", {"enable_comment": "maybe"}, 400), ("GET", "get", {"schema_id": "none"}, 404),
    ("GET", "get", {}, 400), ("GET", "get-by-name", {"name": "none"}, 404), ("GET", "list", {"experiment_id": "none"}, 404), ("GET", "list", {"max_results": 0}, 400), ("GET", "list", {"page_token": "x"}, 400),
    ("PATCH", "update", {"schema_id": "none"}, 404),
])
async def test_refusals(app, method, path, body, status):
    asked = {"experiment_id": "0", "name": "n", "type": "FEEDBACK", "input": {"text": {}}, **body} if path != "get" else body
    got, answer = await ask(app, method, f"label-schemas/{path}", **{k: v for k, v in asked.items() if method != "GET" or k != "input"})
    assert (got, answer["error_code"]) == (status, "INVALID_PARAMETER_VALUE" if status == 400 else "RESOURCE_DOES_NOT_EXIST")
