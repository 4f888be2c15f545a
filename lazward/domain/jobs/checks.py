"""Checks of what a job asks for, shared by all kinds. Each takes the job's properties and raises ArmError 400 naming the member."""

from __future__ import annotations

import re

from lazward.contract.errors import bad_request, not_implemented
from lazward.contract.ids import check_name
from lazward.domain.commands import check_command
from lazward.domain.durations import parse_duration
from lazward.domain.resource import MAX_TAG_VALUE, Doc
from lazward.domain.tracking.names import MAX_EXPERIMENT_NAME

INPUT_TYPES = ("literal", "uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
OUTPUT_TYPES = ("uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model")
DISTRIBUTIONS = ("pytorch", "mpi", "tensorflow", "ray")
MODES = frozenset({"readonlymount", "readwritemount", "download", "upload", "direct", "evalmount", "evaldownload"})
MAX_PROCESSES = 1000
MAX_COMMAND = 100_000  # characters
_MEMORY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?\s*([bkmgt]|[kmgt]i?b?)?", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")  # members of a group of inputs have dots


def check_inputs(properties: Doc) -> None:
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
        check_mode(facts, target)


def check_outputs(properties: Doc) -> None:
    for name, facts in (properties.get("outputs") or {}).items():
        target = f"properties.outputs.{name}"
        if not _VARIABLE.fullmatch(name):
            raise bad_request(f"'{name[:80]}' is not a valid output name (letters, digits and '_').", target[:120])
        kind = (facts or {}).get("jobOutputType") or "uri_folder"
        if kind not in OUTPUT_TYPES:
            raise bad_request(f"jobOutputType is one of {', '.join(OUTPUT_TYPES)}, not '{str(kind)[:40]}'.", f"{target}.jobOutputType")
        check_mode(facts or {}, target)
        for member in ("uri", "assetName", "assetVersion"):
            value = (facts or {}).get(member)
            if value is not None and not isinstance(value, str):
                raise bad_request(f"{member} is a text.", f"{target}.{member}")
            if value and member != "uri":
                check_name(value, f"{target}.{member}")


def check_mode(facts: Doc, target: str) -> None:
    mode = facts.get("mode")
    if mode is not None and not (isinstance(mode, str) and mode.lower() in MODES):
        raise bad_request(f"'{str(mode)[:40]}' is no mode of an input or output (ReadOnlyMount, ReadWriteMount, Download, Upload, Direct, ...).", f"{target}.mode")


def check_command_job(properties: Doc) -> None:
    command = properties.get("command")
    if not command or not command.strip():
        raise bad_request("A command job needs a command.", "properties.command")
    if "\0" in command or len(command) > MAX_COMMAND:
        raise bad_request(f"The command holds a NUL character or is longer than {MAX_COMMAND:,} characters.", "properties.command")
    if not properties.get("environmentId"):
        raise bad_request("A command job needs an environment.", "properties.environmentId")
    outputs = set(properties.get("outputs") or {}) | {"default"}
    check_command(command, set(properties.get("inputs") or {}), outputs)


def check_distribution(properties: Doc) -> None:
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


def check_resources(properties: Doc) -> None:
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


def check_names(properties: Doc) -> None:
    experiment = properties.get("experimentName")
    if experiment is not None and len(experiment) > MAX_EXPERIMENT_NAME:
        raise bad_request(f"The name of an experiment has up to {MAX_EXPERIMENT_NAME} characters.", "properties.experimentName")
    if len(properties.get("displayName") or "") > MAX_TAG_VALUE:
        raise bad_request(f"A displayName has up to {MAX_TAG_VALUE} characters.", "properties.displayName")


def check_limits(properties: Doc) -> None:
    timeout = (properties.get("limits") or {}).get("timeout")
    if timeout is not None and parse_duration(timeout, "properties.limits.timeout") <= 0:
        raise bad_request("A timeout is longer than nothing.", "properties.limits.timeout")
