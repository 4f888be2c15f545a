"""Workspaces and registries: what everything else lies in."""

from __future__ import annotations

import msgspec

from lazward.contract.errors import bad_request
from lazward.domain.blobs.names import storage_account
from lazward.domain.resource import Doc, WriteContext, resource

KINDS = ("Default", "Hub", "Project", "FeatureStore")


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
    kind = new.setdefault("kind", old.get("kind") if old else "Default") or "Default"
    if kind not in KINDS:
        raise bad_request(f"kind is one of {', '.join(KINDS)}, not '{kind[:40]}'.", "kind")
    new["kind"] = kind
    new["location"] = (old or {}).get("location") or new.get("location") or ctx.location
    new.setdefault("tags", (old or {}).get("tags") or {})
    new.setdefault("identity", (old or {}).get("identity") or {"type": "SystemAssigned", "principalId": ctx.new_guid(), "tenantId": ctx.caller.tenant})
    new.setdefault("sku", {"name": "Basic", "tier": "Basic"})
    guid = before.get("workspaceId") or ctx.new_guid()
    account = storage_account(guid)
    provider = f"/subscriptions/{ctx.rid.subscription}/resourceGroups/{ctx.rid.group}/providers"
    host = ctx.base_url.removeprefix("https://")
    for name, value in before.items():
        properties.setdefault(name, value)
    properties.update(
        workspaceId=guid,
        tenantId=ctx.caller.tenant or before.get("tenantId", ""),
        discoveryUrl=f"{ctx.base_url}/discovery",
        mlFlowTrackingUri=f"azureml://{host}/mlflow/v1.0{ctx.rid}",
        storageAccount=f"{provider}/Microsoft.Storage/storageAccounts/{account}",
    )
    properties.setdefault("friendlyName", ctx.rid.name)
    properties.setdefault("description", "")
    for companion in ("keyVault", "applicationInsights", "containerRegistry"):
        properties.setdefault(companion, None)  # there is none, and clients that clean up would look for it
    properties.setdefault("hbiWorkspace", False)
    properties.setdefault("v1LegacyMode", False)
    properties.setdefault("publicNetworkAccess", "Disabled")
    properties.setdefault("storageHnsEnabled", False)
    properties.setdefault("mlFlowTrackingUri", "")


def account_of(doc: Doc) -> str | None:
    """The storage account's name, by which the blob surface finds the workspace."""
    guid = doc["properties"].get("workspaceId")
    return storage_account(guid) if guid else None


WORKSPACES = resource(
    "workspaces", Workspace, tracked=True, created=200, updated=200, patchable=True, before_write=fill_workspace, lookup=account_of,
    deprovision="workspace.delete", actions=frozenset({"listKeys", "resyncKeys", "diagnose"}),
)


class Registry(msgspec.Struct, rename="camel"):
    description: str | None = None
    public_network_access: str | None = None
    region_details: list[dict] | None = None


def fill_registry(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    properties = new["properties"]
    before = old["properties"] if old else {}
    new["location"] = (old or {}).get("location") or new.get("location") or ctx.location
    new.setdefault("tags", (old or {}).get("tags") or {})
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
