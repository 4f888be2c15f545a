"""The submission of a job, in the transaction of its PUT: what it names is there, what it asks for can be had; its run and its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazward.contract.errors import ArmError
from lazward.domain.jobs import parallel
from lazward.domain.jobs.checks import MAX_PROCESSES
from lazward.orchestration import environments
from lazward.orchestration.admission import Ask
from lazward.orchestration.data import locate
from lazward.orchestration.job_prepare import memory_limit
from lazward.storage import resources, runs, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

TASKS = {"Command": "job.run", "Pipeline": "pipeline.run", "Sweep": "sweep.run"}


def submit(tx: Tx, job: Row, now: float, caller: Any, parent: Row | None = None) -> None:
    """In the transaction of the PUT: the run in its experiment, and the task. parent: the job it is a part of."""
    facts = job.properties
    workspace = job.scope
    check_references(tx, job)
    experiment = runs.create_job_run(
        tx, workspace, job.name, facts["experimentName"], facts["displayName"], caller.name or caller.id, dict(facts.get("tags") or {}), now,
        parent.name if parent else None,
    )
    job.doc["lazward"] = {**job.doc.get("lazward", {}), "submittedBy": caller.id, "submitterName": caller.name, "submitterKind": caller.kind, "experimentId": experiment}
    facts["properties"] = {"_azureml.ComputeTargetType": "local", "ContentSnapshotId": str(facts.get("codeId") or "").rsplit("/", 3)[-1], **facts["properties"]}
    resources.update(tx, job, now)
    tasks.enqueue(tx, TASKS[facts["jobType"]], job.key, {"phase": "queued", "attempt": 1}, now)


def check_references(tx: Tx, job: Row) -> None:
    """What the job names must be there when it is submitted: compute, environment, code, inputs, datastores of outputs. Every fault
    is told at once. Raised in the transaction of the PUT, so nothing is stored."""
    workspace = resources.get(tx, job.scope)
    assert workspace is not None
    facts, problems = job.properties, []

    def attempt(target: str, fn: Callable[..., Any], *args: Any) -> None:
        try:
            fn(tx, workspace, *args)
        except ArmError as error:
            problems.append(ArmError(400, error.code, error.message, error.target or target))

    attempt("properties.computeId", _check_compute, str(facts.get("computeId") or ""))
    attempt("properties.environmentId", environments.check, facts["environmentId"], "properties.environmentId")
    if facts.get("codeId"):
        attempt("properties.codeId", locate, facts["codeId"], "properties.codeId", "codes")
    for name, given in facts["inputs"].items():
        if given["jobInputType"] != "literal":
            family = "models" if given["jobInputType"].endswith("_model") else "data"
            attempt(f"properties.inputs.{name}", locate, given["uri"], f"properties.inputs.{name}.uri", family)
    for name, given in facts["outputs"].items():
        attempt(f"properties.outputs.{name}", locate, given["uri"], f"properties.outputs.{name}.uri")
    try:
        ask_of(facts)
    except ArmError as error:
        problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ArmError(400, "ValidationError", " ".join(f"[{p.target}] {p.message}" for p in problems), problems[0].target, problems)


def _check_compute(tx: Tx, workspace: Row, compute: str) -> None:
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
