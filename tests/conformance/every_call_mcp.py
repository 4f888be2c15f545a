"""The part of every_call.py about the registry of MCP servers."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient
from mlflow.entities.mcp_server import MCPRemoteTransportType, MCPStatus, MCPTool
from mlflow.entities.mcp_server_version import ConnectOptionSettings

Record = Any  # of every_call.py, which imports this module
NAME, OTHER = "com.example/tool", "com.example/other"


def mcp_servers(client: MlflowClient, do: Record) -> None:
    server = lambda s: (s.name, s.display_name, s.description, s.icons, s.status, s.tags, s.aliases, s.latest_version, [endpoint(e) for e in s.access_endpoints])  # noqa: E731
    version = lambda v: (v.name, v.version, v.server_json, v.status, v.tools, sorted(v.aliases), v.tags, {k: o.hidden for k, o in v.connect_options.items()}, v.source)  # noqa: E731
    endpoint = lambda e: (e.server_name, e.url, e.transport_type, e.server_version, e.server_alias, e.resolved_version and e.resolved_version.version)  # noqa: E731
    names = lambda found: [s.name for s in found]  # noqa: E731
    numbers = lambda found: sorted(v.version for v in found)  # noqa: E731
    doc = {"name": NAME, "version": "1.0.0", "description": "d", "title": "t", "remotes": [{"type": "sse", "url": "https://example.org"}], "_meta": {"x": {"y": [1]}}}

    do("create_mcp_server", client.create_mcp_server, OTHER, description="other", show=server)
    do("create_mcp_server again", client.create_mcp_server, OTHER)
    for name in ("", "tool", "com.example/versions", "a/b/c"):
        do(f"create_mcp_server {name!r}", client.create_mcp_server, name)
    do("create_mcp_server, bad icon", client.create_mcp_server, "com.example/icon", icons=[{"src": "javascript:x"}])
    do("get_mcp_server", client.get_mcp_server, OTHER, show=server)
    do("get_mcp_server unknown", client.get_mcp_server, "com.example/none")
    do("create_mcp_server_version", client.create_mcp_server_version, doc, source="git", tools=[MCPTool("t", input_schema={"type": "object"})], connect_options={"r": ConnectOptionSettings(True)}, show=version)
    do("create_mcp_server_version again", client.create_mcp_server_version, doc, tools=None)
    for number in ("1.10.0", "1.9.0", "2.0.0-rc.1"):
        do(f"create_mcp_server_version {number}", client.create_mcp_server_version, {**doc, "version": number}, tools=[], show=version)
    for wrong in ({"version": "1.0"}, {"title": 1}, {"packages": [{}]}, {"name": "x"}):
        do(f"create_mcp_server_version {wrong}", client.create_mcp_server_version, {**doc, "version": "9.0.0", **wrong}, tools=None)
    do("create_mcp_server_version, bad status", client.create_mcp_server_version, {**doc, "version": "9.0.0"}, status=MCPStatus.DEPRECATED, tools=None)
    do("get_mcp_server_version", client.get_mcp_server_version, NAME, "1.0.0", show=version)
    do("get_mcp_server_version unknown", client.get_mcp_server_version, NAME, "9.0.0")
    do("get_latest_mcp_server_version", client.get_latest_mcp_server_version, NAME, show=version)
    do("get_latest_mcp_server_version of none", client.get_latest_mcp_server_version, OTHER)
    do("update_mcp_server_version", client.update_mcp_server_version, NAME, "1.9.0", status=MCPStatus.ACTIVE, show=version)
    do("update_mcp_server_version, tools", client.update_mcp_server_version, NAME, "1.9.0", tools=[MCPTool("a", title="A")], connect_options=None, show=version)
    do("update_mcp_server_version, not allowed", client.update_mcp_server_version, NAME, "1.0.0", status=MCPStatus.DEPRECATED)
    do("update_mcp_server_version unknown", client.update_mcp_server_version, NAME, "9.0.0", status=MCPStatus.ACTIVE)
    do("get_latest_mcp_server_version, active", client.get_latest_mcp_server_version, NAME, show=version)
    do("refresh_mcp_server_version_tools of none", client.refresh_mcp_server_version_tools, NAME, "9.0.0")
    do("update_mcp_server", client.update_mcp_server, NAME, display_name="Tool", show=server)
    do("update_mcp_server unknown", client.update_mcp_server, "com.example/none", description="x")
    do("set_mcp_server_alias", client.set_mcp_server_alias, NAME, "prod", "1.0.0")
    do("set_mcp_server_alias latest", client.set_mcp_server_alias, NAME, "latest", "1.0.0")
    do("set_mcp_server_alias unknown", client.set_mcp_server_alias, NAME, "x", "9.0.0")
    do("get_mcp_server_version_by_alias", client.get_mcp_server_version_by_alias, NAME, "prod", show=version)
    do("get_mcp_server_version_by_alias unknown", client.get_mcp_server_version_by_alias, NAME, "none")
    do("set_mcp_server_tag", client.set_mcp_server_tag, NAME, "team", "a")
    do("set_mcp_server_tag, slash", client.set_mcp_server_tag, NAME, "a/b", "c")
    do("delete_mcp_server_tag", client.delete_mcp_server_tag, NAME, "a/b")
    do("delete_mcp_server_tag unknown", client.delete_mcp_server_tag, NAME, "none")
    do("set_mcp_server_version_tag", client.set_mcp_server_version_tag, NAME, "1.0.0", "k", "v")
    do("set_mcp_server_version_tag other", client.set_mcp_server_version_tag, NAME, "1.0.0", "l", "w")
    do("delete_mcp_server_version_tag", client.delete_mcp_server_version_tag, NAME, "1.0.0", "l")
    do("delete_mcp_server_version_tag unknown", client.delete_mcp_server_version_tag, NAME, "1.0.0", "none")

    straight = do("create_mcp_access_endpoint", client.create_mcp_access_endpoint, NAME, "https://example.org/mcp", server_version="1.0.0", show=endpoint)
    by_alias = do("create_mcp_access_endpoint, alias", client.create_mcp_access_endpoint, NAME, "https://example.org/sse", transport_type=MCPRemoteTransportType.SSE, server_alias="prod", show=endpoint)
    do("create_mcp_access_endpoint, latest", client.create_mcp_access_endpoint, NAME, "https://example.org/latest", server_alias="latest", show=endpoint)
    do("create_mcp_access_endpoint, nothing", client.create_mcp_access_endpoint, NAME, "https://example.org")
    do("create_mcp_access_endpoint, both", client.create_mcp_access_endpoint, NAME, "https://example.org", server_version="1.0.0", server_alias="prod")
    do("create_mcp_access_endpoint, blank", client.create_mcp_access_endpoint, NAME, "  ", server_version="1.0.0")
    do("create_mcp_access_endpoint unknown", client.create_mcp_access_endpoint, "com.example/none", "u", server_version="1.0.0")
    do("get_mcp_access_endpoint", client.get_mcp_access_endpoint, NAME, straight.id, show=endpoint)
    do("get_mcp_access_endpoint of another", client.get_mcp_access_endpoint, OTHER, straight.id)
    do("update_mcp_access_endpoint", client.update_mcp_access_endpoint, NAME, straight.id, url="https://example.org/new", server_alias="latest", show=endpoint)
    do("update_mcp_access_endpoint, no url", client.update_mcp_access_endpoint, NAME, straight.id, url=None)
    do("update_mcp_access_endpoint unknown", client.update_mcp_access_endpoint, NAME, "ae-none", url="u")
    for more in ({}, {"server_alias": "latest"}, {"server_version": "1.0.0"}, {"filter_string": "status = 'active'"}, {"filter_string": "transport_type = 'sse'"}, {"filter_string": "server_name = 'x'"}, {"filter_string": "nothing = 'x'"}):
        do(f"search_mcp_access_endpoints {more}", client.search_mcp_access_endpoints, NAME, order_by=["created_at ASC"], show=lambda found: [endpoint(e) for e in found], **more)
    do("search_mcp_access_endpoints of all", client.search_mcp_access_endpoints, show=len)
    do("get_mcp_server with all", client.get_mcp_server, NAME, show=lambda s: (server(s)[:8], sorted(server(s)[8])))

    for text in ("name = 'com.example/tool'", "name LIKE '%o%'", "status = 'active'", "status IN ('draft', 'active')", "tags.team = 'a'", "has_access_endpoints = 'true'", "has_access_endpoints = 'false'", "display_name ILIKE 'TOOL'", "created_at > 0",
                 "nothing = 'x'", "has_access_endpoints = 'maybe'", "has_access_endpoints != 'true'"):
        do(f"search_mcp_servers {text}", client.search_mcp_servers, text, show=names)
    do("search_mcp_servers by name", client.search_mcp_servers, order_by=["name DESC"], show=names)
    do("search_mcp_servers by name twice", client.search_mcp_servers, order_by=["name DESC", "name ASC"])
    do("search_mcp_servers, too many", client.search_mcp_servers, max_results=1001)
    page = do("search_mcp_servers, a page", client.search_mcp_servers, max_results=1, show=names)
    do("search_mcp_servers, the next", client.search_mcp_servers, max_results=1, page_token=page.token, show=lambda found: (names(found), found.token))
    for text in ("version > '1.0.0'", "version <= '1.9.0'", "version = '1.0.0'", "version != '1.0.0'", "status = 'draft'", "version LIKE '1%'", "version > 'x'", "nothing = 'x'"):
        do(f"search_mcp_server_versions {text}", client.search_mcp_server_versions, NAME, text, show=numbers)
    do("search_mcp_server_versions as they came", client.search_mcp_server_versions, NAME, show=lambda found: [v.version for v in found])
    do("search_mcp_server_versions by version", client.search_mcp_server_versions, NAME, order_by=["version DESC"], show=lambda found: [v.version for v in found])
    do("search_mcp_server_versions of none", client.search_mcp_server_versions, "com.example/none", show=numbers)

    do("delete_mcp_access_endpoint", client.delete_mcp_access_endpoint, NAME, straight.id)
    do("delete_mcp_access_endpoint again", client.delete_mcp_access_endpoint, NAME, straight.id)
    do("delete_mcp_server_alias", client.delete_mcp_server_alias, NAME, "prod")
    do("delete_mcp_server_alias again", client.delete_mcp_server_alias, NAME, "prod")
    do("get_mcp_access_endpoint whose alias is gone", client.get_mcp_access_endpoint, NAME, by_alias.id)
    do("delete_mcp_server_version, active", client.delete_mcp_server_version, NAME, "1.9.0")
    do("delete_mcp_server, active", client.delete_mcp_server, NAME)
    do("delete_mcp_server_version", client.delete_mcp_server_version, NAME, "1.0.0")
    do("delete_mcp_server_version again", client.delete_mcp_server_version, NAME, "1.0.0")
    do("create_mcp_server_version that is deleted", client.create_mcp_server_version, doc, tools=None)
    do("create_mcp_access_endpoint to a deleted version", client.create_mcp_access_endpoint, NAME, "u", server_version="1.0.0")
    do("set_mcp_server_alias to a deleted version", client.set_mcp_server_alias, NAME, "x", "1.0.0")
    do("update_mcp_server_version, deprecated", client.update_mcp_server_version, NAME, "1.9.0", status=MCPStatus.DEPRECATED, show=version)
    do("delete_mcp_server", client.delete_mcp_server, NAME)
    do("delete_mcp_server again", client.delete_mcp_server, NAME)
    do("search_mcp_servers after", client.search_mcp_servers, show=names)
