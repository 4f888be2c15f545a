"""Where a job comes from: what its client said of the git working copy, its code, and what it was made from; as tags of its run, under
MLflow's names where MLflow has one."""

from __future__ import annotations

import re
import shlex
from typing import Any

SOURCE_NAME, SOURCE_TYPE = "mlflow.source.name", "mlflow.source.type"
COMMIT, BRANCH, REPOSITORY, DIRTY = (f"mlflow.source.git.{name}" for name in ("commit", "branch", "repoURL", "dirty"))
CODE = "lazward.code"  # id of the code asset
RELAUNCHED_FROM = "lazward.relaunchedFrom"  # a property of the job, and a tag of its run: the name of the job it was made from
ERROR, END_REASON = "lazward.error", "lazward.endReason"
FOLLOWS_JOB = (ERROR, END_REASON)
# The SDK and CLI send these in the properties of a job; older ones used other names.
GIT = {
    COMMIT: ("mlflow.source.git.commit", "azureml.git.commit"),
    BRANCH: ("mlflow.source.git.branch", "azureml.git.branch"),
    REPOSITORY: ("mlflow.source.git.repoURL", "azureml.git.repository_uri"),
    DIRTY: ("azureml.git.dirty", "mlflow.source.git.dirty"),
}
ANONYMOUS = "azureml_anonymous"  # the component of a step that brings its own code
MAX_NAME, MAX_ERROR = 250, 4000
_CREDENTIALS = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/@]*@", re.IGNORECASE)
_SCRIPT = re.compile(r"[\w./-]+\.(?:py|ipynb|sh|R|r|jl)")


def git_of(properties: dict[str, Any]) -> dict[str, str]:
    """What a job's client said of git, by MLflow's names. properties: those that clients send as `properties` of a job. A password in
    the address of the repository is left out."""
    found: dict[str, str] = {}
    for tag, names in GIT.items():
        value = next((str(properties[name]) for name in names if properties.get(name) not in (None, "")), "")
        if value:
            found[tag] = value.lower() if tag == DIRTY else _CREDENTIALS.sub(r"\1", value) if tag == REPOSITORY else value
    return found


def inherited(child: dict[str, Any], parent: dict[str, Any]) -> dict[str, str]:
    """What a child has of its parent's git facts: all where its code came with the parent (a trial, a step without a registered
    component), nothing where it is that of a component somebody registered earlier. Both are members of a job's document."""
    component = str(child.get("componentId") or "")
    if component and ANONYMOUS not in component.lower():
        return {}
    own, above = git_of(child.get("properties") or {}), git_of(parent.get("properties") or {})
    return {} if own else above


def code_of(facts: dict[str, Any]) -> str:
    """The id of a job's code asset; a sweep's is that of its trials. "" where it has none."""
    return str(facts.get("codeId") or (facts.get("trial") or {}).get("codeId") or "")


def source_tags(facts: dict[str, Any]) -> dict[str, str]:
    """facts: the properties of a job's document."""
    properties = facts.get("properties") or {}
    tags = {SOURCE_TYPE: "JOB", SOURCE_NAME: name_of(facts)} | git_of(properties)
    if code := code_of(facts):
        tags[CODE] = code
    if properties.get(RELAUNCHED_FROM):
        tags[RELAUNCHED_FROM] = str(properties[RELAUNCHED_FROM])
    return tags


def name_of(facts: dict[str, Any]) -> str:
    """What a job runs, for people: its script, else the program of its command, else what kind of job it is."""
    command = str(facts.get("command") or (facts.get("trial") or {}).get("command") or "")
    if script := _SCRIPT.search(command):
        return script.group(0)[:MAX_NAME]
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return (words[0] if words else str(facts.get("jobType") or "job").lower())[:MAX_NAME]


def end_tags(facts: dict[str, Any]) -> dict[str, str]:
    """What a run says of how its job failed: the job's error, and the reason for the end of its processes (domain.ports.EndReason, or
    what went wrong before they began); {} for one that did not fail. facts: of a job that is over."""
    if facts.get("status") != "Failed":
        return {}
    error, reason = facts.get("error") or {}, (facts.get("exit") or {}).get("reason")
    tags = {ERROR: f"{error.get('code') or 'Failed'}: {error.get('message') or 'The job failed.'}"[:MAX_ERROR]}
    return tags | ({END_REASON: str(reason)} if reason else {})
