from __future__ import annotations

import pytest

from lazward.storage import review_items
from tests.apps.tracking_app import PLAIN, PLUGIN

API = "/api/3.0/mlflow/"


async def ask(app, method, path, /, *, prefix=PLAIN, **body):
    async with app.client() as client:
        answer = await (client.get(prefix + API + path, params=body) if method == "GET" else client.request(method, prefix + API + path, json=body))
    return answer.status_code, answer.json()


@pytest.fixture(autouse=True)
def traces(monkeypatch):
    monkeypatch.setattr(review_items, "known_traces", lambda tx, key, experiment, ids: {one for one in ids if one.startswith("tr-")})


async def make(app, **more):
    status, answer = await ask(app, "POST", "review-queues/create", **{"experiment_id": "0", "name": "Team", "queue_type": "CUSTOM", "users": ["Ann"], **more})
    assert status == 200, answer
    return answer["review_queue"]


async def test_a_queue_as_clients_read_it(app):
    made = await make(app)
    assert (made["queue_type"], made["users"], made["schema_ids"], made["created_by"], made["experiment_id"]) == ("CUSTOM", ["ann"], [], "owner", "0")
    for prefix in (PLAIN, PLUGIN):
        assert (await ask(app, "GET", "review-queues/get", prefix=prefix, queue_id=made["queue_id"]))[1]["review_queue"] == made
    assert (await ask(app, "GET", "review-queues/get-by-name", experiment_id="0", name="team"))[1]["review_queue"] == made
    _, own = await ask(app, "POST", "review-queues/get-or-create-user", experiment_id="0", user="Bob")
    assert (own["review_queue"]["queue_type"], own["review_queue"]["users"]) == ("USER", ["bob"])
    assert [one["name"] for one in (await ask(app, "GET", "review-queues/list", experiment_id="0"))[1]["review_queues"]] == ["bob", "Team"]
    assert [one["name"] for one in (await ask(app, "GET", "review-queues/list", experiment_id="0", user="ANN"))[1]["review_queues"]] == ["Team"]
    _, answer = await ask(app, "POST", "review-queues/update", queue_id=made["queue_id"], name="New", users=["x"], update_users=True, schema_ids=["ignored"], new_owner="Eve")
    assert (answer["review_queue"]["name"], answer["review_queue"]["users"], answer["review_queue"]["created_by"]) == ("New", ["x"], "Eve")
    assert await ask(app, "POST", "review-queues/delete", queue_id=made["queue_id"]) == (200, {})


async def test_reviews_are_signed_by_who_the_token_says(app):
    queue = (await make(app))["queue_id"]
    _, answer = await ask(app, "POST", "review-queues/items/add", queue_id=queue, item_ids=["tr-1", " tr-2 ", "tr-1"], item_type="TRACE")
    assert [(one["item_id"], one["status"], one["item_type"]) for one in answer["items"]] == [("tr-1", "PENDING", "TRACE"), ("tr-2", "PENDING", "TRACE")]
    _, answer = await ask(app, "POST", "review-queues/items/set-status", queue_id=queue, item_id="tr-1", status="COMPLETE", completed_by="somebody-else")
    assert (answer["item"]["completed_by"], answer["item"]["status"]) == ("owner", "COMPLETE")
    assert [one["item_id"] for one in (await ask(app, "GET", "review-queues/items/list", queue_id=queue, status="PENDING"))[1]["items"]] == ["tr-2"]
    assert len((await ask(app, "GET", "review-queues/items/list", queue_id=queue, status="REVIEW_STATUS_UNSPECIFIED"))[1]["items"]) == 2
    assert await ask(app, "POST", "review-queues/items/remove", queue_id=queue, item_ids=["tr-1"]) == (200, {})
    assert [one["name"] for one in (await ask(app, "GET", "review-queues/list", experiment_id="0", item_id="tr-2"))[1]["review_queues"]] == ["Team"]


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("POST", "create", {"experiment_id": "none", "name": "n", "queue_type": "CUSTOM"}, 404), ("POST", "create", {"experiment_id": "0", "name": "n"}, 400),
    ("POST", "create", {"experiment_id": "0", "name": "default", "queue_type": 2}, 400), ("POST", "create", {"experiment_id": "0", "name": "n", "queue_type": "CUSTOM", "schema_ids": ["none"]}, 400),
    ("POST", "get-or-create-user", {"experiment_id": "0", "user": " "}, 400), ("GET", "get", {"queue_id": "none"}, 404), ("GET", "get-by-name", {"experiment_id": "0", "name": "none"}, 404),
    ("GET", "list", {"experiment_id": "none"}, 404), ("GET", "list", {"experiment_id": "0", "page_token": "x"}, 400), ("POST", "update", {"queue_id": "none"}, 404), ("POST", "items/add", {"queue_id": "none", "item_ids": ["tr-1"]}, 404),
    ("POST", "items/add", {"queue_id": "none", "item_ids": []}, 400), ("POST", "items/add", {"queue_id": "none", "item_ids": ["x"], "item_type": "RUN"}, 400), ("POST", "items/remove", {"queue_id": "none", "item_ids": ["x"]}, 404),
    ("GET", "items/list", {"queue_id": "none"}, 404), ("GET", "items/list", {"queue_id": "none", "status": "DONE"}, 400), ("POST", "items/set-status", {"queue_id": "none", "item_id": "x", "status": "COMPLETE"}, 404),
    ("POST", "items/set-status", {"queue_id": "none", "item_id": "x"}, 400),
])
async def test_refusals(app, method, path, body, status):
    got, answer = await ask(app, method, f"review-queues/{path}", **body)
    assert (got, answer["error_code"]) == (status, "INVALID_PARAMETER_VALUE" if status == 400 else "RESOURCE_DOES_NOT_EXIST")
