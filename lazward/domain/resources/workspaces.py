"""Workspaces and registries: what everything else lies in."""

from __future__ import annotations

import msgspec

from lazward.contract.errors import bad_request, conflict
from lazward.domain.blobs.names import storage_account
from lazward.domain.resource import Doc, WriteContext, resource

BUILT_IN_REGISTRY = "azureml"  # holds the curated environments; everybody may read it
KINDS = ("Default", "Hub", "Project", "FeatureStore")
# What the server or the first write decided: it stays when a later PUT does not name it.
KEPT = ("keyVault", "applicationInsights", "containerRegistry", "hubResourceId", "systemDatastoresAuthMode", "friendlyName")


class Workspace(msgspec.Struct, rename="camel"):
    friendly_name: str | None = None
    description: str | None = None
    public_network_access: str | None = None
    hbi_workspace: bool | None = None
    v1_legacy_mode: bool | None = None


def fill_workspace(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    """Sets what the server decides: guid, storage account, the addresses of the data planes."""
    properties = new["properties"]
    before = old["properties"] if old else {}
    kind = new.get("kind") or (old or {}).get("kind") or "Default"
    if kind not in KINDS:
        raise bad_request(f"kind is one of {', '.join(KINDS)}, not '{kind[:40]}'.", "kind")
    if old and old.get("kind", kind) != kind:
        raise conflict(f"'{ctx.rid.name}' is of kind {old['kind']}; the kind of a workspace cannot be changed.", "kind")
    new["kind"] = kind
    new["location"] = new.get("location") or ctx.location
    new["tags"] = new.get("tags") or {}
    new["identity"] = new.get("identity") or (old or {}).get("identity") or {"type": "SystemAssigned", "principalId": ctx.new_guid(), "tenantId": ctx.caller.tenant}
    new["sku"] = new.get("sku") or (old or {}).get("sku") or {"name": "Basic", "tier": "Basic"}
    guid = before.get("workspaceId") or ctx.new_guid()
    account = storage_account(guid)
    provider = f"/subscriptions/{ctx.rid.subscription}/resourceGroups/{ctx.rid.group}/providers"
    host = ctx.base_url.removeprefix("https://")
    if not ctx.patch:
        for name in KEPT:
            if properties.get(name) is None and before.get(name) is not None:
                properties[name] = before[name]
    properties.update(
        workspaceId=guid,
        tenantId=ctx.caller.tenant or before.get("tenantId", ""),
        discoveryUrl=f"{ctx.base_url}/discovery",
        mlFlowTrackingUri=f"azureml://{host}/mlflow/v1.0{ctx.rid}",
        storageAccount=f"{provider}/Microsoft.Storage/storageAccounts/{account}",
    )
    properties["friendlyName"] = properties.get("friendlyName") or ctx.rid.name
    properties["description"] = properties.get("description") or ""
    for companion in ("keyVault", "applicationInsights", "containerRegistry"):
        properties.setdefault(companion, None)  # there is none, and clients that clean up would look for it
    properties.setdefault("hbiWorkspace", False)
    properties.setdefault("v1LegacyMode", False)
    properties.setdefault("publicNetworkAccess", "Disabled")
    properties.setdefault("storageHnsEnabled", False)


def account_of(doc: Doc) -> str | None:
    """The storage account's name, by which the blob surface finds the workspace."""
    guid = doc["properties"].get("workspaceId")
    return storage_account(guid) if guid else None


def of_kind(doc: Doc, value: str) -> bool:
    return str(doc.get("kind", "")).lower() in [x.strip().lower() for x in value.split(",")]


WORKSPACES = resource(
    "workspaces", Workspace, tracked=True, created=200, updated=200, patchable=True, before_write=fill_workspace, lookup=account_of,
    deprovision="workspace.delete", matches={"kind": of_kind}, actions=frozenset({"listKeys", "listStorageAccountKeys", "resyncKeys", "diagnose", "lazwardDiff"}),
)


class Registry(msgspec.Struct, rename="camel"):
    description: str | None = None
    public_network_access: str | None = None
    region_details: list[dict] | None = None


def fill_registry(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    properties = new["properties"]
    before = old["properties"] if old else {}
    new["location"] = new.get("location") or ctx.location
    new["tags"] = new.get("tags") or {}
    properties["workspaceId"] = before.get("workspaceId") or ctx.new_guid()  # names its storage account, as a workspace's does
    properties.setdefault("regionDetails", [{"location": new["location"], "acrDetails": [], "storageAccountDetails": []}])
    properties["discoveryUrl"] = f"{ctx.base_url}/registrymanagement/v1.0/registries/{ctx.rid.name}/discovery"
    properties["mlFlowRegistryUri"] = f"azureml://{ctx.base_url.removeprefix('https://')}/mlflow/v1.0{ctx.rid}"
    properties.setdefault("publicNetworkAccess", "Disabled")
    properties.setdefault("intellectualPropertyPublisher", None)
    properties.setdefault("managedResourceGroup", None)


REGISTRIES = resource(
    "registries", Registry, tracked=True, created=201, updated=200, patchable=True, before_write=fill_registry, lookup=account_of,
    deprovision="workspace.delete",
)
