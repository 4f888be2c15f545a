"""Command jobs."""

from __future__ import annotations

from lazward.domain.jobs import checks
from lazward.domain.jobs.kind import JobKind
from lazward.domain.resource import Doc
from lazward.domain.variables import check_variables


def fill(properties: Doc) -> None:
    properties["environmentVariables"] = properties.get("environmentVariables") or {}
    properties["resources"] = properties.get("resources") or {}
    properties["resources"].setdefault("instanceCount", 1)


KIND = JobKind(
    checks=(
        checks.check_inputs, checks.check_outputs, checks.check_command_job, check_variables, checks.check_names,
        checks.check_distribution, checks.check_resources, checks.check_limits,
    ),
    fixed=("command", "environmentId", "codeId"),
    fill=fill,
)
