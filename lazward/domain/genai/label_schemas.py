"""Label schemas: the questions that reviewers answer, and the form of the answers. Limits are MLflow's."""

from __future__ import annotations

from typing import Any

from lazward.contract.mlflow import invalid
from lazward.domain.tracking.names import integer, number

TYPES = ("FEEDBACK", "EXPECTATION")
MAX_NAME, MAX_INSTRUCTION, MAX_LABEL, MAX_OPTIONS = 250, 1000, 64, 10
DEFAULT_NAME, DEFAULT_INSTRUCTION = "Feedback", "Share any feedback on this trace."  # of the question every experiment has
DEFAULT_INPUT: dict[str, Any] = {"text": {}}
KINDS = ("pass_fail", "categorical", "numeric", "text")


def check_name(name: str) -> str:
    if not name or len(name) > MAX_NAME:
        raise invalid(f"Label schema `name` has 1 to {MAX_NAME} characters; got {len(name)}.", "name")
    if name.strip().lower() == DEFAULT_NAME.lower():
        raise invalid(f"`{name}` is reserved for the experiment's default question and cannot be used for another label schema.", "name")
    return name


def check_instruction(text: str) -> str:
    if len(text) > MAX_INSTRUCTION:
        raise invalid(f"Label schema `instruction` must be at most {MAX_INSTRUCTION} characters; got {len(text)}.", "instruction")
    return text


def check_input(given: Any) -> dict[str, Any]:
    """{kind: {...}} with exactly one of KINDS, as it is kept and shown."""
    if not isinstance(given, dict):
        raise invalid("Label schema `input` is required.", "input")
    found = [kind for kind in KINDS if given.get(kind) is not None]
    if len(found) != 1:
        raise invalid(f"Label schema `input` holds one of {', '.join(KINDS)}.", "input")
    (kind,) = found
    facts = given[kind]
    if not isinstance(facts, dict):
        raise invalid(f"Invalid value for parameter 'input.{kind}' supplied: it must be an object.", f"input.{kind}")
    return {kind: {"pass_fail": _pass_fail, "categorical": _categorical, "numeric": _numeric, "text": _text}[kind](facts)}


def check_same_form(old: dict[str, Any], new: dict[str, Any]) -> None:
    """The kind of the answers stays: those that are there could not be read by another."""
    (before,), (after,) = old, new
    if before != after:
        raise invalid(f"A label schema's input type cannot be changed after creation (existing: {before}, got: {after}).", "input")
    if before == "categorical" and old[before]["multi_select"] != new[after]["multi_select"]:
        raise invalid("`multi_select` cannot be changed after creation.", "input.categorical.multi_select")


def _label(value: Any, path: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_LABEL:
        raise invalid(f"'{path}' must be a string of 1 to {MAX_LABEL} characters; got {str(value)[:80]!r}.", path)
    return value


def _pass_fail(facts: dict[str, Any]) -> dict[str, Any]:
    made = {member: _label(facts.get(member), f"input.pass_fail.{member}") for member in ("positive_label", "negative_label")}
    if made["positive_label"] == made["negative_label"]:
        raise invalid("`positive_label` and `negative_label` must be distinct.", "input.pass_fail.negative_label")
    return made


def _categorical(facts: dict[str, Any]) -> dict[str, Any]:
    options = facts.get("options")
    if not isinstance(options, list) or not 0 < len(options) <= MAX_OPTIONS:
        raise invalid(f"`options` is a list of 1 to {MAX_OPTIONS} texts.", "input.categorical.options")
    made = [_label(option, f"input.categorical.options[{index}]") for index, option in enumerate(options)]
    if len(set(made)) != len(made):
        raise invalid("`options` must be deduplicated.", "input.categorical.options")
    several = facts.get("multi_select", False)
    if not isinstance(several, bool):
        raise invalid("`multi_select` is true or false.", "input.categorical.multi_select")
    return {"options": made, "multi_select": several}


def _numeric(facts: dict[str, Any]) -> dict[str, Any]:
    made = {member: _finite(facts[member], f"input.numeric.{member}") for member in ("min_value", "max_value") if facts.get(member) is not None}
    if len(made) == 2 and made["min_value"] >= made["max_value"]:
        raise invalid("`min_value` must be strictly less than `max_value`.", "input.numeric.min_value")
    return made


def _finite(value: Any, path: str) -> float:
    found = number(value, path)
    if found != found or found in (float("inf"), float("-inf")):
        raise invalid(f"'{path}' must be a finite number.", path)
    return found


def _text(facts: dict[str, Any]) -> dict[str, Any]:
    if facts.get("max_length") is None:
        return {}
    most = integer(facts["max_length"], "input.text.max_length")
    if most < 1:
        raise invalid(f"`max_length` must be at least 1; got {most}.", "input.text.max_length")
    return {"max_length": most}
