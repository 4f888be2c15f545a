"""The registry of MCP servers: servers, their versions, aliases and tags (their endpoints: mcp_endpoints.py).

A workspace has few of them, so that each call reads a server whole and decides in memory what is latest and what an alias means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import MlflowError, invalid, missing
from lazward.domain.genai import mcp
from lazward.storage import experiments
from lazward.storage.db import Tx
from lazward.storage.engines import dumps
from lazward.storage.eval_datasets import moment
from lazward.storage.genai_tables import mcp_endpoint, mcp_server, mcp_version
from lazward.storage.pieces import pieces

Json = dict[str, Any]


class Version(msgspec.Struct):
    """Times are unix seconds, as everywhere here. doc: its server.json; tools: a list or null; both are JSON text."""

    seq: int
    server: int
    version: str
    status: str
    doc: str
    tools: str | None
    connect_options: Json | None
    source: str | None
    tags: dict[str, str]
    created: float
    updated: float
    created_by: str | None
    updated_by: str | None


class Endpoint(msgspec.Struct):
    """Where a server can be reached, as one version of it or what an alias says."""

    seq: int
    server: int
    id: str
    url: str
    transport: str
    version: str | None
    alias: str | None
    created: float
    updated: float
    created_by: str | None
    updated_by: str | None


class Server(msgspec.Struct):
    """versions: those that are not deleted. endpoints: those that lead to one of them, oldest first."""

    seq: int
    name: str
    display_name: str | None
    description: str | None
    icons: list[Json] | None
    tags: dict[str, str]
    aliases: dict[str, str]
    created: float
    updated: float
    created_by: str | None
    updated_by: str | None
    versions: dict[str, Version] = msgspec.field(default_factory=dict)
    endpoints: list[Endpoint] = msgspec.field(default_factory=list)

    def latest(self) -> Version | None:
        """The greatest of the active versions, or of all when none is active; of equal ones the newest."""
        return max(self.versions.values(), key=lambda v: (v.status == mcp.ACTIVE, mcp.precedence(v.version), v.created, v.version), default=None)

    def of_alias(self, alias: str) -> Version | None:
        return self.latest() if alias == mcp.LATEST else self.versions.get(self.aliases.get(alias, ""))

    def target(self, endpoint: Endpoint) -> Version | None:
        return self.of_alias(endpoint.alias) if endpoint.alias is not None else self.versions.get(endpoint.version or "")


_OWN = [mcp_server.c["id" if name == "name" else name] for name in Server.__struct_fields__ if name not in ("versions", "endpoints")]
_VERSION = [mcp_version.c[name] for name in Version.__struct_fields__]
_ENDPOINT = [mcp_endpoint.c[name] for name in Endpoint.__struct_fields__]


def every(tx: Tx, key: str, name: str | None = None) -> list[Server]:
    """Of the workspace, by name; with `name` only that one, if it is there."""
    rows = tx.execute(sa.select(*_OWN).where(mcp_server.c.workspace == key, *([] if name is None else [mcp_server.c.id == name])).order_by(mcp_server.c.id))
    found = {row[0]: Server(*row) for row in rows}
    if not found:
        experiments.workspace(tx, key)
    for some in pieces(list(found)):
        for row in tx.execute(sa.select(*_VERSION).where(mcp_version.c.server.in_(some), mcp_version.c.status != mcp.DELETED).order_by(mcp_version.c.seq)):
            found[row.server].versions[row.version] = Version(*row)
        for row in tx.execute(sa.select(*_ENDPOINT).where(mcp_endpoint.c.server.in_(some)).order_by(mcp_endpoint.c.seq)):
            found[row.server].endpoints.append(Endpoint(*row))
    for server in found.values():
        server.endpoints = [one for one in server.endpoints if server.target(one) is not None]
    return list(found.values())


def get(tx: Tx, key: str, name: str) -> Server:
    found = every(tx, key, name)
    if not found:
        raise missing(f"MCP server '{name[:256]}' not found")
    return found[0]


def create(tx: Tx, key: str, name: str, description: str | None, icons: list[Json] | None, user: str, now: float) -> Server:
    experiments.workspace(tx, key)
    if not _insert(tx, key, name, description, icons, user, now):
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"MCP server with name '{name}' already exists", "name")
    return get(tx, key, name)


def update(tx: Tx, key: str, name: str, changes: Json, user: str, now: float) -> Server:
    """changes: description, display_name, icons, tags, aliases."""
    tx.execute(sa.update(mcp_server).where(mcp_server.c.seq == get(tx, key, name).seq).values(**_storable(changes), updated=moment(now), updated_by=user))
    return get(tx, key, name)


def delete(tx: Tx, key: str, name: str) -> None:
    """With its versions and endpoints. Refused while a version is active."""
    server = get(tx, key, name)
    if active := next((one for one in server.versions.values() if one.status == mcp.ACTIVE), None):
        raise invalid(f"Cannot delete MCP server '{name}' while it still has an active version ('{active.version}'). Delete or deactivate the active version first.", "name")
    for table in (mcp_version, mcp_endpoint):
        tx.execute(sa.delete(table).where(table.c.server == server.seq))
    tx.execute(sa.delete(mcp_server).where(mcp_server.c.seq == server.seq))


def set_tag(tx: Tx, key: str, name: str, tag: str, value: str) -> None:
    _write(tx, mcp_server, (server := get(tx, key, name)).seq, tags={**server.tags, tag: value})


def delete_tag(tx: Tx, key: str, name: str, tag: str) -> None:
    server = get(tx, key, name)
    if tag not in server.tags:
        raise missing(f"Tag '{tag[:250]}' not found on MCP server '{name}'")
    _write(tx, mcp_server, server.seq, tags={k: v for k, v in server.tags.items() if k != tag})


# ---- versions -------------------------------------------------------------------------------------------------------------


def create_version(
    tx: Tx, key: str, doc: Json, status: str, tools: list[Json] | None, connect_options: Json | None, source: str | None, user: str, now: float,
) -> tuple[Server, Version]:
    """Makes the server when there is none. A version that is deleted is not given again."""
    experiments.workspace(tx, key)
    name, version, at = doc["name"], doc["version"], moment(now)
    _insert(tx, key, name, None, None, user, now)
    values = {
        "server": get(tx, key, name).seq, "version": version, "status": status, "doc": dumps(doc), "tools": None if tools is None else dumps(tools), "source": source,
        "connect_options": _json(connect_options), "tags": {}, "created": at, "updated": at, "created_by": user, "updated_by": user,
    }
    if tx.execute(_insert_once(tx, mcp_version).values(**values).on_conflict_do_nothing().returning(mcp_version.c.seq)).first() is None:
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"MCP server version '{name}' version '{version}' already exists", "server_json.version")
    return version_of(tx, key, name, version)


def version_of(tx: Tx, key: str, name: str, version: str) -> tuple[Server, Version]:
    found = every(tx, key, name)
    if not found or version not in found[0].versions:
        raise missing(f"MCP server version '{name[:256]}' version '{version[:128]}' not found")
    return found[0], found[0].versions[version]


def by_alias(tx: Tx, key: str, name: str, alias: str) -> tuple[Server, Version]:
    server = get(tx, key, name)
    found = server.of_alias(alias)
    if found is None:
        raise missing(f"No resolved latest version found for MCP server '{name}'" if alias == mcp.LATEST else f"Alias '{alias[:256]}' not found for MCP server '{name}'")
    return server, found


def update_version(tx: Tx, key: str, name: str, version: str, changes: Json, user: str, now: float) -> tuple[Server, Version]:
    """changes: status, tools (a list or None), connect_options. A version whose status becomes deleted goes as with delete_version()."""
    server, found = version_of(tx, key, name, version)
    if "status" in changes:
        mcp.check_change(found.status, changes["status"])
    if "tools" in changes:
        changes = {**changes, "tools": None if changes["tools"] is None else dumps(changes["tools"])}
    _write(tx, mcp_version, found.seq, **_storable(changes), updated=moment(now), updated_by=user)
    if changes.get("status") != mcp.DELETED:
        return version_of(tx, key, name, version)
    _forget(tx, server, version)
    return server, msgspec.structs.replace(found, status=mcp.DELETED, updated=moment(now), updated_by=user)


def delete_version(tx: Tx, key: str, name: str, version: str, now: float) -> None:
    """With the aliases that mean it and the endpoints that lead to it. Its number is not given again."""
    server, found = version_of(tx, key, name, version)
    mcp.check_change(found.status, mcp.DELETED)
    _write(tx, mcp_version, found.seq, status=mcp.DELETED, updated=moment(now))
    _forget(tx, server, version)


def set_version_tag(tx: Tx, key: str, name: str, version: str, tag: str, value: str) -> None:
    _, found = version_of(tx, key, name, version)
    _write(tx, mcp_version, found.seq, tags={**found.tags, tag: value})


def delete_version_tag(tx: Tx, key: str, name: str, version: str, tag: str) -> None:
    _, found = version_of(tx, key, name, version)
    if tag not in found.tags:
        raise missing(f"Tag '{tag[:250]}' not found on MCP server version '{name}' version '{version}'")
    _write(tx, mcp_version, found.seq, tags={k: v for k, v in found.tags.items() if k != tag})


# ---- aliases --------------------------------------------------------------------------------------------------------------


def set_alias(tx: Tx, key: str, name: str, alias: str, version: str) -> None:
    if alias == mcp.LATEST:
        raise invalid("The alias name 'latest' is reserved for automatic resolution", "alias")
    server, _ = version_of(tx, key, name, version)
    _write(tx, mcp_server, server.seq, aliases={**server.aliases, alias: version})


def delete_alias(tx: Tx, key: str, name: str, alias: str) -> None:
    """With the endpoints that lead where it says."""
    found = every(tx, key, name)
    if not found or alias not in found[0].aliases:
        raise missing(f"Alias '{alias[:256]}' not found on MCP server '{name[:256]}'")
    _drop(tx, found[0], lambda one: one.alias == alias)
    _write(tx, mcp_server, found[0].seq, aliases={k: v for k, v in found[0].aliases.items() if k != alias})


def _forget(tx: Tx, server: Server, version: str) -> None:
    """Nothing leads to a version that is deleted."""
    gone = {alias for alias, meant in server.aliases.items() if meant == version}
    last = not server.versions.keys() - {version}
    _drop(tx, server, lambda one: one.version == version or one.alias in gone or (last and one.alias == mcp.LATEST))
    if gone:
        _write(tx, mcp_server, server.seq, aliases={k: v for k, v in server.aliases.items() if k not in gone})


def _drop(tx: Tx, server: Server, which: Callable[[Endpoint], bool]) -> None:
    for some in pieces([one.seq for one in server.endpoints if which(one)]):
        tx.execute(sa.delete(mcp_endpoint).where(mcp_endpoint.c.seq.in_(some)))


def _insert(tx: Tx, key: str, name: str, description: str | None, icons: list[Json] | None, user: str, now: float) -> bool:
    """False when there is one of that name."""
    at = moment(now)
    values = {
        "workspace": key, "id": name, "description": description, "icons": _json(icons), "tags": {}, "aliases": {}, "created": at, "updated": at, "created_by": user,
        "updated_by": user,
    }
    return tx.execute(_insert_once(tx, mcp_server).values(**values).on_conflict_do_nothing().returning(mcp_server.c.seq)).first() is not None


def _insert_once(tx: Tx, table: sa.Table) -> Any:
    return (sqlite if tx.sqlite else postgresql).insert(table)


def _write(tx: Tx, table: sa.Table, seq: int, **values: Any) -> None:
    tx.execute(sa.update(table).where(table.c.seq == seq).values(**values))


def _json(value: Any) -> Any:
    return sa.null() if value is None else value  # the column is empty, and holds no JSON null


def _storable(changes: Json) -> Json:
    return {name: _json(value) for name, value in changes.items()}
