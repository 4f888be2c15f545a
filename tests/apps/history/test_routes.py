"""S4: every history route refuses strangers, and lets in exactly those with its right."""

from __future__ import annotations

import re

from lazward.apps.history.routes import history_routes
from tests.storage.tracking_data import KEY, OTHER, WORKSPACE, make_run

VALUES = {
    "sub": WORKSPACE.subscription, "group": "rg", "ws": "Ws", "kind": "experiments", "exp": "Default", "run": "r1", "node": "0", "origin": "LocalUpload", "container": "c",
}


def paths(app):
    for route in history_routes(app.services):
        path = re.sub(r"\{(\w+)[^}]*\}", lambda match: VALUES[match[1]], route.pattern)
        for method in route.methods:
            yield route, method, path


async def test_s4_s5_strangers_and_members_of_other_workspaces(app):
    app.authority.rights["neighbour"] = [("*", OTHER.key + "/")]
    async with app.client("unknown") as stranger, app.client("neighbour") as neighbour:
        for _, method, path in paths(app):
            assert (await stranger.request(method, path, json={} if method != "GET" else None)).status_code == 401, path
            answer = await neighbour.request(method, path, json={} if method != "GET" else None)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AuthorizationFailed"), path


async def test_each_route_needs_its_right(app):
    make_run(app.db, "r1")
    routes = [(r, m, p) for r, m, p in paths(app) if r.access.kind == "action"]
    rights = {r.access.detail for r, _, _ in routes}
    for route, method, path in routes:
        app.authority.rights["all-but"] = [(right, KEY + "/") for right in rights - {route.access.detail}]
        app.authority.rights["only"] = [(route.access.detail, KEY + "/")]
        async with app.client("all-but") as without, app.client("only") as only:
            assert (await without.request(method, path, json={} if method != "GET" else None)).status_code == 403, path
            assert (await only.request(method, path, json={} if method != "GET" else None)).status_code in (200, 400, 404), path


def test_only_the_token_route_checks_for_itself(app):
    assert [r.pattern.rsplit("/", 1)[-1] for r in history_routes(app.services) if r.access.kind != "action"] == ["token"]
    assert not any(re.search(r"\.\*", r.pattern) for r in history_routes(app.services))
