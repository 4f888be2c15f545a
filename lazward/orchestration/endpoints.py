"""Online endpoints: keys, traffic, and their end."""

from __future__ import annotations

import secrets

from lazward.contract.errors import ArmError, bad_request, conflict
from lazward.contract.ids import ML
from lazward.orchestration.deployments import stop_deployment
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.gateway import DEPLOYMENTS, ENDPOINTS, sync_gateway
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task


def new_key() -> str:
    return secrets.token_urlsafe(36)


def check_traffic(tx: Tx, endpoint: Row) -> None:
    """Raises ArmError 400 when traffic names a deployment that is not there."""
    known = {row.name.lower() for row in resources.every(tx, DEPLOYMENTS, parent=endpoint.key)}
    for member in ("traffic", "mirrorTraffic"):
        for name, percent in (endpoint.properties.get(member) or {}).items():
            if percent and name.lower() not in known:
                raise bad_request(f"The endpoint '{endpoint.name}' has no deployment '{name}'.", f"properties.{member}.{name}")


def check_no_traffic(tx: Tx, deployment: Row) -> None:
    """Raises ArmError 409 when requests still go to the deployment that is to be deleted."""
    endpoint = resources.get(tx, deployment.parent)
    share = ((endpoint.properties.get("traffic") or {}) if endpoint else {}).get(deployment.name.lower(), 0)
    if share and endpoint and endpoint.properties.get("provisioningState") != "Deleting":
        raise conflict(f"The deployment '{deployment.name}' has {share}% of the traffic of '{endpoint.name}'; set it to 0 first.", "properties.traffic")


def forget_deployment(tx: Tx, deployment: Row, now: float) -> None:
    """Takes a deployment that is going out of the endpoint's shares, which name only what is there."""
    endpoint = resources.get(tx, deployment.parent)
    if endpoint is None:
        return
    for member in ("traffic", "mirrorTraffic"):
        (endpoint.properties.get(member) or {}).pop(deployment.name.lower(), None)
    resources.update(tx, endpoint, now)


def _failed(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    row = resources.get(tx, task.subject)
    if row is not None:
        row.properties["provisioningState"] = "Failed"
        resources.update(tx, row, now)


@handler("endpoint.apply", on_failure=_failed)
async def apply_endpoint(work: Work) -> Outcome:
    """The gateway takes what the document says; with the answer the change is live."""
    runtime: Runtime = work.services
    await sync_gateway(runtime)
    now = work.now()

    def done(tx: Tx) -> None:
        row = resources.get(tx, work.subject)
        if row is not None and row.properties.get("provisioningState") != "Deleting":
            row.properties["provisioningState"] = "Succeeded"
            resources.update(tx, row, now)

    return Outcome(also=done)


@handler("endpoint.delete")
async def delete_endpoint(work: Work) -> Outcome:
    runtime: Runtime = work.services
    await sync_gateway(runtime)  # the endpoint is marked Deleting, so it is out of the gateway first
    for row in await runtime.db.read(resources.every, DEPLOYMENTS, parent=work.subject):
        await stop_deployment(runtime, row, row.doc.get("lazward") or {})

    def gone(tx: Tx) -> None:
        runtime.vault.delete(tx, f"endpoint:{work.subject}")
        resources.delete(tx, work.subject)

    return Outcome(also=gone)


@handler("gateway.sync")
async def resync(work: Work) -> Outcome:
    """After a change outside of the endpoints: role assignments, signing keys."""
    work.services.tokens.refresh_now()
    await sync_gateway(work.services)
    return Outcome()


async def stop_all_below(runtime: Runtime, workspace: str) -> None:
    """Ends every deployment of a workspace that is being deleted."""
    for endpoint in await runtime.db.read(resources.every, ENDPOINTS, parent=workspace):
        for row in await runtime.db.read(resources.every, DEPLOYMENTS, parent=endpoint.key):
            await stop_deployment(runtime, row, row.doc.get("lazward") or {})

    def gone(tx: Tx) -> None:
        for endpoint in resources.every(tx, f"{ML}/workspaces/onlineEndpoints", parent=workspace):
            runtime.vault.delete(tx, f"endpoint:{endpoint.key}")
            resources.delete(tx, endpoint.key)

    await runtime.db.write(gone)
    await sync_gateway(runtime)
