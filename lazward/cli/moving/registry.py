"""Registered models and prompts as records, and records as documents: written by the engine that a client's PUT goes through, so that
they are checked and stamped alike; but with the times they have, and without telling webhooks and schedules of what happened elsewhere."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import lazward.domain.resources  # noqa: F401 - fills the REGISTRY
from lazward.apps.arm import engine
from lazward.apps.arm.engine import Facts
from lazward.apps.model_registry import FAMILIES, target_of
from lazward.contract.caller import SYSTEM
from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, ResourceId, parse
from lazward.domain.settings import Settings
from lazward.domain.tracking import names
from lazward.domain.tracking.moved import Files, Owner, Registered, Version
from lazward.domain.tracking.paths import CONTAINER, below, run_prefix, trace_prefix
from lazward.orchestration.data import Place, locate
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.moving.write import MADE, OTHER, SAME
from lazward.storage.resources import Row

UPLOADS = "LocalUpload"
_COUNTED = ("latestVersion", "nextVersion", "provisioningState")
_RUN = re.compile(r"ExperimentRun/dcid\.(?P<id>[^/]+)(?:/(?P<path>.*))?")
_UPLOAD = re.compile(UPLOADS + r"/(?P<id>[0-9a-f]{32})/(?P<path>.+)")


def prefix_of(owner: Owner, id_: str) -> str:
    """The folder in the artifact container."""
    names.check_run_id(id_, "id")
    return {"run": run_prefix, "model": run_prefix, "trace": trace_prefix, "upload": lambda i: f"{UPLOADS}/{i}"}[owner](id_)


def containers(tx: Tx, workspace: str) -> list[Registered]:
    found = [row for family in FAMILIES for row in resources.every(tx, f"{ML}/workspaces/{family}", parent=workspace)]
    return [_registered(row) for row in found]


def versions(tx: Tx, workspace: str, family: str, name: str) -> list[tuple[Version, Place | None]]:
    """With where the files lie; None for those on the web, and for prompts."""
    home = resources.get(tx, workspace)
    assert home is not None
    rows = resources.every(tx, f"{ML}/workspaces/{family}/versions", parent=f"{workspace}/{family}/{name}")
    return [_version(tx, home, row) for row in rows]


def write_container(tx: Tx, workspace: str, new: Registered, settings: Settings) -> str:
    rid = _home(tx, workspace).child(new.family, new.name)
    if mine := resources.get(tx, rid.key):
        return SAME if _told(_registered(mine).properties) == _told(new.properties) else OTHER
    other = next(family for family in FAMILIES if family != new.family)
    if resources.exists(tx, _home(tx, workspace).child(other, new.name).key):
        raise ArmError(409, "Conflict", f"'{new.name}' is registered in '{other}' here.", "name")
    _store(tx, rid, new.properties, new, settings)
    return MADE


def write_version(tx: Tx, workspace: str, new: Version, settings: Settings) -> str:
    home = resources.get(tx, workspace)
    assert home is not None
    above = resources.get(tx, _home(tx, workspace).child(new.family, new.name).key)
    if above is None:
        raise ArmError(404, "ResourceNotFound", f"The model '{new.name}' was not imported.", "name")
    rid = parse(above.id).child("versions", new.version)
    if mine := resources.get(tx, rid.key):
        known, _ = _version(tx, home, mine)
        return SAME if (_told(known.properties), known.files) == (_told(new.properties), new.files) else OTHER
    properties = dict(new.properties)
    if new.files:
        folder = below(prefix_of(new.files.owner, new.files.id), new.files.path, "files.path")
        w = parse(workspace_id(tx, workspace))
        properties["modelUri"] = f"azureml://subscriptions/{w.subscription}/resourcegroups/{w.group}/workspaces/{w.name}/datastores/workspaceartifactstore/paths/{folder}"
    elif properties.get("modelUri"):
        locate(tx, home, properties["modelUri"], "modelUri", "models")  # of the web; refuses what leads into other workspaces
    _store(tx, rid, properties, new, settings)
    counted = resources.get(tx, above.key)
    assert counted is not None
    resources.set_times(tx, counted, above.created, above.updated)  # it was counted, not changed
    return MADE


def workspace_id(tx: Tx, workspace: str) -> str:
    row = resources.get(tx, workspace)
    assert row is not None
    return row.id


def _home(tx: Tx, workspace: str) -> ResourceId:
    return parse(workspace_id(tx, workspace))


def _store(tx: Tx, rid: ResourceId, properties: dict[str, Any], new: Registered | Version, settings: Settings) -> None:
    facts = Facts(SYSTEM, new.created, settings.base_url, settings.gateway_url, settings.location)
    row = engine.store(tx, target_of(rid), {"properties": {k: v for k, v in properties.items() if k not in _COUNTED}}, facts)[0]
    row.doc["systemData"]["lastModifiedAt"] = timestamp(new.updated)
    resources.set_times(tx, row, new.created, new.updated)


def _registered(row: Row) -> Registered:
    properties = {k: v for k, v in row.properties.items() if k not in _COUNTED}
    return Registered("prompts" if "/prompts" in row.type else "models", row.name, properties, row.created, row.updated)


def _version(tx: Tx, home: Row, row: Row) -> tuple[Version, Place | None]:
    properties = {k: v for k, v in row.properties.items() if k not in (*_COUNTED, "modelUri")}
    family = "prompts" if "/prompts" in row.type else "models"
    made = Version(family, parse(row.id).parent.name, row.name, properties, None, row.created, row.updated)
    uri = row.properties.get("modelUri")
    if not uri:
        return made, None
    place = locate(tx, home, uri, "modelUri", "models")
    if not place.account:
        made.properties["modelUri"] = uri
        return made, None
    made.files = _files(place)
    return made, place


def _files(place: Place) -> Files:
    path = place.path.rstrip("/")
    if place.container == CONTAINER:
        if (match := _RUN.fullmatch(path)) and names.is_run_id(match["id"]):
            return Files("model" if re.fullmatch(r"m-[0-9a-f]{32}", match["id"]) else "run", match["id"], match["path"] or "")
        if match := _UPLOAD.fullmatch(path):
            return Files("upload", match["id"], match["path"])
    return Files("upload", hashlib.sha256(f"{place.container}/{path}".encode()).hexdigest()[:32], path.rpartition("/")[2])


def _told(properties: dict[str, Any]) -> dict[str, Any]:
    """Without what says nothing, which the engine may or may not have filled in."""
    return {k: v for k, v in properties.items() if v not in (None, "", {}, False) and k not in (*_COUNTED, "modelUri")}
