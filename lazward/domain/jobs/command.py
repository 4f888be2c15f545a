"""Command jobs, parallel jobs among them."""

from __future__ import annotations

from lazward.contract.errors import ArmError
from lazward.domain.jobs import checks, parallel, retries
from lazward.domain.jobs.kind import JobKind
from lazward.domain.queue import priority
from lazward.domain.resource import Doc
from lazward.domain.variables import check_variables


def fill(properties: Doc) -> None:
    properties["environmentVariables"] = properties.get("environmentVariables") or {}
    properties["resources"] = properties.get("resources") or {}
    properties["resources"].setdefault("instanceCount", 1)
    properties["attempts"] = []  # orchestration/job_attempts.py
    if properties.get("parallel"):
        properties["command"] = parallel.command_of(properties["parallel"])


def check_run(properties: Doc) -> None:
    """What the job runs: a command, or the runner of a parallel job, whose command follows from its settings."""
    if properties.get("parallel") is None:
        checks.check_command_job(properties)
        return
    found = parallel.check(properties["parallel"], properties.get("inputs") or {}, properties.get("outputs") or {})
    if found:
        raise ArmError(400, found[0].code, found[0].message, found[0].target, found)
    checks.check_command_job({**properties, "command": parallel.command_of(properties["parallel"])})


KIND = JobKind(
    checks=(
        checks.check_inputs, checks.check_outputs, check_run, check_variables, checks.check_names,
        checks.check_distribution, checks.check_resources, checks.check_limits, priority.check, retries.check,
    ),
    fixed=("command", "environmentId", "codeId"),
    fill=fill,
)
