"""Online endpoints and their deployments."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lazward.contract.errors import bad_request
from lazward.domain.durations import parse_duration
from lazward.domain.resource import Doc, WriteContext, resource
from lazward.domain.serving import route_prefix
from lazward.domain.variables import check_variables

AUTH_MODES = {"key": "Key", "amltoken": "AMLToken", "aadtoken": "AADToken"}
_ENDPOINT = re.compile(r"^[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]$")
_DEPLOYMENT = re.compile(r"^[A-Za-z][A-Za-z0-9-]{0,30}[A-Za-z0-9]$|^[A-Za-z]$")


class OnlineEndpoint(msgspec.Struct, rename="camel"):
    auth_mode: str
    description: str | None = None
    traffic: dict[str, int] | None = None
    mirror_traffic: dict[str, int] | None = None
    compute: str | None = None
    keys: dict[str, str | None] | None = None
    public_network_access: str | None = None
    properties: dict[str, Any] | None = None


def fill_endpoint(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    properties = new["properties"]
    if not _ENDPOINT.match(ctx.rid.name):
        raise bad_request("The name of an endpoint has 3 to 32 letters, digits and '-', and starts with a letter.", "name")
    mode = AUTH_MODES.get(str(properties["authMode"]).lower())
    if mode is None:
        raise bad_request(f"authMode is one of Key, AMLToken, AADToken, not '{str(properties['authMode'])[:40]}'.", "properties.authMode")
    if old and old["properties"]["authMode"] != mode:
        raise bad_request("The authMode of an endpoint cannot be changed.", "properties.authMode")
    properties["authMode"] = mode
    new["location"] = new.get("location") or ctx.location
    new["tags"] = new.get("tags") or {}
    new["identity"] = new.get("identity") or (old or {}).get("identity") or {"type": "SystemAssigned", "principalId": ctx.new_guid(), "tenantId": ctx.caller.tenant}
    new["kind"] = new.get("kind") or "Managed"
    for name in ("traffic", "mirrorTraffic"):
        value = properties.get(name)
        if value is None:  # an update that does not speak of traffic must not take it away
            value = {} if ctx.patch else (old or {"properties": {}})["properties"].get(name) or {}
        properties[name] = {str(k).lower(): v for k, v in value.items()}
        _check_traffic(properties[name], name, most=100 if name == "traffic" else 50)
    guid = ((ctx.workspace or {}).get("properties") or {}).get("workspaceId", "")
    base = ctx.gateway_url + route_prefix(*route_pieces(guid, ctx.rid.name))
    properties["scoringUri"] = f"{base}/score"
    properties["swaggerUri"] = f"{base}/swagger.json"
    properties["publicNetworkAccess"] = properties.get("publicNetworkAccess") or "Enabled"
    properties["properties"] = properties.get("properties") or {}
    properties.setdefault("description", None)
    properties.setdefault("compute", None)


def route_pieces(workspace_guid: str, endpoint: str) -> tuple[str, str]:
    """First two pieces of the path on the gateway: one for the workspace, which no rename changes, one for the endpoint."""
    return workspace_guid.replace("-", "")[:12], endpoint.lower()


def _check_traffic(traffic: dict[str, int], member: str, most: int) -> None:
    for name, percent in traffic.items():
        if not 0 <= percent <= most:
            raise bad_request(f"The share of '{name}' is between 0 and {most} percent, not {percent}.", f"properties.{member}.{name}")
    total = sum(traffic.values())
    if member == "traffic" and total not in (0, 100):
        raise bad_request(f"The shares of traffic add up to 100 (or 0), not {total}.", "properties.traffic")
    if total > most:
        raise bad_request(f"The shares of {member} add up to at most {most}, not {total}.", f"properties.{member}")


def named(doc: Doc, value: str) -> bool:
    return doc["name"].lower() == value.lower()


def of_compute_type(doc: Doc, value: str) -> bool:
    return str(doc.get("kind", "")).lower() == value.lower()


ENDPOINTS = resource(
    "workspaces/onlineEndpoints", OnlineEndpoint, tracked=True, patchable=True, before_write=fill_endpoint,
    provision="endpoint.apply", deprovision="endpoint.delete", deleted=200,
    actions=frozenset({"listKeys", "regenerateKeys", "token"}), matches={"name": named, "computeType": of_compute_type},
)


class CodeConfiguration(msgspec.Struct, rename="camel"):
    scoring_script: str
    code_id: str | None = None


class RequestSettings(msgspec.Struct, rename="camel"):
    request_timeout: str | None = None
    max_concurrent_requests_per_instance: int | None = None
    max_queue_wait: str | None = None


class OnlineDeployment(msgspec.Struct, rename="camel"):
    endpoint_compute_type: str = "Managed"
    model: str | None = None
    model_mount_path: str | None = None
    environment_id: str | None = None
    code_configuration: CodeConfiguration | None = None
    environment_variables: dict[str, Any] | None = None
    instance_type: str | None = None
    scale_settings: dict[str, Any] | None = None
    request_settings: RequestSettings | None = None
    liveness_probe: dict[str, Any] | None = None
    readiness_probe: dict[str, Any] | None = None
    app_insights_enabled: bool | None = None
    description: str | None = None
    properties: dict[str, Any] | None = None


def fill_deployment(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    properties = new["properties"]
    if not _DEPLOYMENT.match(ctx.rid.name):
        raise bad_request("The name of a deployment has 1 to 32 letters, digits and '-', and starts with a letter.", "name")
    properties["endpointComputeType"] = properties.get("endpointComputeType") or "Managed"
    if not properties.get("model") and not properties.get("codeConfiguration"):
        raise bad_request("A deployment needs a model, a codeConfiguration, or both.", "properties.model")
    if properties.get("codeConfiguration") and not properties.get("environmentId"):
        raise bad_request("A deployment with a scoring script needs an environment.", "properties.environmentId")
    new["location"] = new.get("location") or ctx.location
    new["tags"] = new.get("tags") or {}
    sku = new["sku"] = {"name": "Default", "capacity": 1, **(new.get("sku") or {})}
    capacity = sku["capacity"]
    if not isinstance(capacity, int) or isinstance(capacity, bool) or not 0 <= capacity <= 100:
        raise bad_request(f"The capacity of a deployment is 0 to 100 instances, not {capacity!r}.", "sku.capacity")
    settings = properties["requestSettings"] = dict(properties.get("requestSettings") or {})
    settings["requestTimeout"] = settings.get("requestTimeout") or "PT5S"
    settings["maxConcurrentRequestsPerInstance"] = settings.get("maxConcurrentRequestsPerInstance") or 1
    settings["maxQueueWait"] = settings.get("maxQueueWait") or "PT0.5S"
    seconds = parse_duration(settings["requestTimeout"], "properties.requestSettings.requestTimeout")
    if not 0 < seconds <= 180:
        raise bad_request("A request may take up to 180 s (PT180S).", "properties.requestSettings.requestTimeout")
    # The SDK reads scaleSettings without asking whether it is there.
    properties["scaleSettings"] = properties.get("scaleSettings") or {"scaleType": "Default"}
    properties["instanceType"] = properties.get("instanceType") or "Standard_DS3_v2"
    for name in ("environmentVariables", "properties"):
        properties[name] = properties.get(name) or {}
    properties.setdefault("appInsightsEnabled", False)
    properties.setdefault("egressPublicNetworkAccess", "Enabled")
    properties.setdefault("description", None)
    check_variables(properties)
    for probe in ("livenessProbe", "readinessProbe"):
        facts = properties.get(probe) or {}
        for name in ("timeout", "period", "initialDelay"):
            if facts.get(name) is not None:
                parse_duration(facts[name], f"properties.{probe}.{name}")
        for name in ("failureThreshold", "successThreshold"):
            value = facts.get(name)
            if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000):
                raise bad_request(f"{name} is a number between 1 and 10000.", f"properties.{probe}.{name}")
        properties[probe] = {"failureThreshold": 30, "successThreshold": 1, "timeout": "PT2S", "period": "PT10S", "initialDelay": "PT10S", **{k: v for k, v in facts.items() if v is not None}}


DEPLOYMENTS = resource(
    "workspaces/onlineEndpoints/deployments", OnlineDeployment, tracked=True, patchable=True, before_write=fill_deployment,
    provision="deployment.apply", deprovision="deployment.delete", deleted=200, actions=frozenset({"getLogs"}),
)
