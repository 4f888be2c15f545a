"""Jobs: command jobs now; what a job asks for is checked here, before anything is stored."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lazward.contract.errors import ArmError, bad_request, conflict, not_implemented
from lazward.contract.ids import check_name
from lazward.domain.commands import check_command
from lazward.domain.durations import parse_duration
from lazward.domain.resource import MAX_TAG_VALUE, Doc, WriteContext, resource
from lazward.domain.tracking.names import MAX_EXPERIMENT_NAME
from lazward.domain.variables import check_variables

INPUT_TYPES = ("literal", "uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
OUTPUT_TYPES = ("uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
DISTRIBUTIONS = ("pytorch", "mpi", "tensorflow", "ray")
TERMINAL = frozenset({"Completed", "Failed", "Canceled", "NotResponding", "Paused"})
MODES = frozenset({"readonlymount", "readwritemount", "download", "upload", "direct", "evalmount", "evaldownload"})
MAX_PROCESSES = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_MEMORY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?\s*([bkmgt]|[kmgt]i?b?)?", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# What a job may change after it was submitted.
MUTABLE = ("displayName", "description", "tags", "properties", "isArchived", "services")
# What must be the same when a job is put again: somebody who changed it would believe that the new one ran.
FIXED = ("jobType", "command", "environmentId", "codeId")


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


def fill_job(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    properties = new["properties"]
    if old is not None:
        _check_fixed(properties, old["properties"], ctx.rid.name)
        _keep_submitted(properties, old["properties"])
        return
    kind = properties["jobType"]
    if kind != "Command":
        raise not_implemented(f"Jobs of type '{str(kind)[:40]}'")
    if not _NAME.fullmatch(ctx.rid.name):
        raise bad_request("The name of a job has letters, digits, '-', '_' and '.' and starts with a letter or digit.", "name")
    problems: list[ArmError] = []
    for check in (_check_inputs, _check_outputs, _check_command, check_variables, _check_names, _check_distribution, _check_asked, _check_limits):
        try:
            check(properties)
        except ArmError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        text = " ".join(f"[{p.target}] {p.message}" for p in problems)
        raise ArmError(400, "ValidationError", text, problems[0].target, problems)
    _set_defaults(properties, ctx)


def _check_fixed(properties: Doc, before: Doc, name: str) -> None:
    for member in FIXED:
        given = properties.get(member)
        if given is not None and _plain(given) != _plain(before.get(member) or ""):
            raise conflict(
                f"A job named '{name}' exists, with another {member}. What a job runs cannot be changed: give the new job another name. "
                f"Of an existing job {', '.join(MUTABLE)} can be changed.", f"properties.{member}", "JobAlreadyExists",
            )


def _plain(text: str) -> str:
    """A command as it is; an id without the prefix that clients put in front of it, and without regard to case."""
    text = text.removeprefix("azureml:") if not text.startswith("azureml://") else text
    return text.rstrip("/").lower() if text.startswith(("/subscriptions/", "azureml://")) else text


def _keep_submitted(properties: Doc, before: Doc) -> None:
    for name in list(properties):
        if name not in MUTABLE:
            del properties[name]
    for name, value in before.items():
        if properties.get(name) is None or name == "services":
            properties[name] = value


def _set_defaults(properties: Doc, ctx: WriteContext) -> None:
    name = ctx.rid.name
    properties["experimentName"] = properties.get("experimentName") or "Default"
    properties["displayName"] = properties.get("displayName") or name
    properties["status"] = "Queued"
    properties["isArchived"] = False
    for member in ("tags", "properties", "inputs", "environmentVariables"):
        properties[member] = properties.get(member) or {}
    properties["resources"] = properties.get("resources") or {}
    properties["resources"].setdefault("instanceCount", 1)
    outputs = {k: dict(v or {}) for k, v in (properties.get("outputs") or {}).items()}
    for output, facts in outputs.items():
        facts["jobOutputType"] = facts.get("jobOutputType") or "uri_folder"
        facts["mode"] = facts.get("mode") or "ReadWriteMount"
        if not facts.get("uri"):
            facts["uri"] = f"azureml://datastores/workspaceblobstore/paths/azureml/{name}/{output}/"
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
    properties["parameters"] = {k: v.get("value") for k, v in properties["inputs"].items() if v.get("jobInputType") == "literal"}


def _check_inputs(properties: Doc) -> None:
    for name, facts in (properties.get("inputs") or {}).items():
        target = f"properties.inputs.{name}"
        if not _VARIABLE.fullmatch(name):
            raise bad_request(f"'{name[:80]}' is not a valid input name (letters, digits and '_').", target[:120])
        kind = facts.get("jobInputType")
        if kind not in INPUT_TYPES:
            raise bad_request(f"jobInputType is one of {', '.join(INPUT_TYPES)}, not '{str(kind)[:40]}'.", f"{target}.jobInputType")
        if kind == "literal" and not isinstance(facts.get("value"), str | int | float | bool):
            raise bad_request("A literal input needs a value: a text, a number, true or false.", f"{target}.value")
        if kind != "literal" and not (isinstance(facts.get("uri"), str) and facts["uri"]):
            raise bad_request(f"An input of type {kind} needs a uri.", f"{target}.uri")
        _check_mode(facts, target)


def _check_outputs(properties: Doc) -> None:
    for name, facts in (properties.get("outputs") or {}).items():
        target = f"properties.outputs.{name}"
        if not _VARIABLE.fullmatch(name):
            raise bad_request(f"'{name[:80]}' is not a valid output name (letters, digits and '_').", target[:120])
        kind = (facts or {}).get("jobOutputType") or "uri_folder"
        if kind not in OUTPUT_TYPES:
            raise bad_request(f"jobOutputType is one of {', '.join(OUTPUT_TYPES)}, not '{str(kind)[:40]}'.", f"{target}.jobOutputType")
        _check_mode(facts or {}, target)
        for member in ("uri", "assetName", "assetVersion"):
            value = (facts or {}).get(member)
            if value is not None and not isinstance(value, str):
                raise bad_request(f"{member} is a text.", f"{target}.{member}")
            if value and member != "uri":
                check_name(value, f"{target}.{member}")


def _check_mode(facts: Doc, target: str) -> None:
    mode = facts.get("mode")
    if mode is not None and not (isinstance(mode, str) and mode.lower() in MODES):
        raise bad_request(f"'{str(mode)[:40]}' is no mode of an input or output (ReadOnlyMount, ReadWriteMount, Download, Upload, Direct, ...).", f"{target}.mode")


def _check_command(properties: Doc) -> None:
    command = properties.get("command")
    if not command or not command.strip():
        raise bad_request("A command job needs a command.", "properties.command")
    if "\0" in command or len(command) > 100_000:
        raise bad_request("The command holds a NUL character or is longer than 100,000 characters.", "properties.command")
    if not properties.get("environmentId"):
        raise bad_request("A command job needs an environment.", "properties.environmentId")
    outputs = set(properties.get("outputs") or {}) | {"default"}
    check_command(command, set(properties.get("inputs") or {}), outputs)


def _check_distribution(properties: Doc) -> None:
    count = (properties.get("resources") or {}).get("instanceCount")
    if count is not None and not 1 <= count <= 1000:
        raise bad_request(f"instanceCount is between 1 and 1000, not {count}.", "properties.resources.instanceCount")
    distribution = properties.get("distribution")
    if not distribution:
        return
    kind = str(distribution.get("distributionType", "")).lower()
    if kind not in DISTRIBUTIONS:
        raise bad_request(f"distributionType is one of PyTorch, Mpi, TensorFlow, not '{kind[:40]}'.", "properties.distribution.distributionType")
    if kind == "ray":
        raise not_implemented("distribution of type Ray")
    for name in ("processCountPerInstance", "workerCount", "parameterServerCount"):
        value = distribution.get(name)
        if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_PROCESSES):
            raise bad_request(f"{name} is a number between 0 and {MAX_PROCESSES}.", f"properties.distribution.{name}")
    processes = (count or 1) * (distribution.get("processCountPerInstance") or 1)
    if processes > MAX_PROCESSES or (distribution.get("workerCount") or 0) + (distribution.get("parameterServerCount") or 0) > MAX_PROCESSES:
        raise bad_request(f"A job has at most {MAX_PROCESSES} processes.", "properties.distribution")


def _check_asked(properties: Doc) -> None:
    """resources.properties.cores, gpus and memory, by which jobs queue."""
    more = (properties.get("resources") or {}).get("properties") or {}
    for name, most in (("cores", 100_000), ("gpus", 1000)):
        value = more.get(name)
        if value is None or value == "":
            continue
        try:
            fits = not isinstance(value, bool) and 0 <= float(value) <= most and (name == "cores" or float(value) == int(float(value)))
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise bad_request(f"{name} is a number between 0 and {most}, not '{str(value)[:40]}'.", f"properties.resources.properties.{name}", "InvalidResources")
    memory = more.get("memory")
    if memory is not None and not (isinstance(memory, str | int) and not isinstance(memory, bool) and _MEMORY.fullmatch(str(memory).strip())):
        raise bad_request(f"'{str(memory)[:40]}' is not an amount of memory such as 4Gi or 512m.", "properties.resources.properties.memory", "InvalidResources")


def _check_names(properties: Doc) -> None:
    experiment = properties.get("experimentName")
    if experiment is not None and len(experiment) > MAX_EXPERIMENT_NAME:
        raise bad_request(f"The name of an experiment has up to {MAX_EXPERIMENT_NAME} characters.", "properties.experimentName")
    if len(properties.get("displayName") or "") > MAX_TAG_VALUE:
        raise bad_request(f"A displayName has up to {MAX_TAG_VALUE} characters.", "properties.displayName")


def _check_limits(properties: Doc) -> None:
    timeout = (properties.get("limits") or {}).get("timeout")
    if timeout is not None and parse_duration(timeout, "properties.limits.timeout") <= 0:
        raise bad_request("A timeout is longer than nothing.", "properties.limits.timeout")


def of_type(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("jobType", "")).lower() in [x.strip().lower() for x in value.split(",")]


def of_status(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("status", "")).lower() in [x.strip().lower() for x in value.split(",")]


def in_experiment(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("experimentName", "")).lower() == value.lower()


def is_scheduled(doc: Doc, value: str) -> bool:
    return value.lower() != "true" or "azureml.scheduleId" in (doc["properties"].get("properties") or {})


JOBS = resource(
    "workspaces/jobs", Job, archivable=True, newest_first=True, before_write=fill_job, deprovision="job.delete",
    matches={"jobType": of_type, "status": of_status, "experimentName": in_experiment, "scheduled": is_scheduled},
    actions=frozenset({"cancel"}),
)
