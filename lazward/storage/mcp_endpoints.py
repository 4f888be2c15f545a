"""Where MCP servers of the registry can be reached. An endpoint that leads to no version any more is as good as none."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from lazward.contract.mlflow import invalid, missing
from lazward.storage import mcp_servers
from lazward.storage.db import Tx
from lazward.storage.eval_datasets import moment
from lazward.storage.genai_tables import mcp_endpoint as t
from lazward.storage.mcp_servers import Endpoint, Server


def create(tx: Tx, key: str, name: str, url: str, transport: str, version: str | None, alias: str | None, user: str, now: float) -> tuple[Server, Endpoint]:
    if (version is None) == (alias is None):
        raise invalid("Exactly one of server_version or server_alias must be provided", "server_version")
    server, id_, at = mcp_servers.get(tx, key, name), f"ae-{uuid.uuid4().hex}", moment(now)
    _check_target(tx, key, name, version, alias)
    values = {"server": server.seq, "id": id_, "url": url, "transport": transport, "version": version, "alias": alias, "created": at, "updated": at, "created_by": user, "updated_by": user}
    tx.execute(sa.insert(t).values(**values))
    return get(tx, key, name, id_)


def get(tx: Tx, key: str, name: str, id_: str) -> tuple[Server, Endpoint]:
    for server in mcp_servers.every(tx, key, name):
        for endpoint in server.endpoints:
            if endpoint.id == id_:
                return server, endpoint
    raise missing(f"MCPAccessEndpoint {id_[:100]} not found")


def update(tx: Tx, key: str, name: str, id_: str, changes: dict[str, Any], user: str, now: float) -> tuple[Server, Endpoint]:
    """changes: url, transport, and one of version and alias, which replaces the other."""
    _, endpoint = get(tx, key, name, id_)
    if "version" in changes and "alias" in changes:
        raise invalid("Cannot set both server_version and server_alias in a single update", "server_version")
    if "version" in changes or "alias" in changes:
        changes = {"version": None, "alias": None, **changes}
        _check_target(tx, key, name, changes["version"], changes["alias"])
    tx.execute(sa.update(t).where(t.c.seq == endpoint.seq).values(**changes, updated=moment(now), updated_by=user))
    return get(tx, key, name, id_)


def delete(tx: Tx, key: str, name: str, id_: str) -> None:
    tx.execute(sa.delete(t).where(t.c.seq == get(tx, key, name, id_)[1].seq))


def _check_target(tx: Tx, key: str, name: str, version: str | None, alias: str | None) -> None:
    if version is not None:
        mcp_servers.version_of(tx, key, name, version)
    elif alias is not None:
        mcp_servers.by_alias(tx, key, name, alias)
