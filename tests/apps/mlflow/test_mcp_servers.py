from __future__ import annotations

import pytest

from tests.apps.mlflow.test_issues import ask
from tests.apps.tracking_app import PLUGIN

NAME, QUOTED = "com.example/tool", "com.example%2Ftool"
DOC = {"name": NAME, "version": "1.0.0", "description": "of the version", "icons": [{"src": "https://example.org/i.png", "theme": "dark"}]}


async def good(app, method, path, **body):
    status, answer = await ask(app, method, f"mcp-servers{path}", **body)
    assert status == 200, answer
    return answer


async def version(app, number, **more):
    return await good(app, "POST", f"/{QUOTED}/versions", server_json={**DOC, "version": number}, **more)


async def test_a_server_as_clients_read_it(app):
    made = await version(app, "1.0.0", tools=[{"name": "t", "inputSchema": {"type": "object"}}], source="git", connect_options={"r": {}})
    assert (made["server_json"]["version"], made["status"], made["tools"], made["connect_options"], made["source"], made["created_by"]) == (
        "1.0.0", "draft", [{"name": "t", "inputSchema": {"type": "object"}}], {"r": {"hidden": False}}, "git", "owner",
    )
    assert (await good(app, "GET", f"/{QUOTED}/versions/1.0.0")) == made
    shown = await good(app, "GET", f"/{QUOTED}")
    assert (shown["description"], shown["icons"], shown["latest_version"], shown["status"]) == ("of the version", [{**DOC["icons"][0], "source": "version"}], "1.0.0", "draft")
    assert await good(app, "GET", f"/{NAME}") == shown, "with its slash as it is, too"
    _, there = await ask(app, "GET", f"mcp-servers/{QUOTED}", prefix=PLUGIN)
    assert there == shown
    changed = await good(app, "PATCH", f"/{QUOTED}", description="own", icons=[], display_name="Tool")
    assert (changed["description"], changed["icons"], changed["display_name"]) == ("own", [], "Tool")
    changed = await good(app, "PATCH", f"/{QUOTED}", description=None, icons=None)
    assert (changed["description"], changed["icons"], changed["display_name"]) == ("of the version", shown["icons"], "Tool")
    assert (await good(app, "PATCH", f"/{QUOTED}/versions/1.0.0", tools=None))["tools"] == []


async def test_aliases_tags_and_endpoints(app):
    await version(app, "1.0.0")
    await good(app, "POST", f"/{QUOTED}/aliases", alias="prod", version="1.0.0")
    await good(app, "POST", f"/{QUOTED}/tags", key="team/one", value="")
    await good(app, "POST", f"/{QUOTED}/versions/1.0.0/tags", key="k", value="v")
    found = await good(app, "GET", f"/{QUOTED}/aliases/prod")
    assert (found["version"], found["aliases"], found["tags"]) == ("1.0.0", ["prod"], {"k": "v"})
    made = await good(app, "POST", f"/{QUOTED}/endpoints", url="https://example.org/mcp", server_alias="prod")
    assert (made["transport_type"], made["resolved_version"]["version"], made["tools"]) == ("streamable-http", "1.0.0", None)
    assert await good(app, "GET", f"/{QUOTED}/endpoints/{made['id']}") == made
    shown = await good(app, "GET", f"/{QUOTED}")
    assert (shown["tags"], shown["aliases"], [one["id"] for one in shown["access_endpoints"]]) == ({"team/one": ""}, [{"alias": "prod", "version": "1.0.0"}], [made["id"]])
    for path in ("/endpoints", f"/{QUOTED}/endpoints"):
        assert [one["id"] for one in (await good(app, "GET", path, server_alias="prod", filter_string="status = 'draft' AND transport_type = 'streamable-http'"))["mcp_access_endpoints"]] == [made["id"]]
        assert (await good(app, "GET", path, server_version="1.0.0"))["mcp_access_endpoints"] == []
    changed = await good(app, "PATCH", f"/{QUOTED}/endpoints/{made['id']}", server_version="1.0.0", transport_type="sse")
    assert (changed["server_version"], changed["server_alias"], changed["transport_type"], changed["url"]) == ("1.0.0", None, "sse", made["url"])
    for path in (f"/{QUOTED}/tags/team/one", f"/{QUOTED}/versions/1.0.0/tags/k", f"/{QUOTED}/aliases/prod", f"/{QUOTED}/endpoints/{made['id']}", f"/{QUOTED}/versions/1.0.0", f"/{QUOTED}"):
        assert await good(app, "DELETE", path) == {}
    assert (await good(app, "GET", ""))["mcp_servers"] == []


async def test_searches(app):
    for number in ("1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1"):
        await version(app, number)
    await good(app, "POST", "", name="com.example/other", description="d")
    await good(app, "POST", f"/{QUOTED}/endpoints", url="https://example.org", server_alias="latest")
    await good(app, "POST", f"/{QUOTED}/tags", key="team", value="a")

    async def names(text, **more):
        return [one["name"].partition("/")[2] for one in (await good(app, "GET", "", filter_string=text, **more))["mcp_servers"]]

    assert await names("name LIKE 'com.%'") == ["other", "tool"] and await names("", order_by="name DESC") == ["tool", "other"]
    assert await names("status = 'draft'") == ["tool"] and await names("status IS NULL") == ["other"] and await names("tags.team = 'a'") == ["tool"]
    assert await names("has_access_endpoints = 'true'") == ["tool"] and await names("has_access_endpoints = 'False'") == ["other"] and await names("created_at > 0") == ["other", "tool"]

    async def versions(text, **more):
        return [one["version"] for one in (await good(app, "GET", f"/{QUOTED}/versions", filter_string=text, **more))["mcp_server_versions"]]

    assert await versions("version > '1.2.0'", order_by="version DESC") == ["2.0.0-rc.1", "1.10.0"] and await versions("version <= '1.2.0' AND version != '1.0.0'") == ["1.2.0"]
    assert await versions("version BETWEEN '1.0.0' AND '1.2.0'", order_by="version ASC") == ["1.0.0", "1.2.0"]
    seen, token = [], ""
    while True:
        answer = await good(app, "GET", f"/{QUOTED}/versions", order_by="version ASC", max_results=3, **({"page_token": token} if token else {}))
        seen += [one["version"] for one in answer["mcp_server_versions"]]
        token = answer["next_page_token"]
        if not token:
            break
    assert seen == ["1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1"]
    assert (await good(app, "GET", "/com.example%2Fnone/versions"))["mcp_server_versions"] == []


@pytest.mark.parametrize(("method", "path", "body", "status", "field"), [
    ("POST", "", {"name": "tool"}, 400, "name"), ("POST", "", {"name": NAME}, 400, "exists"), ("POST", "", {"name": "com.example/bb", "icons": [{"src": "http://x/y"}]}, 400, "icon"), ("GET", "/com.example%2Fnone", {}, 404, "not found"),
    ("GET", "/none", {}, 404, "not found"), ("PATCH", f"/{QUOTED}", {"latest_version": "1"}, 400, "latest_version"), ("PATCH", f"/{QUOTED}", {"description": 1}, 400, "description"),
    ("POST", f"/{QUOTED}/versions", {}, 400, "server_json"), ("POST", f"/{QUOTED}/versions", {"server_json": {**DOC, "name": "com.example/bb"}}, 400, "does not match"),
    ("POST", f"/{QUOTED}/versions", {"server_json": {**DOC, "version": "2.0.0"}, "status": "deprecated"}, 400, "status"), ("POST", f"/{QUOTED}/versions", {"server_json": {**DOC, "version": "2.0.0"}, "status": 7}, 400, "status"),
    ("POST", f"/{QUOTED}/versions", {"server_json": {**DOC, "version": "2.0.0"}, "tools": {}}, 400, "tools"), ("POST", f"/{QUOTED}/versions", {"server_json": DOC}, 400, "exists"), ("GET", f"/{QUOTED}/versions/2.0.0", {}, 404, "not found"),
    ("PATCH", f"/{QUOTED}/versions/1.0.0", {"status": "deprecated"}, 400, "transition"), ("PATCH", f"/{QUOTED}/versions/1.0.0", {"status": None}, 400, "null"), ("PATCH", f"/{QUOTED}/versions/1.0.0", {"connect_options": []}, 400, "connect_options"),
    ("POST", f"/{QUOTED}/aliases", {"alias": "latest", "version": "1.0.0"}, 400, "reserved"), ("POST", f"/{QUOTED}/aliases", {"alias": "x"}, 400, "version"), ("POST", f"/{QUOTED}/tags", {"key": "k"}, 400, "value"),
    ("POST", f"/{QUOTED}/tags", {"value": "v"}, 400, "key"), ("DELETE", f"/{QUOTED}/tags/k", {}, 404, "not found"), ("GET", f"/{QUOTED}/aliases/none", {}, 404, "not found"),
    ("POST", f"/{QUOTED}/endpoints", {"url": " ", "server_alias": "latest"}, 400, "url"), ("POST", f"/{QUOTED}/endpoints", {"url": "u", "transport_type": "stdio", "server_alias": "latest"}, 400, "transport_type"),
    ("POST", f"/{QUOTED}/endpoints", {"url": "u"}, 400, "Exactly one"), ("POST", f"/{QUOTED}/endpoints", {"url": "u", "server_version": "7.0.0"}, 404, "not found"), ("PATCH", f"/{QUOTED}/endpoints/ae-1", {"url": None}, 400, "url"),
    ("PATCH", f"/{QUOTED}/endpoints/ae-1", {}, 404, "not found"), ("GET", "", {"filter_string": "has_access_endpoints = 'maybe'"}, 400, "true"), ("GET", "", {"filter_string": "has_access_endpoints != 'true'"}, 400, "compared"),
    ("GET", "", {"order_by": "tags.x"}, 200, ""), ("GET", "", {"filter_string": "url = 'x'"}, 400, "url"), ("GET", "", {"max_results": 1001}, 400, "max_results"), ("GET", f"/{QUOTED}/versions", {"filter_string": "version > 'x'"}, 400, "version"),
    ("GET", f"/{QUOTED}/versions", {"filter_string": "version LIKE '1%'"}, 400, "version"), ("GET", "/endpoints", {"page_token": "x"}, 400, "page token"),
])
async def test_refusals(app, method, path, body, status, field):
    await version(app, "1.0.0")
    got, answer = await ask(app, method, f"mcp-servers{path}", **body)
    assert got == status and (status == 200 or field in answer["message"]), answer
