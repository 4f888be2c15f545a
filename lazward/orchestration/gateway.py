"""What the gateway should do follows from the stored endpoints and deployments: composed anew after every change."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from lazward.contract.ids import ML, parse
from lazward.domain.durations import parse_duration
from lazward.domain.resources.endpoints import route_pieces
from lazward.domain.serving import DeploymentState, EndpointState, GatewayState, TokenTrust, parallel_limit
from lazward.domain.tracking.status import JOB_OVER
from lazward.execution.serving import probe_socket, worker_sockets
from lazward.orchestration.instances import facts_of, instances_of
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources, tasks
from lazward.storage.db import DatabaseAway, Tx

ENDPOINTS, DEPLOYMENTS = f"{ML}/workspaces/onlineEndpoints".lower(), f"{ML}/workspaces/onlineEndpoints/deployments".lower()
WITH_TOKENS = ("AMLToken", "AADToken")
SCORE = f"{ML}/workspaces/onlineEndpoints/score/action"
_lock = asyncio.Lock()

log = logging.getLogger("lazward.worker")


async def sync_gateway(runtime: Runtime) -> None:
    """Makes the gateway follow the database. One at a time, each with what is true then: the last one wins by being right.

    A gateway that is just being started again answers soon; only one that refuses what it is told again and again is an error."""
    for pause in (0.2, 0.5, 1.0, 2.0, None):
        try:
            async with _lock:
                state = await runtime.db.read(compose, runtime)
                await runtime.gateway.update(state)
            return
        except DatabaseAway:
            raise
        except Exception as error:
            if pause is None:
                raise
            log.warning("the gateway did not take its configuration (%s); trying again", error)
            await asyncio.sleep(pause)


def compose(tx: Tx, runtime: Runtime) -> GatewayState:
    workspaces = {row.key: row for row in resources.every(tx, f"{ML}/workspaces")}
    below: dict[str, list[resources.Row]] = {}
    for row in resources.every(tx, DEPLOYMENTS):
        if row.properties.get("provisioningState") != "Deleting":
            below.setdefault(row.parent, []).append(row)
    endpoints = []
    for row in resources.every(tx, ENDPOINTS):
        workspace = workspaces.get(parse(row.id).workspace.key)
        if workspace is None or row.properties.get("provisioningState") == "Deleting":
            continue
        deployments = {d.name.lower(): _deployment(d) for d in below.get(row.key, ())}
        keys = runtime.vault.get_json(tx, f"endpoint:{row.key}") or {}
        place, name = route_pieces(workspace.properties["workspaceId"], row.name)
        endpoints.append(EndpointState(
            workspace=place, name=name, auth={"Key": "key", "AMLToken": "token", "AADToken": "aad"}[row.properties["authMode"]],  # type: ignore[arg-type]
            keys=tuple(k for k in (keys.get("primaryKey"), keys.get("secondaryKey")) if k) if row.properties["authMode"] == "Key" else (),
            principals=tuple(runtime.tokens.principals_allowed(SCORE, row.key)) if row.properties["authMode"] == "AADToken" else (),
            home=workspace.key, runs=going_on(tx, workspace.key) if row.properties["authMode"] in WITH_TOKENS else (),
            traffic=_shares(row.properties.get("traffic"), deployments), mirror=_shares(row.properties.get("mirrorTraffic"), deployments), deployments=deployments,
        ))
    tokens: Any = runtime.tokens
    trust = TokenTrust(
        jwks=msgspec.json.encode(tokens.signing_keys.jwks()).decode(), endpoint_issuer=tokens.issuer, aad_issuers=tuple(tokens.issuers), aad_audiences=tuple(sorted(tokens.audiences)),
    )
    return GatewayState(tuple(endpoints), trust)


def going_on(tx: Tx, workspace: str) -> tuple[str, ...]:
    """Jobs of a workspace that are not over: the runs whose tokens count at its endpoints."""
    open_jobs = [task.subject for task in tasks.open_of_kind(tx, "job.run") if task.subject.startswith(f"{workspace}/jobs/")]
    rows = [resources.get(tx, key) for key in open_jobs]
    return tuple(sorted(row.name for row in rows if row is not None and row.properties.get("status") not in JOB_OVER))


def runs_changed(tx: Tx, workspace: str, now: float) -> None:
    """Call when a job is submitted or over: the gateway lets in the tokens of those that are not over."""
    if any(row.properties.get("authMode") in WITH_TOKENS for row in resources.every(tx, ENDPOINTS, parent=workspace)):
        tasks.enqueue(tx, "gateway.sync", "gateway", {}, now)


def _deployment(row: resources.Row) -> DeploymentState:
    settings = row.properties["requestSettings"]
    services = [instance.service for instance in instances_of(facts_of(row))]
    sockets = tuple(s for service in services for s in worker_sockets(service))
    return DeploymentState(
        sockets=sockets, probe=probe_socket(services[0]) if services else None, timeout_s=parse_duration(settings["requestTimeout"], "requestTimeout"),
        max_parallel=parallel_limit(max(int(settings["maxConcurrentRequestsPerInstance"]), services[0].workers if services else 1), len(services) or 1),
    )


def _shares(given: dict[str, int] | None, deployments: dict[str, DeploymentState]) -> dict[str, int]:
    """Shares of deployments that exist; none at all if that would not add up."""
    shares = {name.lower(): percent for name, percent in (given or {}).items() if name.lower() in deployments}
    return shares
