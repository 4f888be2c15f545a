"""MLflow's mcp-servers/* calls: the registry of MCP servers and their versions (endpoints: mcp_endpoints.py). Who made or changed
something is who the token says."""

from __future__ import annotations

from typing import Any

import msgspec

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.memory_search import page
from lazward.apps.mlflow.shapes import Json
from lazward.contract.mlflow import invalid
from lazward.domain.genai import mcp
from lazward.domain.genai.grammars import MCP_SERVERS, MCP_VERSIONS
from lazward.domain.tracking.filter import parse_filter, parse_orders
from lazward.domain.tracking.names import check_key
from lazward.storage import mcp_servers
from lazward.storage.mcp_servers import Endpoint, Server, Version

MAX_FOUND = 1000


async def create(call: Call) -> Json:
    name, icons = mcp.check_name(call.required("name")), mcp.icons(call.args.get("icons"))
    return shown(await call.write(mcp_servers.create, name, _text(call, "description"), icons, call.user, call.now))


async def get(call: Call) -> Json:
    return shown(await call.read(mcp_servers.get, call.path["name"]))


async def search(call: Call) -> Json:
    condition, orders = parse_filter(call.text("filter_string"), MCP_SERVERS), parse_orders(call.items("order_by"), MCP_SERVERS)
    every = [(_facts(one), one.tags, one) for one in await call.read(mcp_servers.every)]
    found, token = page(every, condition, orders, [("name", True)], call.limit(100, MAX_FOUND), call.text("page_token") or None)
    return {"mcp_servers": [shown(one) for one in found], "next_page_token": token}


async def update(call: Call) -> Json:
    """Changes what is named; null empties it."""
    if "latest_version" in call.args:
        raise invalid("latest_version is read-only; it is resolved automatically from semantic-version ordering", "latest_version")
    changes: Json = {name: _text(call, name) for name in ("description", "display_name") if name in call.args}
    if "icons" in call.args:
        changes["icons"] = mcp.icons(call.args["icons"])
    return shown(await call.write(mcp_servers.update, call.path["name"], changes, call.user, call.now))


async def delete(call: Call) -> Json:
    await call.write(mcp_servers.delete, call.path["name"])
    return {}


async def set_tag(call: Call) -> Json:
    await call.write(mcp_servers.set_tag, call.path["name"], *_tag(call))
    return {}


async def delete_tag(call: Call) -> Json:
    await call.write(mcp_servers.delete_tag, call.path["name"], call.path["tag_key"])
    return {}


async def set_alias(call: Call) -> Json:
    await call.write(mcp_servers.set_alias, call.path["name"], check_key(call.required("alias"), "alias"), call.required("version"))
    return {}


async def delete_alias(call: Call) -> Json:
    await call.write(mcp_servers.delete_alias, call.path["name"], call.path["alias"])
    return {}


# ---- versions -------------------------------------------------------------------------------------------------------------


async def create_version(call: Call) -> Json:
    doc = mcp.server_json(call.args.get("server_json"))
    if doc["name"] != call.path["name"]:
        raise invalid(f"server_json.name '{doc['name']}' does not match path parameter '{call.path['name'][:256]}'", "server_json.name")
    status, tools = mcp.check_first_status(call.args.get("status", mcp.DRAFT)), mcp.tools(call.args.get("tools"))
    options = mcp.connect_options(call.args.get("connect_options"))
    return shown_version(*await call.write(mcp_servers.create_version, doc, status, tools, options, _text(call, "source"), call.user, call.now))


async def get_version(call: Call) -> Json:
    return shown_version(*await call.read(mcp_servers.version_of, call.path["name"], call.path["version"]))


async def get_by_alias(call: Call) -> Json:
    return shown_version(*await call.read(mcp_servers.by_alias, call.path["name"], call.path["alias"]))


async def search_versions(call: Call) -> Json:
    condition, orders = parse_filter(call.text("filter_string"), MCP_VERSIONS), parse_orders(call.items("order_by"), MCP_VERSIONS)
    servers = await call.read(mcp_servers.every, call.path["name"])
    every = [(_facts_of_version(server, one), one.tags, (server, one)) for server in servers for one in server.versions.values()]
    ties = [("created_at", True), ("version", True)]
    found, token = page(every, condition, orders, ties, call.limit(100, MAX_FOUND), call.text("page_token") or None)
    return {"mcp_server_versions": [shown_version(*one) for one in found], "next_page_token": token}


async def update_version(call: Call) -> Json:
    """Changes what is named."""
    changes: Json = {}
    if "status" in call.args:
        if call.args["status"] is None:
            raise invalid("status cannot be null; omit the field to leave it unchanged", "status")
        changes["status"] = mcp.check_status(call.args["status"])
    if "tools" in call.args:
        changes["tools"] = mcp.tools(call.args["tools"])
    if "connect_options" in call.args:
        changes["connect_options"] = mcp.connect_options(call.args["connect_options"])
    return shown_version(*await call.write(mcp_servers.update_version, call.path["name"], call.path["version"], changes, call.user, call.now))


async def delete_version(call: Call) -> Json:
    await call.write(mcp_servers.delete_version, call.path["name"], call.path["version"], call.now)
    return {}


async def set_version_tag(call: Call) -> Json:
    await call.write(mcp_servers.set_version_tag, call.path["name"], call.path["version"], *_tag(call))
    return {}


async def delete_version_tag(call: Call) -> Json:
    await call.write(mcp_servers.delete_version_tag, call.path["name"], call.path["version"], call.path["tag_key"])
    return {}


# ---- what is shown --------------------------------------------------------------------------------------------------------


def shown(one: Server) -> Json:
    latest = one.latest()
    doc: Json = msgspec.json.decode(latest.doc) if latest else {}
    return {
        "name": one.name, "display_name": one.display_name, "description": doc.get("description") if one.description is None else one.description,
        "icons": mcp.resolved_icons(one.icons, doc.get("icons")), "status": latest.status if latest else None, "latest_version": latest.version if latest else None,
        "access_endpoints": [shown_endpoint(one, endpoint) for endpoint in one.endpoints],
        "aliases": [{"alias": alias, "version": version} for alias, version in sorted(one.aliases.items())], "tags": one.tags, **stamps(one),
    }


def shown_version(server: Server, one: Version) -> Json:
    return {
        "name": server.name, "version": one.version, "server_json": msgspec.json.decode(one.doc), "status": one.status,
        "tools": msgspec.json.decode(one.tools) if one.tools else [], "aliases": sorted(alias for alias, version in server.aliases.items() if version == one.version),
        "tags": one.tags, "connect_options": one.connect_options or {}, "source": one.source, **stamps(one),
    }


def shown_endpoint(server: Server, one: Endpoint) -> Json:
    target = server.target(one)
    return {
        "id": one.id, "server_name": server.name, "url": one.url, "transport_type": one.transport, "server_version": one.version, "server_alias": one.alias,
        "resolved_version": shown_version(server, target) if target else None, **stamps(one),
    }


def stamps(one: Server | Version | Endpoint) -> Json:
    return {
        "created_by": one.created_by, "last_updated_by": one.updated_by, "creation_timestamp": shapes.milliseconds(one.created),
        "last_updated_timestamp": shapes.milliseconds(one.updated),
    }


def times(one: Server | Version | Endpoint) -> Json:
    """As they are searched."""
    return {"created_at": shapes.milliseconds(one.created), "last_updated_at": shapes.milliseconds(one.updated)}


def _facts(one: Server) -> Json:
    latest = one.latest()
    return {
        "name": one.name, "display_name": one.display_name, "status": latest.status if latest else None, "has_access_endpoints": "true" if one.endpoints else "false",
        **times(one),
    }


def _facts_of_version(server: Server, one: Version) -> Json:
    return {"name": server.name, "version": mcp.Semver(one.version), "status": one.status, **times(one)}


def _tag(call: Call) -> tuple[str, str]:
    value: Any = call.args.get("value")
    if not isinstance(value, str):
        raise invalid("Missing value for required parameter 'value': a string is expected.", "value")
    return check_key(call.args.get("key")), value


def _text(call: Call, name: str) -> str | None:
    return None if call.args.get(name) is None else call.text(name)
