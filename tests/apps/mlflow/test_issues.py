from __future__ import annotations

import pytest

from tests.apps.tracking_app import PLAIN, PLUGIN
from tests.storage.tracking_data import OTHER, make_run

API = "/api/3.0/mlflow/"


async def ask(app, method, path, /, *, prefix=PLAIN, **body):
    async with app.client() as client:
        answer = await (client.get(prefix + API + path, params=body) if method == "GET" else client.request(method, prefix + API + path, json=body))
    return answer.status_code, answer.json()


async def make(app, **more):
    status, answer = await ask(app, "POST", "issues", **{"experiment_id": "0", "name": "slow", "description": "takes long", **more})
    assert status == 200, answer
    return answer["issue"]


async def test_an_issue_as_clients_read_it(app):
    make_run(app.db, "r1")
    made = await make(app, severity="high", root_causes=["a"], categories=["c"], source_run_id="r1")
    assert (made["status"], made["severity"], made["root_causes"], made["categories"], made["source_run_id"], made["created_by"]) == ("pending", "high", ["a"], ["c"], "r1", "owner")
    for prefix in (PLAIN, PLUGIN):
        assert (await ask(app, "GET", f"issues/{made['issue_id']}", prefix=prefix))[1]["issue"] == made
    _, answer = await ask(app, "PATCH", f"issues/{made['issue_id']}", status="resolved", name="", description="new")
    assert (answer["issue"]["status"], answer["issue"]["name"], answer["issue"]["description"]) == ("resolved", "slow", "new")
    other = await make(app, name="other")
    _, found = await ask(app, "POST", "issues/search", experiment_id="0", filter_string="status = 'pending'", include_trace_count=True)
    assert [(one["issue_id"], one["trace_count"]) for one in found["issues"]] == [(other["issue_id"], 0)]
    _, first = await ask(app, "POST", "issues/search", max_results=1)
    _, second = await ask(app, "POST", "issues/search", max_results=1, page_token=first["next_page_token"])
    assert [one["name"] for one in first["issues"] + second["issues"]] == ["slow", "other"]


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("POST", "issues", {"experiment_id": "none", "name": "n", "description": "d"}, 404), ("POST", "issues", {"experiment_id": "0", "name": "n"}, 400),
    ("POST", "issues", {"experiment_id": "0", "name": "n", "description": "d", "severity": "awful"}, 400), ("POST", "issues", {"experiment_id": "0", "name": "n", "description": "d", "source_run_id": "theirs"}, 404),
    ("GET", "issues/none", {}, 404), ("PATCH", "issues/none", {}, 404), ("PATCH", "issues/none", {"status": "x"}, 400), ("POST", "issues/search", {"filter_string": "name = 'x'"}, 400),
    ("POST", "issues/search", {"max_results": 0}, 400), ("POST", "issues/search", {"page_token": "x"}, 400),
])
async def test_refusals(app, method, path, body, status):
    make_run(app.db, "theirs", key=OTHER.key)
    got, answer = await ask(app, method, path, **body)
    assert (got, answer["error_code"]) == (status, "INVALID_PARAMETER_VALUE" if status == 400 else "RESOURCE_DOES_NOT_EXIST")
