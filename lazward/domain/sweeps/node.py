"""A sweep step of a pipeline: its node, as clients send it inside a pipeline (snake_case), becomes the members of an ARM sweep job."""

from __future__ import annotations

from typing import Any

from lazward.domain.durations import spell_duration
from lazward.domain.sweeps.read_space import ARGUMENTS

_CAMEL = {
    "max_total_trials": "maxTotalTrials", "max_concurrent_trials": "maxConcurrentTrials", "timeout": "timeout", "trial_timeout": "trialTimeout",
    "primary_metric": "primaryMetric", "goal": "goal", "policy_type": "policyType", "delay_evaluation": "delayEvaluation",
    "evaluation_interval": "evaluationInterval", "slack_factor": "slackFactor", "slack_amount": "slackAmount",
    "truncation_percentage": "truncationPercentage", "type": "type", "rule": "rule", "seed": "seed", "logbase": "logbase",
}


def from_node(node: dict[str, Any]) -> dict[str, Any]:
    """{searchSpace, samplingAlgorithm, objective, earlyTermination, limits} of a node, as far as it has them. Never raises: what cannot
    be understood is handed on as it is, and the checks of a sweep job say what is wrong with it."""
    out: dict[str, Any] = {}
    if "search_space" in node:
        space = node["search_space"]
        out["searchSpace"] = {name: _expression(given) for name, given in space.items()} if isinstance(space, dict) else space
    if node.get("sampling_algorithm"):
        out["samplingAlgorithm"] = _typed(node["sampling_algorithm"], "samplingAlgorithmType")
    if node.get("objective"):
        out["objective"] = _camel(node["objective"])
    if node.get("early_termination"):
        out["earlyTermination"] = _typed(node["early_termination"], "policyType")
    if node.get("limits"):
        limits = _camel(node["limits"])
        if isinstance(limits, dict):
            for name in ("timeout", "trialTimeout"):
                if isinstance(limits.get(name), int | float) and not isinstance(limits[name], bool):
                    limits[name] = spell_duration(limits[name])
            limits.setdefault("jobLimitsType", "Sweep")
        out["limits"] = limits
    return out


def _expression(given: Any) -> Any:
    """{"type": "uniform", "min_value": 0, "max_value": 1} as ["uniform", [0, 1]]; the objects of a choice likewise."""
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        return given
    kind = given["type"].lower()
    wanted = ARGUMENTS.get(kind)
    if wanted is None:
        return [given["type"], []]
    if kind == "choice":
        values = given.get("values")
        return [kind, [[_option(value) for value in values] if isinstance(values, list) else values]]
    return [kind, [given.get(name) for name in wanted]]


def _option(value: Any) -> Any:
    return {name: _expression(member) for name, member in value.items()} if isinstance(value, dict) else value


def _typed(given: Any, member: str) -> Any:
    """"random" or {"type": "random", ...} as {member: "random", ...}."""
    if isinstance(given, str):
        return {member: given}
    out = _camel(given)
    if isinstance(out, dict) and "type" in out:
        out[member] = out.pop("type")
    return out


def _camel(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    return {_CAMEL.get(name, name): value for name, value in given.items() if value is not None}
