"""Pipeline jobs: what can be told of one without the database. References are checked by orchestration/pipeline_check.py."""

from __future__ import annotations

from lazward.contract.errors import bad_request
from lazward.domain.jobs import checks
from lazward.domain.jobs.kind import JobKind
from lazward.domain.resource import Doc

FLAGS = ("continue_on_step_failure", "force_rerun")


def _check_jobs(properties: Doc) -> None:
    """Only whether there are any: what is wrong with them is told with what is wrong with their references, all at once."""
    jobs = properties.get("jobs")
    if not jobs and (properties.get("sourceJobId") or properties.get("componentId")):
        return  # the nodes are those of the job or component that it names
    if not isinstance(jobs, dict) or not jobs:
        raise bad_request("A pipeline needs at least one node.", "properties.jobs")


def _check_settings(properties: Doc) -> None:
    settings = properties.get("settings") or {}
    for name in FLAGS:
        if not isinstance(settings.get(name), bool | None):
            raise bad_request(f"{name} is true or false.", f"properties.settings.{name}")
    for name in ("default_compute", "default_datastore"):
        if not isinstance(settings.get(name), str | None):
            raise bad_request(f"{name} is a text.", f"properties.settings.{name}")


def fill(properties: Doc) -> None:
    properties["settings"] = properties.get("settings") or {}
    properties["jobs"] = properties.get("jobs") or {}


KIND = JobKind(
    checks=(checks.check_inputs, checks.check_outputs, checks.check_names, _check_settings, _check_jobs),
    fixed=("sourceJobId",),
    fill=fill,
)
