"""Actions and effects of workspaces, datastores, connections, assets and computes."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response

from lazward.apps.arm.hooks import Call, action, sealing, written
from lazward.apps.arm.operations import operation_headers
from lazward.apps.chain import json_response
from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError, bad_request
from lazward.contract.ids import parse
from lazward.domain.resource import Doc, WriteContext
from lazward.identity.sas import account_key, sign_blob_sas
from lazward.orchestration.data import account_of
from lazward.orchestration.workspaces import seed_workspace
from lazward.storage import resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

UPLOAD_HOURS = 24


@written("workspaces")
def workspace_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    if before is None:
        seed_workspace(tx, row, ctx.caller, ctx.now, ctx.base_url)


@action("workspaces", "listKeys")
async def list_workspace_keys(call: Call) -> Response:
    account = account_of(call.row)
    return json_response({
        "userStorageKey": account_key(call.ctx.services.master_key, account), "userStorageResourceId": call.row.properties["storageAccount"],
        "userStorageArmId": call.row.properties["storageAccount"], "appInsightsInstrumentationKey": None, "containerRegistryCredentials": None,
        "notebookAccessKeys": None,
    })


@action("workspaces", "listStorageAccountKeys")
async def list_storage_keys(call: Call) -> Response:
    return json_response({"userStorageKey": account_key(call.ctx.services.master_key, account_of(call.row))})


@action("workspaces", "resyncKeys")
async def resync_keys(call: Call) -> Response:
    """The keys are derived, never copied, so there is nothing that could be out of step."""
    return Response(status_code=200)


@action("workspaces", "diagnose", right="diagnose/read")
async def diagnose(call: Call) -> Response:
    """Finds what is missing: default datastores and the storage behind them."""

    def look(tx: Tx) -> list[str]:
        names = ("workspaceblobstore", "workspaceartifactstore")
        return [name for name in names if not resources.exists(tx, f"{call.key}/datastores/{name}")]

    missing = await call.ctx.db.read(look)
    problems = [{"code": "DatastoreMissing", "level": "Error", "message": f"The datastore '{name}' is missing."} for name in missing]
    names = ("userDefinedRoute", "networkSecurityRule", "resourceLock", "dnsResolution", "keyVault", "applicationInsights", "containerRegistry", "other")
    empty: dict[str, list[Any]] = {f"{name}Results": [] for name in names}
    return json_response({"value": {**empty, "storageAccountResults": problems}})


@sealing("workspaces/datastores")
def datastore_sealing(tx: Tx, key: str, new: Doc, before: Doc | None, ctx: WriteContext) -> None:
    """Moves secrets out of the document into the encrypted table (S16)."""
    credentials = new["properties"]["credentials"]
    secrets = credentials.pop("secrets", None) or {}
    before_kind = (((before or {}).get("properties") or {}).get("credentials") or {}).get("credentialsType")
    if secrets:
        ctx_vault().put_json(tx, f"datastore:{key}", secrets, ctx.now)
    elif before_kind != credentials["credentialsType"]:  # secrets of another kind, or left by a datastore that had this id before
        ctx_vault().delete(tx, f"datastore:{key}")


@action("workspaces/datastores", "listSecrets")
async def list_datastore_secrets(call: Call) -> Response:
    facts = call.row.properties
    kind = facts["credentials"].get("credentialsType", "None")
    account = str(facts.get("accountName") or "").rsplit("/", 1)[-1].lower()
    home = await call.ctx.db.read(resources.get, call.row.scope)
    if kind == "AccountKey" and home is not None and account == account_of(home):
        return json_response({"secretsType": "AccountKey", "key": account_key(call.ctx.services.master_key, account)})
    # The key of another workspace's account is not told here: who may name it in a datastore has no right there by that (S5).
    if kind == "None":
        raise bad_request(f"The datastore '{call.row.name}' has no credentials; use your own identity.", "credentials", "NoCredentials")
    secrets = await call.ctx.db.read(ctx_vault().get_json, f"datastore:{call.key}")
    return json_response({**(secrets or {}), "secretsType": kind})


@sealing("workspaces/connections")
def connection_sealing(tx: Tx, key: str, new: Doc, before: Doc | None, ctx: WriteContext) -> None:
    credentials = new["properties"].pop("credentials", None)
    before_kind = ((before or {}).get("properties") or {}).get("authType")
    if credentials:
        ctx_vault().put_json(tx, f"connection:{key}", credentials, ctx.now)
    elif before_kind != new["properties"]["authType"]:  # secrets of another kind, or left by a connection that had this id before
        ctx_vault().delete(tx, f"connection:{key}")
    new["properties"]["credentials"] = None
    new["properties"].setdefault("createdByWorkspaceArmId", str(ctx.rid.workspace))


@action("workspaces/connections", "listsecrets")
async def list_connection_secrets(call: Call) -> Response:
    credentials = await call.ctx.db.read(ctx_vault().get_json, f"connection:{call.key}")
    document = {"id": call.row.id, "name": call.row.name, "type": "Microsoft.MachineLearningServices/workspaces/connections", **call.row.doc}
    document["properties"] = {**call.row.properties, "credentials": credentials}
    return json_response(document)


async def start_pending_upload(call: Call) -> Response:
    """A container of its own for the upload, with a signature that ends in a day (S15: the server names the place)."""
    services = call.ctx.services
    home = await call.ctx.db.read(resources.get, parse(call.row.id).workspace.key)
    if home is None:
        raise ArmError(404, "ResourceNotFound", "The workspace was not found.")
    account = account_of(home)
    name = parse(call.row.id).parent.name
    try:
        container = f"c-{uuid.UUID(name)}"  # code assets are named by guids: one container each, so that a repeated upload meets the first
    except ValueError:
        container = f"u-{uuid.uuid4()}"
    await services.blobs.ensure_container(account, container)
    key = account_key(services.master_key, account)
    sas = sign_blob_sas(key, account, container, None, permissions="racwl", expires=call.ctx.now + UPLOAD_HOURS * 3600)
    uri = f"{services.base_url}/{account}.blob.core.windows.net/{container}"
    return json_response({
        "pendingUploadId": str(uuid.uuid4()), "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": {
            "blobUri": uri, "storageAccountArmId": home.properties.get("storageAccount", ""),
            "credential": {"credentialType": "SAS", "sasUri": f"{uri}?{sas}"},
        },
    })


for _family in ("codes", "data", "models"):
    for _above in ("workspaces", "registries"):
        action(f"{_above}/{_family}/versions", "startPendingUpload", right="write")(start_pending_upload)


@action("workspaces/computes", "start")
async def start_compute(call: Call) -> Response:
    return await _switch(call, "Start", "Running")


@action("workspaces/computes", "stop")
async def stop_compute(call: Call) -> Response:
    return await _switch(call, "Stop", "Stopped")


@action("workspaces/computes", "restart")
async def restart_compute(call: Call) -> Response:
    return await _switch(call, "Restart", "Running")


async def _switch(call: Call, operation: str, state: str) -> Response:
    """Instances are records of this machine: started means that they may be used, stopped that they may not."""
    if call.row.properties["computeType"] != "ComputeInstance":
        raise bad_request(f"Only a compute instance can be told to {operation.lower()}; '{call.row.name}' is of type {call.row.properties['computeType']}.", "computeType")

    def save(tx: Tx) -> str:
        row = resources.get(tx, call.key)
        if row is None:
            raise ArmError(404, "ResourceNotFound", f"The compute '{call.row.name}' was not found.")
        inner = row.properties["properties"]
        inner["state"] = state
        inner["lastOperation"] = {"operationName": operation, "operationTime": timestamp(call.ctx.now), "operationStatus": "Succeeded", "operationTrigger": "User"}
        resources.update(tx, row, call.ctx.now)
        return tasks.enqueue(tx, "nothing", row.key, {}, call.ctx.now)

    return Response(status_code=202, headers=operation_headers(call.ctx, await call.ctx.db.write(save), call.row.id))


@action("workspaces/computes", "listNodes")
async def list_nodes(call: Call) -> Response:
    """The nodes that a cluster keeps: names for this one machine."""
    inner = call.row.properties.get("properties") or {}
    count = inner["currentNodeCount"] if call.row.properties["computeType"] == "AmlCompute" else 0
    nodes = [{"nodeId": f"local-{i}", "privateIpAddress": "127.0.0.1", "publicIpAddress": None, "port": None, "nodeState": "idle", "runId": None} for i in range(count)]
    return json_response({"nodes": nodes})


@action("workspaces/computes", "listKeys")
async def list_compute_keys(call: Call) -> Response:
    raise bad_request(f"A compute of type {call.row.properties['computeType']} has no keys.", "computeType")


_VAULT: list[Any] = []


def use_vault(vault: Any) -> None:
    """Gives this module the encrypted secrets; called once by main.py."""
    _VAULT[:] = [vault]


def ctx_vault() -> Any:
    return _VAULT[0]
