"""The submission of a job, in the transaction of its PUT: what it names is there, what it asks for can be had; its run and its task."""

from __future__ import annotations

from typing import Any

from lazward.contract.errors import ArmError
from lazward.domain.jobs import source
from lazward.domain.resources.jobs import raise_all
from lazward.orchestration.gateway import runs_changed
from lazward.orchestration.job_references import check_command, check_data
from lazward.orchestration.pipeline_check import check_pipeline
from lazward.orchestration.pipeline_component import take_component
from lazward.storage import resources, runs, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

TASKS = {"Command": "job.run", "Pipeline": "pipeline.run", "Sweep": "sweep.run"}


def _sweep(tx: Tx, workspace: Row, facts: dict[str, Any]) -> list[ArmError]:
    """The trials' environment and code are the sweep's own members of `trial`, and so are the places of faults in them."""
    trial = {name: value for name, value in facts["trial"].items() if value is not None}
    faults = check_command(tx, workspace, {**facts, **trial})
    for fault in faults:
        head, _, member = (fault.target or "").partition(".")
        if head == "properties" and member.partition(".")[0] in trial:
            fault.target = f"properties.trial.{member}"
    return faults


def _pipeline(tx: Tx, workspace: Row, facts: dict[str, Any]) -> list[ArmError]:
    return check_data(tx, workspace, facts) + check_pipeline(tx, workspace, facts)


REFERENCES = {"Command": check_command, "Pipeline": _pipeline, "Sweep": _sweep}


def submit(tx: Tx, job: Row, now: float, caller: Any, parent: Row | None = None) -> None:
    """In the transaction of the PUT: the run in its experiment, and the task. parent: the job it is a part of."""
    facts = job.properties
    home = resources.get(tx, job.scope)
    assert home is not None
    if facts["jobType"] == "Pipeline":
        raise_all(take_component(tx, home, job))
    raise_all(REFERENCES[facts["jobType"]](tx, home, facts))
    record(tx, job, now, caller, parent)
    tasks.enqueue(tx, TASKS[facts["jobType"]], job.key, {"phase": "queued", "attempt": 1}, now)
    runs_changed(tx, job.scope, now)


def record(tx: Tx, job: Row, now: float, caller: Any, parent: Row | None) -> None:
    """The job's run in its experiment, and who submitted it."""
    facts = job.properties
    if parent is not None:
        facts["properties"] = {**source.inherited(facts, parent.properties), **facts["properties"]}
    tags = {**source.source_tags(facts), **{name: str(value) for name, value in (facts.get("tags") or {}).items()}}
    experiment = runs.create_job_run(
        tx, job.scope, job.name, facts["experimentName"], facts["displayName"], caller.name or caller.id, tags, now,
        parent.name if parent else None,
    )
    job.doc["lazward"] = {**job.doc.get("lazward", {}), "submittedBy": caller.id, "submitterName": caller.name, "submitterKind": caller.kind, "experimentId": experiment}
    facts["properties"] = {"_azureml.ComputeTargetType": "local", "ContentSnapshotId": str(facts.get("codeId") or "").rsplit("/", 3)[-1], **facts["properties"]}
    resources.update(tx, job, now)
