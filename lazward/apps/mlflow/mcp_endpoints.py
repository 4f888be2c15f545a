"""MLflow's mcp-servers/.../endpoints calls: where a registered MCP server can be reached, as a version or an alias of it."""

from __future__ import annotations

from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.mcp_servers import MAX_FOUND, shown_endpoint, times
from lazward.apps.mlflow.memory_search import page
from lazward.apps.mlflow.shapes import Json
from lazward.contract.mlflow import invalid
from lazward.domain.genai import mcp
from lazward.domain.genai.grammars import MCP_ENDPOINTS
from lazward.domain.tracking.filter import parse_filter, parse_orders
from lazward.storage import mcp_endpoints, mcp_servers
from lazward.storage.mcp_servers import Endpoint, Server


async def create(call: Call) -> Json:
    url, transport = mcp.check_endpoint_url(call.args.get("url")), mcp.check_transport(call.args.get("transport_type", mcp.TRANSPORTS[0]))
    version, alias = (call.text(name) if call.args.get(name) is not None else None for name in ("server_version", "server_alias"))
    return _shown(*await call.write(mcp_endpoints.create, call.path["name"], url, transport, version, alias, call.user, call.now))


async def get(call: Call) -> Json:
    return _shown(*await call.read(mcp_endpoints.get, call.path["name"], call.path["endpoint_id"]))


async def search(call: Call) -> Json:
    """Of one server, or of all."""
    condition, orders = parse_filter(call.text("filter_string"), MCP_ENDPOINTS), parse_orders(call.items("order_by"), MCP_ENDPOINTS)
    version, alias = call.text("server_version"), call.text("server_alias")
    servers = await call.read(mcp_servers.every, call.path.get("name"))
    every = [
        (_facts(server, one), {}, (server, one)) for server in servers for one in server.endpoints
        if (not version or one.version == version) and (not alias or one.alias == alias)
    ]
    found, token = page(every, condition, orders, [("id", True)], call.limit(100, MAX_FOUND), call.text("page_token") or None)
    return {"mcp_access_endpoints": [_shown(*one) for one in found], "next_page_token": token}


async def update(call: Call) -> Json:
    """Changes what is named; a version and an alias replace each other."""
    changes: Json = {}
    for name in ("version", "alias"):
        if call.args.get(f"server_{name}") is not None:
            changes[name] = call.text(f"server_{name}")
    if "url" in call.args:
        if call.args["url"] is None:
            raise invalid("MCP access endpoint url cannot be None", "url")
        changes["url"] = mcp.check_endpoint_url(call.args["url"])
    if call.args.get("transport_type") is not None:
        changes["transport"] = mcp.check_transport(call.args["transport_type"])
    return _shown(*await call.write(mcp_endpoints.update, call.path["name"], call.path["endpoint_id"], changes, call.user, call.now))


async def delete(call: Call) -> Json:
    await call.write(mcp_endpoints.delete, call.path["name"], call.path["endpoint_id"])
    return {}


def _shown(server: Server, one: Endpoint) -> Json:
    target = server.target(one)
    shown = shown_endpoint(server, one)
    return {**shown, "tools": shown["resolved_version"]["tools"] if target is not None and target.tools is not None else None}


def _facts(server: Server, one: Endpoint) -> Json:
    target = server.target(one)
    return {"id": one.id, "server_name": server.name, "status": target.status if target else None, "transport_type": one.transport, **times(one)}
