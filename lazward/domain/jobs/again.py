"""A job that was submitted, as what somebody submitted: from its document to the definition of another one like it, with changes.

A job's document has all it takes: references to code, environment and data, values, resources. What its submission and its run added
is left behind, a place for outputs that the server chose above all: the new job must not write over what the old one made.
"""

from __future__ import annotations

import copy
import re
from difflib import get_close_matches
from typing import Any

from lazward.contract.errors import ArmError, bad_request, conflict
from lazward.domain.jobs.source import RELAUNCHED_FROM
from lazward.domain.resource import Doc

# Members of a job that its submission or its run added; a new job has its own.
_OF_THE_SERVER = frozenset({"status", "startTimeUtc", "endTimeUtc", "error", "exit", "attempts", "waitingFor", "parameters", "isArchived", "provisioningState", "sourceJobId"})
# The same in its `properties`.
_OF_THE_RUN = frozenset({
    "azureml.scheduleId", "azureml.scheduleName", "azureml.scheduledTime", "lazward.event", "lazward.triggeredBy", "azureml.isreused", "azureml.reusedrunid", "azureml.reuse",
    "azureml.reuse.evicted", "azureml.pipelinerunid", "azureml.nodeid", "lazward.environment.loosened", "_azureml.ComputeTargetType", "ContentSnapshotId", "hyperparameters", "trialNumber",
    "earlyTermination", "best_child_run_id", "score", "best_metric_status", "best_data_container_id", "primary_metric_config", "lazward.paretoFront", RELAUNCHED_FROM,
})
_TAGS_OF_THE_RUN = frozenset({"early_terminated"})
_CONTROL = "azureml.pipeline.control"
_SERVICE = ("jobServiceType", "port", "nodes", "properties")
_CHOSEN_BY_SERVER = re.compile(r".*/paths/azureml/[^/]+/[^/]+/?")

TEXTS = ("displayName", "description", "experimentName", "command", "codeId", "environmentId", "computeId")
OBJECTS = (
    "tags", "environmentVariables", "resources", "limits", "distribution", "queueSettings", "identity", "services", "outputs", "settings", "trial", "searchSpace", "samplingAlgorithm",
    "objective", "earlyTermination", "parallel",
)
MEMBERS = ("name", "inputs", "jobs", "compute", *TEXTS, *OBJECTS)
_OF_A_TRIAL = ("command", "codeId", "environmentId", "environmentVariables", "resources", "distribution")  # of a sweep these are its trial's


def like(source: Doc, source_name: str) -> Doc:
    """The definition of a job like `source` (properties of a submitted job named so). A display name that was the job's name goes."""
    out = {name: copy.deepcopy(value) for name, value in source.items() if name not in _OF_THE_SERVER}
    if out.get("displayName") == source_name:
        del out["displayName"]
    out["outputs"] = {name: _output(facts or {}) for name, facts in (source.get("outputs") or {}).items() if name != "default"}
    out["services"] = {
        name: {k: v for k, v in facts.items() if k in _SERVICE} for name, facts in (source.get("services") or {}).items() if name not in ("Tracking", "Studio")
    }
    out["properties"] = {
        name: value for name, value in (source.get("properties") or {}).items() if name not in _OF_THE_RUN and not name.startswith(_CONTROL)
    }
    out["tags"] = {name: value for name, value in (source.get("tags") or {}).items() if name not in _TAGS_OF_THE_RUN}
    return out


def _output(facts: dict[str, Any]) -> dict[str, Any]:
    """Without the place that the server chose, and the version that it gave to what it registered: versions never change."""
    gone = {"assetVersion"} if facts.get("assetName") else set()
    if _CHOSEN_BY_SERVER.fullmatch(str(facts.get("uri") or "")):
        gone.add("uri")
    return {name: copy.deepcopy(value) for name, value in facts.items() if name not in gone}


def relaunched(source: Doc, source_name: str, changes: Any) -> Doc:
    """The definition for a relaunch. changes: members of a job by MEMBERS, each merged into what is there (null removes), inputs and
    inputs of nodes by plain values too. Raises ArmError 400 with every fault, each naming its member."""
    if not isinstance(changes, dict):
        raise bad_request("The request body must be a JSON object.", "body", "InvalidRequestContent")
    out, faults = like(source, source_name), []
    out["properties"][RELAUNCHED_FROM] = source_name
    sweep = source["jobType"] == "Sweep"
    for member, value in changes.items():
        if member == "name":
            continue
        if member not in MEMBERS:
            near = get_close_matches(member, MEMBERS, 1)
            faults.append(bad_request(f"A relaunch cannot change '{member[:80]}'" + (f"; did you mean '{near[0]}'?" if near else f"; it can change {', '.join(MEMBERS)}."), member[:80]))
            continue
        holder = out.setdefault("trial", {}) if sweep and member in _OF_A_TRIAL else out
        try:
            if member == "inputs":
                _change_inputs(out, value, "inputs", source)
            elif member == "jobs":
                _change_nodes(out, value)
            elif member in OBJECTS:
                if not isinstance(value, dict | None):
                    raise bad_request(f"'{member}' is an object.", member)
                _put(holder, member, merged(holder.get(member), value))
            else:
                if not isinstance(value, str | None):
                    raise bad_request(f"'{member}' is a text.", member)
                _put(holder, "computeId" if member == "compute" else member, value)
        except ArmError as error:
            faults += error.details or [error]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ArmError(400, "ValidationError", " ".join(f"[{fault.target}] {fault.message}" for fault in faults), faults[0].target, faults)
    return out


def new_name(changes: Any, default: str) -> str:
    """The name of the job to be made. Raises ArmError 400."""
    given = changes.get("name") if isinstance(changes, dict) else None
    if given is None:
        return default
    if not isinstance(given, str) or not given:
        raise bad_request("The name of a job is a text.", "name")
    return given


def name_taken(name: str) -> ArmError:
    return conflict(f"A job named '{name}' exists; give the new one another name.", "name", "JobAlreadyExists")


def merged(old: Any, change: Any) -> Any:
    """RFC 7396: members of objects one by one, null removes, anything else replaces."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    out = dict(old) if isinstance(old, dict) else {}
    for name, value in change.items():
        _put(out, name, None if value is None else merged(out.get(name), value))
    return out


def _put(holder: Doc, name: str, value: Any) -> None:
    if value is None:
        holder.pop(name, None)
    else:
        holder[name] = value


def _change_inputs(job: Doc, changes: Any, target: str, source: Doc) -> None:
    if not isinstance(changes, dict):
        raise bad_request(f"'{target}' is an object: the new value of each input by its name.", target)
    inputs, faults = job.setdefault("inputs", {}) or {}, []
    job["inputs"] = inputs
    for name, value in changes.items():
        at = f"{target}.{name[:80]}"
        if name in (source.get("searchSpace") or {}):
            faults.append(bad_request(f"'{name}' is a parameter that the sweep searches: change searchSpace.{name}.", at))
        elif name not in inputs:
            faults.append(_unknown("The job", "input", name, inputs, at))
        elif value is None:
            del inputs[name]
        elif isinstance(value, dict):
            inputs[name] = merged(inputs[name], value)
        elif inputs[name].get("jobInputType") == "literal":
            inputs[name] = {**inputs[name], "value": _text(value, at)}
        elif isinstance(value, str):
            inputs[name] = {**inputs[name], "uri": value}
        else:
            faults.append(bad_request(f"The input '{name}' is data: its new value is a uri.", at))
    if faults:
        raise ArmError(400, "ValidationError", faults[0].message, faults[0].target, faults)


def _change_nodes(job: Doc, changes: Any) -> None:
    if not isinstance(changes, dict):
        raise bad_request("'jobs' is an object: what changes of each node by its name.", "jobs")
    nodes, faults = job.get("jobs") or {}, []
    for name, change in changes.items():
        at = f"jobs.{name[:80]}"
        if name not in nodes:
            faults.append(_unknown("The pipeline" if nodes else f"A {job['jobType']} job", "node", name, nodes, at))
            continue
        if not isinstance(change, dict):
            faults.append(bad_request(f"What changes of the node '{name}' is an object.", at))
            continue
        inputs = change.get("inputs")
        if inputs is not None and not isinstance(inputs, dict):
            faults.append(bad_request("The inputs of a node are an object.", f"{at}.inputs"))
            continue
        plain = {k: v if isinstance(v, dict | None) else {"job_input_type": "literal", "value": _text(v, f"{at}.inputs.{k}")} for k, v in (inputs or {}).items()}
        node = merged(nodes[name], {k: v for k, v in change.items() if k != "inputs"})
        if plain:
            # A plain value takes the place of a binding: nothing of that is merged into it.
            node["inputs"] = {k: v for k, v in {**(node.get("inputs") or {}), **plain}.items() if v is not None}
        nodes[name] = node
    if faults:
        raise ArmError(400, "ValidationError", faults[0].message, faults[0].target, faults)


def _unknown(who: str, what: str, name: str, known: Any, target: str) -> ArmError:
    near = get_close_matches(name, known, 1)
    have = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(sorted(known)[:20]) or 'none'}."
    return bad_request(f"{who} has no {what} '{name[:80]}'; {have}", target)


def _text(value: Any, target: str) -> str:
    """A single value as jobs carry it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise bad_request("The value of a literal is a text, a number or a boolean.", target)
