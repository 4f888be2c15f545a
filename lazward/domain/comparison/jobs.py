"""What is different between two jobs or runs, member by member, and between the packages of their environments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# What of a job decides what it computes and on what; names, times and places of its own differ always.
MEMBERS = (
    "jobType", "command", "componentId", "environmentId", "computeId", "environmentVariables", "distribution", "resources", "limits", "queueSettings", "identity", "parallel", "trial",
    "searchSpace", "samplingAlgorithm", "objective", "earlyTermination", "settings", "jobs",
)
_COMPARED_ELSEWHERE = ("codeId",)
MAX_DIFFERENCES, MAX_VALUE, MAX_DEPTH = 1000, 1000, 12


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[dict[str, Any]]:
    """[{name, left, right}] of what differs, by path ("resources.properties.cores"); left or right is None where it is not there."""
    a, b = _flat(left), _flat(right)
    names = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
    return [{"name": name, "left": a.get(name), "right": b.get(name)} for name in names[:MAX_DIFFERENCES]]


def settings_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of a job's properties is compared as settings."""
    return {name: facts[name] for name in MEMBERS if facts.get(name) not in (None, {}, [])}


def inputs_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Values of literals and uris of data, by name."""
    return {name: str(given.get("value") if given.get("jobInputType") == "literal" else given.get("uri")) for name, given in (facts.get("inputs") or {}).items()}


def packages_of(lock: str) -> dict[str, str]:
    """Versions by package, of a lock such as orchestration/job_ready.py keeps; "python" is among them."""
    found: dict[str, str] = {}
    for line in lock.splitlines():
        if line.startswith("# Python "):
            found["python"] = line.removeprefix("# Python ").partition(",")[0]
        elif line[:1].isalnum():
            requirement = line.split(" --hash", 1)[0].rstrip("\\ ").partition(" ;")[0].strip()
            for mark in ("==", " @ "):
                name, found_mark, version = requirement.partition(mark)
                if found_mark:
                    found[name.split("[", 1)[0].strip().lower().replace("_", "-")] = version.strip()
                    break
    return found


def _flat(value: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, str]:
    out: dict[str, str] = {}
    for name, inner in value.items():
        if name in _COMPARED_ELSEWHERE:
            continue
        path = f"{prefix}{name}"
        if isinstance(inner, Mapping) and inner and depth < MAX_DEPTH:
            out |= _flat(inner, f"{path}.", depth + 1)
        elif inner not in (None, {}, []):
            out[path] = (inner if isinstance(inner, str) else json.dumps(inner, sort_keys=True, default=str))[:MAX_VALUE]
    return out
