"""Computes: clusters and instances as records over the machines that are there."""

from __future__ import annotations

from typing import Any

import msgspec

from lazward.contract.envelope import timestamp
from lazward.contract.errors import bad_request, conflict
from lazward.domain.durations import parse_duration
from lazward.domain.resource import Doc, WriteContext, resource

TYPES = ("AmlCompute", "ComputeInstance", "Kubernetes", "VirtualMachine", "HDInsight", "SynapseSpark", "DataFactory", "Databricks", "DataLakeAnalytics")
DEFAULT_SIZE = "Standard_DS3_v2"
MAX_NODES = 1000
# Nothing here reaches the machines that these would open, so they are not kept at all (S16).
SECRETS = frozenset(name.lower() for name in (
    "adminUserPassword", "password", "privateKeyData", "databricksAccessToken", "clientSecret", "relayConnectionString", "serviceBusConnectionString", "sslConfiguration",
))


class ScaleSettings(msgspec.Struct, rename="camel"):
    max_node_count: int = 1
    min_node_count: int | None = 0
    node_idle_time_before_scale_down: str | None = None


class ComputeProperties(msgspec.Struct, rename="camel"):
    vm_size: str | None = None
    vm_priority: str | None = None
    scale_settings: ScaleSettings | None = None
    ssh_settings: dict[str, Any] | None = None
    schedules: dict[str, Any] | None = None


class Compute(msgspec.Struct, rename="camel"):
    compute_type: str
    properties: ComputeProperties | None = None
    description: str | None = None
    resource_id: str | None = None


def fill_compute(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    properties = new["properties"]
    kind = properties["computeType"]
    if kind not in TYPES:
        raise bad_request(f"computeType is one of {', '.join(TYPES)}, not '{str(kind)[:40]}'.", "properties.computeType")
    if old and old["properties"]["computeType"] != kind:
        raise conflict(f"'{ctx.rid.name}' is of type {old['properties']['computeType']}; the type of a compute cannot be changed.", "properties.computeType")
    if not (2 <= len(ctx.rid.name) <= 32):
        raise bad_request("The name of a compute has 2 to 32 characters.", "name")
    new["location"] = new.get("location") or (ctx.workspace or {}).get("location") or ctx.location
    new["tags"] = new.get("tags") or {}
    now = timestamp(ctx.now)
    for name, value in (
        ("computeLocation", new["location"]), ("description", None), ("createdOn", (old or {"properties": {}})["properties"].get("createdOn") or now),
        ("modifiedOn", now), ("resourceId", properties.get("resourceId")), ("provisioningErrors", None), ("isAttachedCompute", bool(properties.get("resourceId"))),
        ("disableLocalAuth", properties.get("disableLocalAuth", True)),
    ):
        properties[name] = value if properties.get(name) is None or name in ("modifiedOn", "isAttachedCompute") else properties[name]
    inner = properties.get("properties")
    if inner is None:
        inner = {}
    inner = properties["properties"] = _without_secrets(inner)
    if kind == "AmlCompute":
        _fill_cluster(inner, now)
    elif kind == "ComputeInstance":
        _fill_instance(inner, (old or {"properties": {}})["properties"].get("properties") or {}, ctx, now)


def _fill_cluster(inner: Doc, now: str) -> None:
    inner["vmSize"] = inner.get("vmSize") or DEFAULT_SIZE
    inner["vmPriority"] = inner.get("vmPriority") or "Dedicated"
    inner["osType"] = inner.get("osType") or "Linux"
    scale: Doc | None = inner.get("scaleSettings")
    if scale is None:
        scale = inner["scaleSettings"] = Doc(maxNodeCount=4)
    low, high = scale.get("minNodeCount") or 0, scale.get("maxNodeCount")
    scale["minNodeCount"] = low
    scale["nodeIdleTimeBeforeScaleDown"] = scale.get("nodeIdleTimeBeforeScaleDown") or "PT2M"
    if high is None or not 1 <= high <= MAX_NODES or not 0 <= low <= high:
        raise bad_request(f"A cluster has 0 <= minNodeCount <= maxNodeCount and 1 <= maxNodeCount <= {MAX_NODES}, not {low} and {high}.", "properties.properties.scaleSettings")
    parse_duration(scale["nodeIdleTimeBeforeScaleDown"], "properties.properties.scaleSettings.nodeIdleTimeBeforeScaleDown")
    inner.setdefault("remoteLoginPortPublicAccess", "NotSpecified")
    inner.update(
        allocationState="Steady", allocationStateTransitionTime=now, errors=None, currentNodeCount=low, targetNodeCount=low,
        nodeStateCounts={"idleNodeCount": low, "runningNodeCount": 0, "preparingNodeCount": 0, "unusableNodeCount": 0, "leavingNodeCount": 0, "preemptedNodeCount": 0},
    )
    inner.setdefault("enableNodePublicIp", True)
    inner.setdefault("isolatedNetwork", False)


def _fill_instance(inner: Doc, before: Doc, ctx: WriteContext, now: str) -> None:
    inner["vmSize"] = inner.get("vmSize") or DEFAULT_SIZE
    inner["state"] = before.get("state") or "Running"
    inner.setdefault("applicationSharingPolicy", "Personal")
    inner.setdefault("computeInstanceAuthorizationType", "personal")
    inner.setdefault("sshSettings", {"sshPublicAccess": "Disabled"})
    inner["createdBy"] = before.get("createdBy") or {"userObjectId": ctx.caller.id, "userOrgId": ctx.caller.tenant, "userName": ctx.caller.name}
    inner["lastOperation"] = {"operationName": "Create" if not before else "Update", "operationTime": now, "operationStatus": "Succeeded"}
    inner["applications"] = before.get("applications") or []
    inner["errors"] = []
    inner.setdefault("enableNodePublicIp", True)
    schedules = inner.get("schedules")
    if isinstance(schedules, dict):
        entries = schedules.get("computeStartStop") or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise bad_request("The schedules of a compute instance are a list of objects.", "properties.properties.schedules.computeStartStop")
        for index, entry in enumerate(entries):
            entry.setdefault("id", ctx.new_guid())
            entry["provisioningStatus"] = "Completed"
            if str(entry.get("action")).lower() not in ("start", "stop"):
                raise bad_request("The action of a schedule is Start or Stop.", f"properties.properties.schedules.computeStartStop[{index}].action")


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(inner) for name, inner in value.items() if name.lower() not in SECRETS}
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value


def of_type(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("computeType", "")).lower() == value.lower()


COMPUTES = resource(
    "workspaces/computes", Compute, tracked=True, patchable=True, before_write=fill_compute, matches={"computeType": of_type},
    actions=frozenset({"start", "stop", "restart", "listNodes", "listKeys"}),
)
