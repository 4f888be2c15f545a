"""Jobs of every kind: command, pipeline, sweep. What a job asks for is checked here, before anything is stored."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lazward.contract.errors import ArmError, bad_request, conflict, not_implemented
from lazward.domain.jobs import command, pipeline, sweep
from lazward.domain.jobs.kind import JobKind
from lazward.domain.queue import priority
from lazward.domain.resource import PRIVATE, Doc, WriteContext, resource
from lazward.domain.schedules.runs import SCHEDULE_ID, SCHEDULE_NAME

KINDS: dict[str, JobKind] = {"Command": command.KIND, "Pipeline": pipeline.KIND, "Sweep": sweep.KIND}
TERMINAL = frozenset({"Completed", "Failed", "Canceled", "NotResponding", "Paused"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")

# What a job may change after it was submitted.
MUTABLE = ("displayName", "description", "tags", "properties", "isArchived", "services")


class Resources(msgspec.Struct, rename="camel"):
    instance_count: int | None = 1
    instance_type: str | None = None
    shm_size: str | None = None
    docker_args: str | list[str] | None = None
    properties: dict[str, Any] | None = None
    locations: list[str] | None = None
    max_instance_count: int | None = None


class Limits(msgspec.Struct, rename="camel"):
    timeout: str | None = None
    job_limits_type: str | None = None
    max_total_trials: int | None = None
    max_concurrent_trials: int | None = None
    trial_timeout: str | None = None


class Trial(msgspec.Struct, rename="camel"):
    """The part of a sweep that every trial runs."""

    command: str | None = None
    environment_id: str | None = None
    code_id: str | None = None
    environment_variables: dict[str, Any] | None = None
    distribution: dict[str, Any] | None = None
    resources: Resources | None = None


class Job(msgspec.Struct, rename="camel"):
    job_type: str
    command: str | None = None
    environment_id: str | None = None
    code_id: str | None = None
    compute_id: str | None = None
    experiment_name: str | None = None
    display_name: str | None = None
    description: str | None = None
    inputs: dict[str, dict[str, Any]] | None = None
    outputs: dict[str, dict[str, Any] | None] | None = None
    environment_variables: dict[str, Any] | None = None
    distribution: dict[str, Any] | None = None
    resources: Resources | None = None
    limits: Limits | None = None
    services: dict[str, dict[str, Any] | None] | None = None
    queue_settings: dict[str, Any] | None = None
    identity: dict[str, Any] | None = None
    tags: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    is_archived: bool | None = None
    component_id: str | None = None
    parallel: dict[str, Any] | None = None  # domain/jobs/parallel.py
    # sweep
    trial: Trial | None = None
    search_space: dict[str, Any] | None = None
    sampling_algorithm: dict[str, Any] | None = None
    objective: dict[str, Any] | None = None
    early_termination: dict[str, Any] | None = None
    # pipeline
    jobs: dict[str, dict[str, Any]] | None = None
    settings: dict[str, Any] | None = None
    source_job_id: str | None = None


def fill_job(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    properties = new["properties"]
    if old is not None:
        _check_fixed(properties, old["properties"], ctx.rid.name)
        _keep_submitted(properties, old["properties"])
        return
    kind = KINDS.get(properties["jobType"])
    if kind is None:
        raise not_implemented(f"Jobs of type '{str(properties['jobType'])[:40]}'")
    if not _NAME.fullmatch(ctx.rid.name):
        raise bad_request("The name of a job has letters, digits, '-', '_' and '.' and starts with a letter or digit.", "name")
    raise_all(kind.problems(properties))
    _set_defaults(properties, ctx)


def raise_all(problems: list[ArmError]) -> None:
    """Every fault of a submission at once, each with its place."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        text = " ".join(f"[{p.target}] {p.message}" for p in problems)
        raise ArmError(400, "ValidationError", text, problems[0].target, problems)


def _check_fixed(properties: Doc, before: Doc, name: str) -> None:
    """What must be the same when a job is put again: somebody who changed it would believe that the new one ran."""
    for member in ("jobType", *KINDS[before["jobType"]].fixed):
        given = properties.get(member)
        if given is not None and _plain(given) != _plain(before.get(member) or ""):
            raise conflict(
                f"A job named '{name}' exists, with another {member}. What a job runs cannot be changed: give the new job another name. "
                f"Of an existing job {', '.join(MUTABLE)} can be changed.", f"properties.{member}", "JobAlreadyExists",
            )


def _plain(text: Any) -> Any:
    """A command or an object as it is; an id without the prefix that clients put in front of it, and without regard to case."""
    if not isinstance(text, str):
        return text
    text = text.removeprefix("azureml:") if not text.startswith("azureml://") else text
    return text.rstrip("/").lower() if text.startswith(("/subscriptions/", "azureml://")) else text


def datastore_of(properties: Doc) -> str:
    """The datastore of outputs that name none."""
    named = str((properties.get("settings") or {}).get("default_datastore") or "").rstrip("/").rsplit("/", 1)[-1].removeprefix("azureml:")
    return named if _NAME.fullmatch(named) else "workspaceblobstore"


def _keep_submitted(properties: Doc, before: Doc) -> None:
    for name in list(properties):
        if name not in MUTABLE:
            del properties[name]
    for name, value in before.items():
        if properties.get(name) is None or name == "services":
            properties[name] = value


def fill_outputs(properties: Doc, name: str, given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Outputs of the job `name` with type, mode and place."""
    outputs = {k: dict(v or {}) for k, v in given.items()}
    for output, facts in outputs.items():
        facts["jobOutputType"] = facts.get("jobOutputType") or "uri_folder"
        facts["mode"] = facts.get("mode") or "ReadWriteMount"
        uri = facts.get("uri") or f"azureml://datastores/{datastore_of(properties)}/paths/azureml/{name}/{output}/"
        facts["uri"] = uri.replace("${{name}}", name).replace("${{output_name}}", output).replace("${{default_datastore}}", f"azureml://datastores/{datastore_of(properties)}")
    return outputs


def _set_defaults(properties: Doc, ctx: WriteContext) -> None:
    name = ctx.rid.name
    properties["experimentName"] = properties.get("experimentName") or "Default"
    properties["displayName"] = properties.get("displayName") or name
    properties["status"] = "Queued"
    properties["isArchived"] = False
    if properties.get("queueSettings") is not None:
        properties["queueSettings"] = priority.normal(properties["queueSettings"])
    for member in ("tags", "properties", "inputs"):
        properties[member] = properties.get(member) or {}
    outputs = fill_outputs(properties, name, properties.get("outputs") or {})
    # Exactly this form, without /paths/: the SDK streams the logs from below it.
    outputs["default"] = {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": f"azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{name}"}
    properties["outputs"] = outputs
    properties["services"] = {k: v for k, v in (properties.get("services") or {}).items() if v is not None}
    for facts in properties["services"].values():
        facts.setdefault("status", "NotReady")
    workspace = str(ctx.rid.workspace)
    host = ctx.base_url.removeprefix("https://")
    properties["services"]["Tracking"] = {"jobServiceType": "Tracking", "endpoint": f"azureml://{host}/mlflow/v1.0{workspace}?"}
    properties["services"]["Studio"] = {"jobServiceType": "Studio", "endpoint": f"{ctx.base_url}/runs/{name}?wsid={workspace}&tid={ctx.caller.tenant}"}
    KINDS[properties["jobType"]].fill(properties)
    properties["parameters"] = {k: v.get("value") for k, v in properties["inputs"].items() if v.get("jobInputType") == "literal"}


def of_type(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("jobType", "")).lower() in [x.strip().lower() for x in value.split(",")]


def of_status(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("status", "")).lower() in [x.strip().lower() for x in value.split(",")]


def in_experiment(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("experimentName", "")).lower() == value.lower()


def is_scheduled(doc: Doc, value: str) -> bool:
    return value.lower() != "true" or SCHEDULE_ID in (doc["properties"].get("properties") or {})


def of_schedule(doc: Doc, value: str) -> bool:
    """By the schedule's name or its id."""
    facts = doc["properties"].get("properties") or {}
    return value.lower() in (str(facts.get(SCHEDULE_ID, "")).lower(), str(facts.get(SCHEDULE_NAME, "")).lower())


def fingerprint_of(doc: Doc) -> str | None:
    """By which a step is found for reuse."""
    return (doc.get(PRIVATE) or {}).get("fingerprint")


JOBS = resource(
    "workspaces/jobs", Job, lookup=fingerprint_of, archivable=True, newest_first=True, before_write=fill_job, deprovision="job.delete",
    matches={"jobType": of_type, "status": of_status, "experimentName": in_experiment, "scheduled": is_scheduled, "scheduleId": of_schedule},
    actions=frozenset({"cancel", "resume", "lazwardRelaunch"}),
)
