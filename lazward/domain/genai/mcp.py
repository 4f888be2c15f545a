"""MLflow's registry of MCP servers: names, versions, states, and what is kept of a server.json, of tools and icons. Rules are MLflow's.

Addresses in it are for clients to call: this server calls none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from lazward.contract.mlflow import invalid

Json = dict[str, Any]

DRAFT, ACTIVE, DELETED = "draft", "active", "deleted"
_NEXT = {DRAFT: (ACTIVE, DELETED), ACTIVE: ("deprecated", DRAFT), "deprecated": (ACTIVE, DELETED), DELETED: ()}
TRANSPORTS = ("streamable-http", "sse")
LATEST = "latest"  # the alias that nobody sets
MAX_NAME, MAX_VERSION, MAX_NUMBER, MAX_ICONS, MAX_TOOLS = 256, 128, 2**31 - 1, 100, 1000

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]*[a-zA-Z0-9]/(?!(?:aliases|endpoints|tags|versions)$)[a-zA-Z0-9][a-zA-Z0-9._-]*[a-zA-Z0-9]")
# https://semver.org, with ASCII digits only
_SEMVER = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_TOOL = {"title": str, "description": str, "inputSchema": dict, "outputSchema": dict, "annotations": dict, "execution": dict}


class Semver(str):
    """A version as it is written: equal to what is spelled alike, before or after others by the precedence of semver.org."""

    __slots__ = ("rank",)
    rank: tuple[Any, ...]

    def __new__(cls, text: str) -> Semver:
        made = super().__new__(cls, text)
        made.rank = precedence(text)
        return made

    def __lt__(self, other: str) -> bool:
        return self.rank < precedence(other)

    def __le__(self, other: str) -> bool:
        return self.rank <= precedence(other)

    def __gt__(self, other: str) -> bool:
        return self.rank > precedence(other)

    def __ge__(self, other: str) -> bool:
        return self.rank >= precedence(other)


def precedence(version: Any, path: str = "version") -> tuple[Any, ...]:
    """What versions are ordered by; build metadata counts for nothing. INVALID_PARAMETER_VALUE for what is no semantic version."""
    found = _SEMVER.fullmatch(version) if isinstance(version, str) and len(version) <= MAX_VERSION else None
    if found is None or max(numbers := [int(found[at]) for at in (1, 2, 3)]) > MAX_NUMBER:
        raise invalid(f"Invalid semantic version for {path}: {str(version)[:200]!r}", path)
    before = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in found[4].split(".")) if found[4] else ()
    return (*numbers, not before, before)


def check_name(name: Any, path: str = "name") -> str:
    if not isinstance(name, str) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise invalid(f"Invalid MCP server name {str(name)[:100]!r}. Expected '<reverse-dns namespace>/<server slug>' such as 'com.example/server-name'.", path)
    return name


def check_status(status: Any) -> str:
    if not isinstance(status, str) or status not in _NEXT:
        raise invalid(f"Invalid status: {str(status)[:60]!r}; one of {', '.join(_NEXT)}.", "status")
    return status


def check_first_status(status: Any) -> str:
    if check_status(status) not in (DRAFT, ACTIVE):
        raise invalid("Initial MCP server registration status must be 'draft' or 'active'.", "status")
    return status


def check_change(old: str, new: str) -> None:
    if new not in _NEXT[old]:
        raise invalid(f"Invalid status transition from '{old}' to '{new}'. Allowed transitions: {sorted(_NEXT[old])}", "status")


def check_transport(transport: Any) -> str:
    if transport not in TRANSPORTS:
        raise invalid(f"Invalid transport_type: {str(transport)[:60]!r}; one of {', '.join(TRANSPORTS)}.", "transport_type")
    return transport


def check_endpoint_url(url: Any) -> str:
    if not isinstance(url, str) or not url.strip():
        raise invalid("MCP access endpoint url cannot be empty or just whitespace.", "url")
    return url


def server_json(given: Any) -> Json:
    """What is kept of a server.json, which may stand in the envelope that public registries answer with."""
    path = "server_json"
    if isinstance(given, dict) and not {"name", "version"} <= given.keys() and isinstance(given.get("server"), dict):
        given = given["server"]
    _members(given, path, {"name": str, "version": str}, {"title": str, "description": str, "packages": list, "remotes": list, "repository": dict, "websiteUrl": str, "_meta": dict})
    check_name(given["name"], f"{path}.name")
    precedence(given["version"], f"{path}.version")
    for at, one in enumerate(given.get("packages") or []):
        where = f"{path}.packages[{at}]"
        _members(one, where, {"registryType": str, "identifier": str}, {"registryBaseUrl": str, "version": str, "environmentVariables": list})
        if "transport" not in one:
            raise invalid(f"Invalid request: {where}.transport: Field required", f"{where}.transport")
        for number, variable in enumerate(one.get("environmentVariables") or []):
            _members(variable, f"{where}.environmentVariables[{number}]", {"name": str}, {"description": str, "isRequired": bool, "isSecret": bool})
    for at, one in enumerate(given.get("remotes") or []):
        _members(one, f"{path}.remotes[{at}]", {}, {"type": str, "url": str})
    if given.get("repository") is not None:
        _members(given["repository"], f"{path}.repository", {"url": str, "source": str}, {"id": str, "subfolder": str})
    return {**given, "icons": icons(given["icons"], f"{path}.icons")} if "icons" in given else dict(given)


def tools(given: Any) -> list[Json] | None:
    if given is None:
        return None
    _list(given, "tools", MAX_TOOLS)
    out = []
    for at, one in enumerate(given):
        path = f"tools[{at}]"
        _members(one, path, {"name": str}, _TOOL)
        kept = {name: one[name] for name in ("name", *_TOOL) if one.get(name) is not None}
        out.append({**kept, "icons": icons(one["icons"], f"{path}.icons")} if one.get("icons") is not None else kept)
    return out


def icons(given: Any, path: str = "icons") -> list[Json] | None:
    """Without the member `source`, which only answers have (resolved_icons())."""
    if given is None:
        return None
    _list(given, path, MAX_ICONS)
    out = []
    for at, one in enumerate(given):
        where = f"{path}[{at}]"
        _members(one, where, {"src": str}, {"sizes": list, "mimeType": str, "theme": str})
        address = _address(one["src"], f"{where}.src")
        if one.get("source") == "version":
            raise invalid(f"Invalid {where}.source: 'version' is response-only and cannot be written.", f"{where}.source")
        kind = one.get("mimeType")
        if kind is not None and not re.fullmatch(r"image/.+", kind := kind.strip().lower()):
            raise invalid(f"Invalid icon mimeType {kind[:60]!r}. Allowed values must use the 'image/*' media type.", f"{where}.mimeType")
        kept = {name: value for name, value in one.items() if name != "source" and value is not None}
        out.append({**kept, "src": address, **({"mimeType": kind} if kind is not None else {})})
    return out


def resolved_icons(own: list[Json] | None, latest: list[Json] | None) -> list[Json] | None:
    """A server's icons: its own, and of its latest version those of other themes. An empty list of its own stays empty."""
    if own == []:
        return []
    themes = {one.get("theme") for one in own or []}
    found = [{**one, "source": "server"} for one in own or []]
    found += [{**one, "source": "version"} for one in latest or [] if one.get("theme") not in themes]
    return found or None


def connect_options(given: Any) -> Json | None:
    """{name of a package or remote: {"hidden": bool}}"""
    if given is None:
        return None
    _members(given, "connect_options", {}, {})
    for name, one in given.items():
        _members(one, f"connect_options.{name}", {}, {"hidden": bool})
    return {name: {"hidden": bool(one.get("hidden"))} for name, one in given.items()}


def _members(given: Any, path: str, required: Mapping[str, type], optional: Mapping[str, type]) -> None:
    if not isinstance(given, dict):
        raise invalid(f"Invalid request: {path}: it must be an object.", path)
    for name, kind in {**optional, **required}.items():
        value = given.get(name)
        if value is None and name in required:
            raise invalid(f"Invalid request: {path}.{name}: Field required", f"{path}.{name}")
        if value is not None and not isinstance(value, kind):
            raise invalid(f"Invalid request: {path}.{name}: it must be of type {kind.__name__}.", f"{path}.{name}")


def _list(given: Any, path: str, most: int) -> None:
    if not isinstance(given, list):
        raise invalid(f"Invalid {path}. Expected a list.", path)
    if len(given) > most:
        raise invalid(f"Invalid {path}. It must contain at most {most} items.", path)


def _address(url: str, path: str) -> str:
    """A page shows it, so that only https will do: no javascript:, data: or file:."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise invalid(f"Invalid icon URL {url[:200]!r}: an https address is expected.", path)
    return url
