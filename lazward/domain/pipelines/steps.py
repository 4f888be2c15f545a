"""From a node and its component to the properties of the child job that runs it: snake_case of components to ARM's camelCase."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lazward.contract.errors import ArmError, bad_request
from lazward.domain.durations import spell_duration
from lazward.domain.pipelines.graph import Node
from lazward.domain.pipelines.ports import PRIMITIVES, read
from lazward.domain.sweeps.node import from_node

MODES = {
    "ro_mount": "ReadOnlyMount", "rw_mount": "ReadWriteMount", "mount": "ReadWriteMount", "download": "Download", "upload": "Upload", "direct": "Direct",
    "eval_mount": "EvalMount", "eval_download": "EvalDownload",
}
DISTRIBUTIONS = {"pytorch": "PyTorch", "mpi": "Mpi", "tensorflow": "TensorFlow", "ray": "Ray"}
_PARALLEL = (
    "task", "mini_batch_size", "partition_keys", "input_data", "retry_settings", "max_concurrency_per_instance", "error_threshold",
    "mini_batch_error_threshold", "logging_level", "resources",
)


def component_id(node: Node) -> str:
    trial = node.raw.get("trial")
    found = node.raw.get("componentId") or node.raw.get("component") or (trial.get("componentId") if isinstance(trial, dict) else trial)
    return found if isinstance(found, str) else ""


def properties_of(node: Node, spec: Mapping[str, Any], inputs: dict[str, dict[str, Any]], outputs: dict[str, dict[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The child's properties. inputs, outputs: resolved, in ARM's form. settings: of the pipeline."""
    raw = node.raw
    facts: dict[str, Any] = {
        "displayName": raw.get("display_name") or node.name, "description": raw.get("description") or spec.get("description"), "componentId": component_id(node),
        "tags": {**(spec.get("tags") or {}), **(raw.get("tags") or {})}, "properties": {**(raw.get("properties") or {})},
        "inputs": inputs, "outputs": outputs, "identity": raw.get("identity"),
        "computeId": raw.get("computeId") or raw.get("compute") or settings.get("default_compute"),
    }
    if node.kind == "pipeline":
        inner = {**{k: v for k, v in settings.items() if not k.startswith("_")}, **{k: v for k, v in (raw.get("settings") or {}).items() if v is not None}}
        return facts | {"jobType": "Pipeline", "jobs": spec.get("jobs"), "settings": inner}
    if node.kind == "sweep":
        return facts | {"jobType": "Sweep", **from_node(raw), "trial": _run(raw, spec)}
    facts |= {"jobType": "Command", "queueSettings": camel(raw.get("queue_settings")), "services": camel(raw.get("services"))}
    if limits := raw.get("limits") or spec.get("limits"):
        timeout = limits.get("timeout")
        facts["limits"] = {"jobLimitsType": "Command", "timeout": spell_duration(timeout) if isinstance(timeout, int | float) and not isinstance(timeout, bool) else timeout}
    if node.kind == "parallel":
        asked = {k: raw.get(k) if raw.get(k) is not None else spec.get(k) for k in _PARALLEL}
        task = asked.get("task") or {}
        facts["parallel"] = {k: v for k, v in asked.items() if v is not None}
        facts |= {
            "environmentId": _plain(task.get("environment")), "codeId": _plain(task.get("code")),
            "environmentVariables": _variables(raw, spec), "resources": camel(asked.get("resources")),
        }
        return facts
    return facts | _run(raw, spec)


def _run(raw: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a command component runs, with what the node says instead."""
    out: dict[str, Any] = {
        "command": spec.get("command"), "codeId": _plain(spec.get("code")), "environmentId": _plain(raw.get("environment") or raw.get("environmentId") or spec.get("environment")),
        "environmentVariables": _variables(raw, spec), "resources": camel({**(spec.get("resources") or {}), **(raw.get("resources") or {})}),
    }
    distribution = raw.get("distribution") or spec.get("distribution")
    if isinstance(distribution, dict):
        inner = {k: v for k, v in distribution.items() if k not in ("type", "distribution_type")}
        kind = str(distribution.get("distribution_type") or distribution.get("type") or "")
        out["distribution"] = camel(inner) | {"distributionType": DISTRIBUTIONS.get(kind.lower(), kind)}
    return out


def _variables(raw: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    return {**(spec.get("environment_variables") or {}), **(raw.get("environment_variables") or {})}


def outputs_of(node: Node, spec: Mapping[str, Any], bound: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The child's outputs in ARM's form: what the component declares, where the node puts it. bound: pipeline outputs by the name of
    the node's output. A single value (a control output) is written as a file."""
    out: dict[str, dict[str, Any]] = {}
    for name, port in read(spec.get("outputs")).items():
        given = (node.raw.get("outputs") or {}).get(name)
        given = given if isinstance(given, dict) else {}
        facts = camel({k: v for k, v in given.items() if k not in ("value", "type") and v is not None})
        facts["jobOutputType"] = "uri_file" if port.type in PRIMITIVES else facts.get("jobOutputType") or port.type
        if port.mode and not facts.get("mode"):
            facts["mode"] = port.mode
        if name in bound:
            facts |= {k: v for k, v in bound[name].items() if k in ("uri", "mode") and v}
        if facts.get("mode"):
            facts["mode"] = MODES.get(str(facts["mode"]).lower(), facts["mode"])
        out[name] = facts
    return out


def input_mode(given: Any, declared: str | None) -> str | None:
    mode = given.get("mode") if isinstance(given, dict) else None
    mode = mode or declared
    return MODES.get(str(mode).lower(), mode) if mode else None


def camel(value: Any) -> Any:
    """Keys of objects in ARM's spelling; what is below `properties` and `environment_variables` keeps its own."""
    if isinstance(value, dict):
        return {_word(k): v if k in ("properties", "environment_variables", "tags") else camel(v) for k, v in value.items()}
    return [camel(v) for v in value] if isinstance(value, list) else value


def _word(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest) if first else name


def _plain(reference: Any) -> str | None:
    """An id without the prefix that clients put in front of it."""
    if not isinstance(reference, str):
        return None
    return reference.removeprefix("azureml:") if reference.startswith("azureml:/subscriptions/") else reference


def items_of(value: Any, at: str) -> list[tuple[str, dict[str, Any]]]:
    """(key, inputs) of each round of a parallel_for: from a list (keys "0", "1", ...) or an object of such inputs, or its JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise bad_request(f"items is a JSON list or object: {error}.", f"{at}.items") from None
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    if not pairs or not all(isinstance(item, dict) for _, item in pairs):
        raise ArmError(400, "ValidationError", "items is a list, or an object, of objects that name inputs of the body.", f"{at}.items")
    return [(str(key), item) for key, item in pairs]
