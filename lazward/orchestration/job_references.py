"""What a job names must be there when it is submitted. Every fault is told at once, in the transaction of the PUT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazward.contract.errors import ArmError
from lazward.domain.jobs import parallel
from lazward.domain.jobs.checks import MAX_PROCESSES
from lazward.domain.queue.order import Ask
from lazward.orchestration import environments, machines
from lazward.orchestration.data import locate
from lazward.orchestration.job_prepare import memory_limit
from lazward.storage import resources
from lazward.storage.blobs import listing
from lazward.storage.db import Tx
from lazward.storage.resources import Row


def check_command(tx: Tx, workspace: Row, facts: dict[str, Any]) -> list[ArmError]:
    """What a command job names must be there when it is submitted: compute, environment, code, inputs, datastores of outputs."""
    problems = [
        *_tried("properties.computeId", check_compute, tx, workspace, str(facts.get("computeId") or "")),
        *_tried("properties.environmentId", environments.check, tx, workspace, facts["environmentId"], "properties.environmentId"),
    ]
    if facts.get("codeId"):
        problems += _tried("properties.codeId", check_code, tx, workspace, facts["codeId"], "properties.codeId")
    problems += check_data(tx, workspace, facts)
    return problems + check_ask(tx, facts, "properties.resources")


def check_ask(tx: Tx, facts: dict[str, Any], target: str) -> list[ArmError]:
    """Whether there is a machine for a command, or for the trials of a sweep. target: where resources are asked for."""
    return _tried(target, lambda: machines.check_possible(tx, ask_of(facts), target))


def check_data(tx: Tx, workspace: Row, facts: dict[str, Any]) -> list[ArmError]:
    """The data of a job of any kind."""
    problems: list[ArmError] = []
    for name, given in facts["inputs"].items():
        if given["jobInputType"] != "literal":
            family = "models" if given["jobInputType"].endswith("_model") else "data"
            problems += _tried(f"properties.inputs.{name}", locate, tx, workspace, given["uri"], f"properties.inputs.{name}.uri", family)
    for name, given in facts["outputs"].items():
        problems += _tried(f"properties.outputs.{name}", locate, tx, workspace, given["uri"], f"properties.outputs.{name}.uri")
    return problems


def _tried(target: str, fn: Callable[..., Any], *args: Any) -> list[ArmError]:
    """What is wrong with a reference: nothing, or one error. target: where the fault is, when fn does not say."""
    try:
        fn(*args)
    except ArmError as error:
        return [ArmError(400, error.code, error.message, error.target or target)]
    return []


def check_code(tx: Tx, workspace: Row, reference: str, target: str) -> None:
    """A code asset must be there, with its files where they lie in this server's storage."""
    place = locate(tx, workspace, reference, target, "codes")
    if place.account and not listing.any_at(tx, place.account, place.container, place.path.rstrip("/")):
        raise ArmError(400, "CodeIsGone", f"The code asset '{reference[:200]}' is there, but its files are not: nothing lies at {place.container}/{place.path}.", target)


def check_compute(tx: Tx, workspace: Row, compute: str) -> None:
    """Serverless and local need no record; a named compute must be one of the workspace and not stopped."""
    name = compute.rstrip("/").rsplit("/", 1)[-1]
    if name.lower() in ("", "serverless", "local"):
        return
    row = resources.get(tx, f"{workspace.key}/computes/{name}")
    if row is None:
        have = [r.name for r in resources.every(tx, "microsoft.machinelearningservices/workspaces/computes", parent=workspace.key)]
        shown = f"the workspace has {', '.join(sorted(have)[:10])}" if have else "the workspace has none; leave the compute out for serverless"
        raise ArmError(400, "ComputeNotFound", f"The compute '{name}' was not found: {shown}.", "properties.computeId")
    inner = row.properties.get("properties") or {}
    if inner.get("state") == "Stopped":
        raise ArmError(400, "ComputeStopped", f"The compute instance '{name}' is stopped; start it first.", "properties.computeId")


def ask_of(facts: dict[str, Any]) -> Ask:
    """What a job asks for: resources.properties.cores / gpus / memory, docker_args --memory; one core a process unless told. A parallel
    job that does not say how many processes it wants takes all cores there are."""
    asked = facts.get("resources") or {}
    more = asked.get("properties") or {}
    distribution = facts.get("distribution") or {}
    processes = int(asked.get("instanceCount") or 1) * int(distribution.get("processCountPerInstance") or 1)
    if facts.get("parallel"):
        settings = parallel.settings_of(facts["parallel"])
        processes = settings.instances * (settings.concurrency or MAX_PROCESSES)
    try:
        cores = float(more.get("cores") or processes)
        gpus = int(more.get("gpus") or 0)
    except (TypeError, ValueError):
        raise ArmError(400, "InvalidResources", "cores and gpus are numbers.", "properties.resources.properties") from None
    return Ask(cores, memory_limit(facts) or 0, gpus)
