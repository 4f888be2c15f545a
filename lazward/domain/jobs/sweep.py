"""Sweep jobs: hyperparameter tuning. Everything a sweep asks for is checked when it is submitted, its trials' command included."""

from __future__ import annotations

from lazward.contract.errors import ArmError, bad_request
from lazward.domain.commands import check_command
from lazward.domain.jobs import checks, retries
from lazward.domain.jobs.kind import Check, JobKind
from lazward.domain.queue import priority
from lazward.domain.resource import Doc
from lazward.domain.sweeps.plan import read_sweep
from lazward.domain.sweeps.space import names
from lazward.domain.sweeps.trial import PART
from lazward.domain.variables import check_variables


def _check_sweep(properties: Doc) -> None:
    _, faults = read_sweep(properties)
    _raise(faults)


def _check_trial(properties: Doc) -> None:
    """The trial as the command job it will be, with faults named where they are: below properties.trial."""
    part = properties.get("trial")
    if not part:
        raise bad_request("A sweep needs a trial: the command, environment and code that every trial runs.", "properties.trial")
    alone = {name: part.get(name) for name in PART}
    command = alone["command"]
    faults: list[ArmError] = []
    if not command or not command.strip():
        faults.append(bad_request("A trial needs a command.", "properties.trial.command"))
    elif "\0" in command or len(command) > checks.MAX_COMMAND:
        faults.append(bad_request(f"The command holds a NUL character or is longer than {checks.MAX_COMMAND:,} characters.", "properties.trial.command"))
    else:
        faults += _faults(lambda _: _check_bindings(command, properties), alone)
    if not alone["environmentId"]:
        faults.append(bad_request("A trial needs an environment.", "properties.trial.environmentId"))
    for check in (check_variables, checks.check_distribution, checks.check_resources, retries.check):
        faults += _faults(check, alone)
    _raise(faults)


def _check_bindings(command: str, properties: Doc) -> None:
    sweep, faults = read_sweep(properties)
    space = set(properties.get("searchSpace") or {}) if faults else names(sweep.space)[0]
    inputs = set(properties.get("inputs") or {}) | space
    check_command(command, inputs, set(properties.get("outputs") or {}) | {"default"}, space)


def _faults(check: Check, part: Doc) -> list[ArmError]:
    try:
        check(part)
    except ArmError as error:
        found = error.details or [error]
        for one in found:
            one.target = f"properties.trial.{str(one.target or '').removeprefix('properties.')}".rstrip(".")
        return found
    return []


def _raise(faults: list[ArmError]) -> None:
    if faults:
        raise ArmError(400, faults[0].code, faults[0].message, faults[0].target, faults)


def fill(properties: Doc) -> None:
    properties["limits"] = {**(properties.get("limits") or {}), "jobLimitsType": "Sweep"}
    # What the SDK's model of a sweep reads without asking whether it is there.
    properties["trial"]["environmentVariables"] = properties["trial"].get("environmentVariables") or {}


KIND = JobKind(
    checks=(checks.check_inputs, checks.check_outputs, checks.check_names, checks.check_resources, _check_sweep, _check_trial, priority.check),
    fixed=("searchSpace",),
    fill=fill,
)
