"""Online endpoints: keys, traffic, and their end."""

from __future__ import annotations

import secrets

from lazward.contract.errors import bad_request, conflict
from lazward.orchestration.deployments import end_deployments
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.gateway import DEPLOYMENTS, ENDPOINTS, sync_gateway
from lazward.orchestration.provisioning import failed, succeeded
from lazward.orchestration.removal import remove
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row


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


@handler("endpoint.apply", on_failure=failed)
async def apply_endpoint(work: Work) -> Outcome:
    """The gateway takes what the document says; with the answer the change is live."""
    runtime: Runtime = work.services
    await sync_gateway(runtime)
    now = work.now()
    return Outcome(also=lambda tx: succeeded(tx, work.subject, now))


@handler("endpoint.delete")
async def delete_endpoint(work: Work) -> Outcome:
    runtime: Runtime = work.services
    await sync_gateway(runtime)  # the endpoint is marked Deleting, so it is out of the gateway first
    deployments = await runtime.db.read(resources.every, DEPLOYMENTS, parent=work.subject)
    if not await end_deployments(runtime, [row.key for row in deployments], work.now()):
        return Outcome("InProgress", delay=0.1)

    now = work.now()
    return Outcome(also=lambda tx: remove(tx, work.subject, now) and None)


@handler("gateway.sync")
async def resync(work: Work) -> Outcome:
    """After a change outside of the endpoints: role assignments, signing keys."""
    work.services.tokens.refresh_now()
    await sync_gateway(work.services)
    return Outcome()


async def end_endpoints(runtime: Runtime, workspace: str) -> bool:
    """Ends every endpoint of a workspace that is being deleted. False: call it again soon."""

    def mark(tx: Tx) -> list[str]:
        endpoints = resources.every(tx, ENDPOINTS, parent=workspace)
        for endpoint in endpoints:
            if endpoint.properties.get("provisioningState") != "Deleting":
                endpoint.properties["provisioningState"] = "Deleting"
                resources.update(tx, endpoint, runtime.now())
        return [row.key for endpoint in endpoints for row in resources.every(tx, DEPLOYMENTS, parent=endpoint.key)]

    def gone(tx: Tx) -> None:
        for endpoint in resources.every(tx, ENDPOINTS, parent=workspace):
            remove(tx, endpoint.key, runtime.now())

    deployments = await runtime.db.write(mark)
    await sync_gateway(runtime)
    if not await end_deployments(runtime, deployments, runtime.now()):
        return False
    await runtime.db.write(gone)
    return True
