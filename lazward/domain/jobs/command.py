"""Command jobs, parallel jobs among them."""

from __future__ import annotations

from lazward.contract.errors import ArmError
from lazward.domain.jobs import checks, parallel
from lazward.domain.jobs.kind import JobKind
from lazward.domain.resource import Doc
from lazward.domain.variables import check_variables


def fill(properties: Doc) -> None:
    properties["environmentVariables"] = properties.get("environmentVariables") or {}
    properties["resources"] = properties.get("resources") or {}
    properties["resources"].setdefault("instanceCount", 1)


def check_parallel(properties: Doc) -> None:
    if properties.get("parallel") is not None:
        found = parallel.check(properties["parallel"], properties.get("inputs") or {}, properties.get("outputs") or {})
        if found:
            raise ArmError(400, found[0].code, found[0].message, found[0].target, found)


KIND = JobKind(
    checks=(
        checks.check_inputs, checks.check_outputs, checks.check_command_job, check_variables, checks.check_names,
        checks.check_distribution, checks.check_resources, checks.check_limits, check_parallel,
    ),
    fixed=("command", "environmentId", "codeId"),
    fill=fill,
)
