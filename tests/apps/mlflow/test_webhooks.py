from __future__ import annotations

import json

import msgspec
import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from lazward.storage import secrets
from tests.apps.tracking_app import PLAIN, PLUGIN

API = "/api/2.0/mlflow/webhooks"
CREATED = {"entity": "MODEL_VERSION", "action": "CREATED"}


@pytest.fixture(autouse=True)
def allowed(app):
    app.services.settings = msgspec.structs.replace(app.services.settings, outbound_allow_http=True, outbound_allow_private=True)


async def ask(app, method, path="", /, *, prefix=PLAIN, **body):
    async with app.client() as client:
        answer = await (client.get(prefix + API + path, params=body) if method == "GET" else client.request(method, prefix + API + path, json=body))
    return answer.status_code, answer.json()


async def make(app, url="http://localhost:1/hook", **more):
    status, answer = await ask(app, "POST", name="w", url=url, events=[CREATED], **more)
    assert status == 200, answer
    return answer["webhook"]


async def test_a_webhook_as_clients_read_it(app):
    made = await make(app, secret="hidden-for-ever", description="d")
    for prefix in (PLAIN, PLUGIN):
        _, answer = await ask(app, "GET", f"/{made['webhook_id']}", prefix=prefix)
        assert answer["webhook"] == made
    assert (made["name"], made["events"], made["status"], made["description"], "secret" in made) == ("w", [CREATED], "ACTIVE", "d", False)
    _, answer = await ask(app, "PATCH", f"/{made['webhook_id']}", status="DISABLED", description="", events=[{"entity": "PROMPT", "action": "CREATED"}])
    assert (answer["webhook"]["status"], answer["webhook"]["events"], answer["webhook"]["name"], "description" in answer["webhook"]) == ("DISABLED", [{"entity": "PROMPT", "action": "CREATED"}], "w", False)
    assert await ask(app, "DELETE", f"/{made['webhook_id']}") == (200, {})
    assert (await ask(app, "GET", f"/{made['webhook_id']}"))[0] == 404


async def test_s16_no_answer_shows_a_secret(app):
    made = await make(app, secret="hidden-for-ever")
    answers = [await ask(app, "GET"), await ask(app, "GET", f"/{made['webhook_id']}"), await ask(app, "PATCH", f"/{made['webhook_id']}", secret="hidden-as-well"), await ask(app, "POST", f"/{made['webhook_id']}/test")]
    assert "hidden" not in json.dumps(answers)
    assert b"hidden" not in repr(app.db.read_now(lambda tx: tx.execute(secrets.t.select()).all())).encode()


async def test_pages(app):
    for _ in range(3):
        await make(app)
    _, first = await ask(app, "GET", max_results=2)
    _, second = await ask(app, "GET", max_results=2, page_token=first["next_page_token"])
    assert (len(first["webhooks"]), len(second["webhooks"]), "next_page_token" in second) == (2, 1, False)


async def test_a_test_reaches_the_receiver(app, receiver):
    made = await make(app, f"http://localhost:{receiver.port}/hook", secret="s")
    _, answer = await ask(app, "POST", f"/{made['webhook_id']}/test")
    assert answer == {"result": {"success": True, "response_status": 200, "response_body": "ok"}}
    _, _, headers, body = receiver.seen[0]
    assert json.loads(body)["data"]["name"] == "example_model"
    assert headers["x-mlflow-signature"] == _generate_hmac_signature("s", headers["x-mlflow-delivery-id"], headers["x-mlflow-timestamp"], body.decode())
    receiver.answers["/hook"] = (404, {}, b"no such hook")
    _, answer = await ask(app, "POST", f"/{made['webhook_id']}/test", event={"entity": "PROMPT_TAG", "action": "SET"})
    assert answer["result"] == {"success": False, "response_status": 404, "response_body": "no such hook"}
    assert json.loads(receiver.seen[1][3])["entity"] == "prompt_tag"
    gone = await make(app)
    _, answer = await ask(app, "POST", f"/{gone['webhook_id']}/test")
    assert answer["result"]["success"] is False and "Failed to test webhook" in answer["result"]["error_message"]


@pytest.mark.parametrize("url", ["http://8.8.8.8/", "https://localhost/", "https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "ftp://8.8.8.8/", "https://u:p@8.8.8.8/", "https://no-such-name.invalid/", "x"])
async def test_s9_addresses_that_are_not_called(app, receiver, url):
    old = await make(app, f"http://localhost:{receiver.port}/hook")
    app.services.settings = msgspec.structs.replace(app.services.settings, outbound_allow_http=False, outbound_allow_private=False)
    for method, path, more in (("POST", "", {"name": "w", "events": [CREATED]}), ("PATCH", f"/{old['webhook_id']}", {})):
        status, answer = await ask(app, method, path, url=url, **more)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    _, answer = await ask(app, "POST", f"/{old['webhook_id']}/test")  # made while it was allowed
    assert answer["result"]["success"] is False
    assert receiver.seen == []


@pytest.mark.parametrize(("body", "target"), [
    ({"url": "https://8.8.8.8", "events": [CREATED]}, "name"), ({"name": "a b", "url": "https://8.8.8.8", "events": [CREATED]}, "Webhook name"), ({"name": "w", "events": [CREATED]}, "url"),
    ({"name": "w", "url": "https://8.8.8.8"}, "events"), ({"name": "w", "url": "https://8.8.8.8", "events": ["x"]}, "events[0]"),
    ({"name": "w", "url": "https://8.8.8.8", "events": [CREATED], "status": "AWAY"}, "status"), ({"name": "w", "url": "https://8.8.8.8", "events": [CREATED], "secret": "x" * 10_001}, "secret"),
])
async def test_refusals(app, body, target):
    status, answer = await ask(app, "POST", **body)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and target in answer["message"]


async def test_what_is_not_there(app):
    for method, path in (("GET", "/none"), ("PATCH", "/none"), ("DELETE", "/none"), ("POST", "/none/test")):
        assert (await ask(app, method, path))[1]["error_code"] == "RESOURCE_DOES_NOT_EXIST"
