from __future__ import annotations

import pytest

from lazward.apps.mlflow.unbuilt import why
from tests.apps.tracking_app import PLAIN, PLUGIN


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/api/3.0/mlflow/gateway/endpoints/list"), ("POST", "/api/3.0/mlflow/gateway/secrets/create"), ("POST", "/api/3.0/mlflow/prompt-optimization/jobs"), ("GET", "/api/3.0/mlflow/workspaces"),
    ("DELETE", "/api/3.0/mlflow/workspaces/w"), ("POST", "/ajax-api/3.0/mlflow/scorer/invoke"), ("POST", "/graphql"), ("GET", "/api/3.0/mlflow/gateway/budgets/list"),
])
async def test_what_is_not_built_says_so_to_those_who_are_signed_in(app, method, path):
    for prefix in (PLAIN, PLUGIN, "/mlflow/workspaces/ws"):
        async with app.client() as client:
            answer = await client.request(method, prefix + path, json={} if method != "GET" else None)
        assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
        assert "is not built: " in answer.json()["message"]
        async with app.client("unknown") as client:
            assert (await client.request(method, prefix + path)).status_code == 401


@pytest.mark.parametrize("path", ["", "gatewayx", "nothing", "workspaces-of-mine", "scorers/register"])
def test_what_is_no_call_has_no_reason(path):
    assert why(path) is None
