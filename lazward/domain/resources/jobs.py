"""Jobs: command jobs now; what a job asks for is checked here, before anything is stored."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lazward.contract.errors import ArmError, bad_request, not_implemented
from lazward.domain.commands import check_command
from lazward.domain.durations import parse_duration
from lazward.domain.resource import Doc, WriteContext, resource

INPUT_TYPES = ("literal", "uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
OUTPUT_TYPES = ("uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
DISTRIBUTIONS = ("pytorch", "mpi", "tensorflow", "ray")
TERMINAL = frozenset({"Completed", "Failed", "Canceled", "NotResponding", "Paused"})
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$")
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")

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
        _keep_submitted(properties, old["properties"])
        return
    kind = properties["jobType"]
    if kind != "Command":
        raise not_implemented(f"Jobs of type '{str(kind)[:40]}'")
    if not _NAME.match(ctx.rid.name):
        raise bad_request("The name of a job has letters, digits, '-', '_' and '.' and starts with a letter or digit.", "name")
    problems: list[ArmError] = []
    for check in (_check_inputs, _check_outputs, _check_command, _check_variables, _check_distribution, _check_limits):
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
        facts.setdefault("jobOutputType", "uri_folder")
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
        if not _VARIABLE.match(name):
            raise bad_request(f"'{name}' is not a valid input name (letters, digits and '_').", target)
        kind = facts.get("jobInputType")
        if kind not in INPUT_TYPES:
            raise bad_request(f"jobInputType is one of {', '.join(INPUT_TYPES)}, not '{str(kind)[:40]}'.", f"{target}.jobInputType")
        if kind == "literal" and facts.get("value") is None:
            raise bad_request("A literal input needs a value.", f"{target}.value")
        if kind != "literal" and not facts.get("uri"):
            raise bad_request(f"An input of type {kind} needs a uri.", f"{target}.uri")


def _check_outputs(properties: Doc) -> None:
    for name, facts in (properties.get("outputs") or {}).items():
        target = f"properties.outputs.{name}"
        if not _VARIABLE.match(name):
            raise bad_request(f"'{name}' is not a valid output name (letters, digits and '_').", target)
        kind = (facts or {}).get("jobOutputType") or "uri_folder"
        if kind not in OUTPUT_TYPES:
            raise bad_request(f"jobOutputType is one of {', '.join(OUTPUT_TYPES)}, not '{str(kind)[:40]}'.", f"{target}.jobOutputType")


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


def _check_variables(properties: Doc) -> None:
    for name, value in (properties.get("environmentVariables") or {}).items():
        if not _VARIABLE.match(name) or "\0" in str(value):
            raise bad_request(f"'{name[:80]}' is not a valid environment variable.", f"properties.environmentVariables.{name[:80]}")


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
        if value is not None and not (isinstance(value, int) and 0 <= value <= 1000):
            raise bad_request(f"{name} is a number between 0 and 1000.", f"properties.distribution.{name}")


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
