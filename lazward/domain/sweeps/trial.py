"""A trial of a sweep as a command job."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lazward.domain.resource import Doc
from lazward.domain.sweeps.space import inputs_of

PART = ("command", "codeId", "environmentId", "environmentVariables", "distribution", "resources")  # members of `trial`
SHARED = ("computeId", "identity", "queueSettings")  # what every trial takes over from the sweep
_BINDING = re.compile(r"\$\{\{\s*search_space\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_ENOUGH = 250  # characters of a tag


def command_of(command: str) -> str:
    """The trial's command with ${{search_space.x}} as ${{inputs.x}}: its parameters are its inputs."""
    return _BINDING.sub(r"${{inputs.\1}}", command)


def trial_properties(sweep: Doc, number: int, values: Mapping[str, Any]) -> Doc:
    """The job of trial `number`. sweep: the sweep's properties. values: of Space.values. A parameter takes the place of an input of the
    same name. Outputs go to places of the trial's own, and nothing of them is registered: that is done for the best trial's."""
    part, limits = sweep["trial"], sweep.get("limits") or {}
    literals = {name: {"jobInputType": "literal", "value": value} for name, value in inputs_of(values).items()}
    outputs = {
        name: {member: given[member] for member in ("jobOutputType", "mode") if given.get(member)}
        for name, given in (sweep.get("outputs") or {}).items() if name != "default"
    }
    properties: Doc = {
        "jobType": "Command",
        **{name: part[name] for name in PART if part.get(name) is not None},
        **{name: sweep[name] for name in SHARED if sweep.get(name) is not None},
        "command": command_of(part["command"]),
        "inputs": {**(sweep.get("inputs") or {}), **literals},
        "outputs": outputs,
        "displayName": f"{sweep['displayName']}_{number}"[:_ENOUGH],
        "properties": {"hyperparameters": json.dumps(values), "trialNumber": str(number)},
    }
    if not properties.get("resources") and sweep.get("resources"):
        properties["resources"] = sweep["resources"]
    if limits.get("trialTimeout"):
        properties["limits"] = {"jobLimitsType": "Command", "timeout": limits["trialTimeout"]}
    return properties
