"""A valid resource of every type in the REGISTRY: body, what may change in it, what may not. A type without an entry fails test_registry."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lazward.contract.ids import ML
from lazward.domain.resource import REGISTRY, ResourceType

Json = dict[str, Any]
CURATED = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"


@dataclass(frozen=True)
class Kind:
    """body(id of the resource above) -> a valid body. change: (path into the body, another value) that an update may bring.
    frozen: the same for what must stay as it is. wrong: members of properties with a value of a type that never fits."""

    path: str
    body: Callable[[str], Json]
    change: tuple[tuple[str, ...], Any]
    frozen: tuple[tuple[str, ...], Any] | None = None
    name: str = "Thing"

    @property
    def declared(self) -> ResourceType:
        return REGISTRY[f"{ML}/{self.path}".lower()]


def workspace_of(parent: str) -> str:
    return "/".join(parent.split("/")[:9])


def _asset(above: str, family: str, properties: Callable[[], Json], frozen: tuple[tuple[str, ...], Any]) -> list[Kind]:
    described = (("properties", "description"), "changed")
    return [
        Kind(f"{above}/{family}", lambda parent: {"properties": {"description": "first", "tags": {"a": "1"}}}, described),
        Kind(f"{above}/{family}/versions", lambda parent: {"properties": {"description": "first", "tags": {"a": "1"}, **properties()}}, described, frozen, "1"),
    ]


def _assets(above: str) -> list[Kind]:
    uri = "azureml://datastores/workspaceblobstore/paths/somewhere/"
    return [
        *_asset(above, "codes", lambda: {"codeUri": f"https://host/c/{uuid.uuid4()}"}, (("properties", "codeUri"), "https://host/c/other")),
        *_asset(above, "environments", lambda: {"image": "python:3.11", "condaFile": "name: a\ndependencies:\n- python=3.11\n"}, (("properties", "image"), "python:3.12")),
        *_asset(above, "data", lambda: {"dataUri": uri, "dataType": "uri_file"}, (("properties", "dataUri"), uri + "other/")),
        *_asset(above, "models", lambda: {"modelUri": uri, "modelType": "mlflow_model"}, (("properties", "modelUri"), uri + "other/")),
        *_asset(above, "components", lambda: {"componentSpec": {"type": "command", "command": "echo"}}, (("properties", "componentSpec", "command"), "ls")),
    ]


def _deployment(parent: str) -> Json:
    return {"location": "local", "sku": {"name": "Default", "capacity": 1}, "properties": {
        "endpointComputeType": "Managed", "environmentId": CURATED, "codeConfiguration": {"scoringScript": "score.py"}, "description": "first",
    }}


def _job(parent: str) -> Json:
    return {"properties": {"jobType": "Command", "command": "echo hello", "environmentId": CURATED, "description": "first", "tags": {"a": "1"}}}


def _schedule(parent: str) -> Json:
    return {"properties": {
        "trigger": {"triggerType": "Cron", "expression": "0 * * * *", "timeZone": "Pacific Standard Time"},
        "action": {"actionType": "CreateJob", "jobDefinition": _job(parent)["properties"]}, "description": "first", "tags": {"a": "1"},
    }}


KINDS: dict[str, Kind] = {kind.path: kind for kind in [
    Kind("workspaces", lambda parent: {"location": "local", "tags": {"a": "1"}, "properties": {"description": "first"}}, (("properties", "description"), "changed")),
    Kind("registries", lambda parent: {"location": "local", "tags": {"a": "1"}, "properties": {"description": "first"}}, (("properties", "description"), "changed")),
    *_assets("workspaces"),
    *_assets("registries"),
    Kind(
        "workspaces/datastores",
        lambda parent: {"properties": {"datastoreType": "AzureBlob", "accountName": "elsewhere", "containerName": "c", "credentials": {"credentialsType": "None"}, "description": "first"}},
        (("properties", "description"), "changed"), name="thing_",
    ),
    Kind(
        "workspaces/connections",
        lambda parent: {"properties": {"category": "CustomKeys", "authType": "CustomKeys", "target": "first", "credentials": {"keys": {"k": "verysecret"}}}},
        (("properties", "target"), "changed"),
    ),
    Kind(
        "workspaces/computes",
        lambda parent: {"location": "local", "tags": {"a": "1"}, "properties": {"computeType": "AmlCompute", "description": "first", "properties": {"vmSize": "x", "scaleSettings": {"maxNodeCount": 2}}}},
        (("properties", "description"), "changed"), (("properties", "computeType"), "ComputeInstance"),
    ),
    Kind(
        "workspaces/onlineEndpoints", lambda parent: {"location": "local", "tags": {"a": "1"}, "properties": {"authMode": "Key", "description": "first"}},
        (("properties", "description"), "changed"), (("properties", "authMode"), "AMLToken"), name="Endpoint",
    ),
    Kind("workspaces/onlineEndpoints/deployments", _deployment, (("properties", "description"), "changed"), name="blue"),
    Kind("workspaces/schedules", _schedule, (("properties", "description"), "changed")),
    Kind("workspaces/jobs", _job, (("properties", "description"), "changed"), (("properties", "command"), "echo other")),
]}


def parent_of(plane: Any, path: str) -> str:
    """A resource to hold one of that type: a fresh group, container or endpoint; a workspace or registry, which tests share."""
    pieces = path.split("/")
    if len(pieces) == 1:
        return plane.group()
    home = plane.shared(pieces[0])
    if len(pieces) == 2:
        return home
    above = KINDS["/".join(pieces[:-1])]
    parent = f"{home}/{pieces[1]}/{plane.name(above.name)}"
    if pieces[-1] != "versions":
        plane.put(parent, above.body(home))
        plane.settle()
    return parent


def item_id(plane: Any, path: str, parent: str, name: str = "") -> str:
    """The id of a new resource of that type below parent."""
    collection = path.rsplit("/", 1)[-1]
    between = f"/providers/{ML}" if "/" not in path else ""
    start = KINDS[path].name
    return f"{parent}{between}/{collection}/{name or plane.name(start)}"


def set_at(body: Json, path: tuple[str, ...], value: Any) -> Json:
    """The body with another value at path."""
    out = dict(body)
    out[path[0]] = value if len(path) == 1 else set_at(out.get(path[0]) or {}, path[1:], value)
    return out


def at(body: Json, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body[name]
    return body
