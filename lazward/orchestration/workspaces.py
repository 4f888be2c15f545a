"""What a workspace holds from its first moment, and how it goes."""

from __future__ import annotations

import asyncio
from typing import Any

from lazward.contract.caller import Caller
from lazward.contract.envelope import system_data
from lazward.contract.ids import parse
from lazward.domain.curated import all_curated
from lazward.orchestration.data import ARTIFACTS, account_of
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.jobs import request_cancel
from lazward.orchestration.removal import remove
from lazward.storage import resources
from lazward.storage.blobs import containers
from lazward.storage.db import Tx
from lazward.storage.resources import Row

BLOBS = "azureml-blobstore"


def seed_workspace(tx: Tx, workspace: Row, caller: Caller, now: float, base_url: str) -> None:
    """The four conventional datastores, and the curated environments under their AzureML- names."""
    account = account_of(workspace)
    guid = workspace.properties["workspaceId"]
    # The SDK builds https://{accountName}.blob.{suffix}: the path style needs our host inside the account's name.
    shown = f"{base_url.removeprefix('https://')}/{account}"
    # Files are served from the blob store too: there is no SMB here.
    stores = (
        ("workspaceblobstore", {"datastoreType": "AzureBlob", "containerName": f"{BLOBS}-{guid}", "isDefault": True}),
        ("workspaceartifactstore", {"datastoreType": "AzureBlob", "containerName": ARTIFACTS, "isDefault": False}),
        ("workspaceworkingdirectory", {"datastoreType": "AzureFile", "fileShareName": f"code-{guid}", "isDefault": False}),
        ("workspacefilestore", {"datastoreType": "AzureFile", "fileShareName": f"azureml-filestore-{guid}", "isDefault": False}),
    )
    for name, facts in stores:
        doc: dict[str, Any] = {"properties": {
            "description": None, "tags": {}, "properties": {}, "accountName": shown, "endpoint": "core.windows.net", "protocol": "https",
            "credentials": {"credentialsType": "AccountKey"}, "serviceDataAccessAuthIdentity": "None", "provisioningState": "Succeeded", **facts,
        }, "systemData": system_data(caller, now, None)}
        resources.insert(tx, parse(f"{workspace.id}/datastores/{name}"), doc, now)
        containers.ensure(tx, account, facts.get("containerName") or facts["fileShareName"], now)
    for known in all_curated():
        name = known.name if known.name.lower().startswith("azureml-") else f"AzureML-{known.name}"
        add_curated(tx, workspace, name, known, caller, now)


def add_curated(tx: Tx, home: Row, name: str, known: Any, caller: Caller, now: float) -> None:
    """Container and version of a curated environment below a workspace or registry."""
    stamp = system_data(caller, now, None)
    version = str(known.version)
    common: dict[str, Any] = {"isArchived": False, "tags": {}, "properties": {}, "description": known.description, "provisioningState": "Succeeded"}
    container = parse(f"{home.id}/environments/{name}")
    if resources.exists(tx, container.key):
        return
    resources.insert(tx, container, {"properties": {**common, "latestVersion": version, "nextVersion": str(int(version) + 1)}, "systemData": stamp}, now)
    resources.insert(tx, container.child("versions", version), {"properties": {
        **common, "image": known.image, "osType": "Linux", "isAnonymous": False, "environmentType": "Curated", "lazwardCurated": known.name,
    }, "systemData": stamp}, now)


@handler("nothing")
async def nothing(work: Work) -> Outcome:
    """An operation that was over when it was started; clients poll it all the same."""
    return Outcome()


@handler("workspace.delete")
async def delete_workspace(work: Work) -> Outcome:
    """Stops jobs and deployments, removes the stored bytes, then every record."""
    runtime = work.services
    workspace = await runtime.db.read(resources.get, work.subject)
    if workspace is None:
        return Outcome()

    def cancel_all(tx: Tx) -> int:
        jobs = resources.every(tx, "microsoft.machinelearningservices/workspaces/jobs", parent=work.subject)
        return sum(request_cancel(tx, job.key, work.now()) is not None for job in jobs)

    if await runtime.db.write(cancel_all):
        return Outcome("InProgress", delay=0.5)
    from lazward.orchestration.endpoints import end_endpoints

    if not await end_endpoints(runtime, work.subject):
        return Outcome("InProgress", delay=0.1)
    await runtime.blobs.delete_account(account_of(workspace))
    now = work.now()

    def gone(tx: Tx) -> None:
        remove(tx, work.subject, now)
        runs_gone(tx, work.subject, now)

    return Outcome(also=gone)


def runs_gone(tx: Tx, workspace: str, now: float) -> None:
    from lazward.storage import runs

    runs.delete_workspace(tx, workspace)


@handler("group.delete")
async def delete_group(work: Work) -> Outcome:
    """Deletes the workspaces and registries in the group one after another, then the group."""
    runtime = work.services
    from lazward.storage import tasks

    def start(tx: Tx) -> int:
        left = 0
        for kind in ("workspaces", "registries"):
            for row in resources.every(tx, f"microsoft.machinelearningservices/{kind}", parent=work.subject):
                left += 1
                if row.properties.get("provisioningState") != "Deleting":
                    row.properties["provisioningState"] = "Deleting"
                    resources.update(tx, row, work.now())
                    tasks.enqueue(tx, "workspace.delete", row.key, {}, work.now())
        return left

    if await runtime.db.write(start):
        await asyncio.sleep(0)
        return Outcome("InProgress", delay=0.25)
    now = work.now()
    return Outcome(also=lambda tx: remove(tx, work.subject, now) and None)
