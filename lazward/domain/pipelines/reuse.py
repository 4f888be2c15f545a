"""When a step may take over the results of an earlier one: same component, environment, inputs and destination. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

# Of a job's properties, what decides what it computes; the rest is names, places to run and limits.
RUNS = ("command", "distribution", "environmentVariables", "parallel", "trial", "searchSpace", "samplingAlgorithm", "objective", "earlyTermination", "limits")


def parts(properties: dict[str, Any], *, code: str, environment: str, inputs: dict[str, str], custom_outputs: dict[str, str]) -> dict[str, Any]:
    """What the fingerprint is taken of, each part by itself so that a difference can be named. code, environment, inputs: identities of
    content; custom_outputs: destinations that the user chose."""
    run = {name: properties[name] for name in RUNS if properties.get(name) and not (name == "limits" and properties["jobType"] == "Command")}
    instances = (properties.get("resources") or {}).get("instanceCount") or 1
    return {
        "component": digest({"type": properties["jobType"], "run": _without(run), "instances": instances, "outputs": sorted(properties.get("outputs") or {})}),
        "code": code, "environment": environment, "inputs": inputs, "outputs": custom_outputs,
    }


def digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Why a step is not the earlier one again, as a phrase; "" when it is."""
    told = [f"the {name} is another" for name in ("component", "code", "environment") if before.get(name) != now.get(name)]
    for name in ("inputs", "outputs"):
        old, new = before.get(name) or {}, now.get(name) or {}
        told += [f"the {name.rstrip('s')} '{key}' is another" for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return ", ".join(told)


def _without(run: dict[str, Any]) -> dict[str, Any]:
    """References are told apart by content elsewhere."""
    if isinstance(run.get("trial"), dict):
        run = {**run, "trial": {k: v for k, v in run["trial"].items() if k not in ("codeId", "environmentId")}}
    if isinstance(run.get("parallel"), dict):
        task = {k: v for k, v in (run["parallel"].get("task") or {}).items() if k not in ("code", "environment")}
        run = {**run, "parallel": {**run["parallel"], "task": task}}
    return run
