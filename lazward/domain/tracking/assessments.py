"""Assessments (feedback, expectations, references to issues) as MLflow's calls write and read them, checked; errors name the field."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names
from lazward.domain.tracking.wire import mapping, milliseconds, wire_time

KINDS = ("feedback", "expectation", "issue")
SOURCES = ("SOURCE_TYPE_UNSPECIFIED", "HUMAN", "LLM_JUDGE", "CODE")
SESSION = "mlflow.trace.session"
_ERROR = ("error_code", "error_message", "stack_trace")
_CHANGED = ("assessment_name", "feedback", "expectation", "rationale", "metadata", "valid")
_YES_NO = {"yes": 1.0, "no": 0.0}


class Assessment(msgspec.Struct):
    """id: None for a new one. kind: one of KINDS. value: JSON. created, updated: milliseconds. error: {error_code, error_message,
    stack_trace}. overrides: id of the assessment that this one replaces, which is no longer valid then."""

    id: str | None
    kind: str
    name: str
    value: Any
    created: int
    updated: int
    valid: bool = True
    source_type: str = SOURCES[0]
    source_id: str | None = None
    error: dict[str, str] | None = None
    span: str | None = None
    rationale: str | None = None
    overrides: str | None = None
    metadata: dict[str, str] = {}

    @property
    def number(self) -> float | None:
        """What an average is made of: a number, a truth as 1 or 0, yes and no alike."""
        if isinstance(self.value, str):
            return _YES_NO.get(self.value.strip().lower())
        if not isinstance(self.value, (bool, int, float)):
            return None
        try:
            number = float(self.value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    @property
    def numeric(self) -> bool:
        return not isinstance(self.value, (bool, str)) and self.number is not None

    @property
    def scoped(self) -> bool:
        """It speaks of the whole session."""
        return SESSION in self.metadata


class Change(msgspec.Struct):
    """What an update gives; names: the members it gives, of _CHANGED."""

    names: tuple[str, ...]
    name: str = ""
    kind: str = ""
    value: Any = None
    error: dict[str, str] | None = None
    rationale: str | None = None
    metadata: dict[str, str] = {}
    valid: bool = True


def check_assessment(raw: Any, path: str, now_ms: int) -> Assessment:
    if not isinstance(raw, dict):
        raise invalid(f"Missing value for required parameter '{path}'.", path)
    kind, value, error = _value(raw, path)
    source = raw.get("source") or {}
    if not isinstance(source, dict):
        raise invalid(f"Invalid value for parameter '{path}.source' supplied: it must be an object.", f"{path}.source")
    times = [milliseconds(raw[n], f"{path}.{n}") if raw.get(n) is not None else now_ms for n in ("create_time", "last_update_time")]
    id_, source_id, span, rationale, overrides = (
        _text(holder.get(name), f"{path}.{name}")
        for holder, name in ((raw, "assessment_id"), (source, "source_id"), (raw, "span_id"), (raw, "rationale"), (raw, "overrides"))
    )
    if id_ is not None:
        names.check_run_id(id_, f"{path}.assessment_id")
    return Assessment(
        id_, kind, _name(raw, path), value, times[0], times[1], raw.get("valid") is not False, _source(source.get("source_type"), f"{path}.source.source_type"),
        source_id, error, span, rationale, overrides, mapping(raw.get("metadata"), f"{path}.metadata"),
    )


def check_change(raw: Any, mask: Any) -> Change:
    """The assessment and the update_mask of an update. What the mask does not name stays; names that are nothing's are passed over."""
    if not isinstance(raw, dict):
        raise invalid("Missing value for required parameter 'assessment'.", "assessment")
    given = tuple(name for name in _mask(mask) if name in _CHANGED)
    if "feedback" in given and "expectation" in given:
        raise invalid("Cannot specify both `expectation` and `feedback` parameters.", "update_mask")
    out = Change(given)
    if "assessment_name" in given:
        out.name = _name(raw, "assessment")
    for kind in ("feedback", "expectation"):
        if kind in given:
            out.kind, out.value, out.error = _value({kind: raw.get(kind)}, "assessment")
    if "rationale" in given:
        out.rationale = _text(raw.get("rationale"), "assessment.rationale")
    if "metadata" in given:
        out.metadata = mapping(raw.get("metadata"), "assessment.metadata")
    if "valid" in given:
        out.valid = raw.get("valid") is not False
    return out


def changed(old: Assessment, change: Change, now_ms: int) -> Assessment:
    if change.kind and change.kind != old.kind:
        other = {"feedback": "an Expectation", "expectation": "a Feedback"}[change.kind] if old.kind != "issue" else "an Issue"
        raise invalid(f"Cannot update {change.kind} value on {other} assessment.", "assessment")
    out = msgspec.structs.replace(old, updated=now_ms, metadata={**old.metadata, **change.metadata})
    if "assessment_name" in change.names:
        out.name = change.name
    if change.kind:
        out.value, out.error = change.value, change.error
    if "rationale" in change.names:
        out.rationale = change.rationale
    if "valid" in change.names:
        out.valid = change.valid
    return out


def shown(a: Assessment, trace_id: str) -> dict[str, Any]:
    out: dict[str, Any] = {
        "assessment_id": a.id, "assessment_name": a.name, "trace_id": trace_id, "source": {"source_type": a.source_type} | _given(source_id=a.source_id),
        "create_time": wire_time(a.created), "last_update_time": wire_time(a.updated), "valid": a.valid,
        **_given(span_id=a.span, rationale=a.rationale, overrides=a.overrides, metadata=a.metadata or None),
    }
    if a.kind == "feedback":
        out["feedback"] = {"value": a.value} | _given(error=a.error)
    elif a.kind == "issue":
        out["issue"] = a.value
    elif isinstance(a.value, (dict, list)):
        out["expectation"] = {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": json.dumps(a.value)}}
    else:
        out["expectation"] = {"value": a.value}
    return out


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _value(raw: dict[str, Any], path: str) -> tuple[str, Any, dict[str, str] | None]:
    kinds = [kind for kind in KINDS if raw.get(kind) is not None]
    if len(kinds) != 1:
        raise invalid(f"An assessment has either feedback, expectation, or issue value; '{path}' has {', '.join(kinds) or 'none of them'}.", path)
    kind = kinds[0]
    held, where = raw[kind], f"{path}.{kind}"
    if not isinstance(held, dict):
        raise invalid(f"Invalid value for parameter '{where}' supplied: it must be an object.", where)
    if kind == "issue":
        return kind, {"issue_name": _text(held.get("issue_name"), f"{where}.issue_name") or ""}, None
    if kind == "expectation" and held.get("serialized_value") is not None:
        return kind, _serialized(held["serialized_value"], f"{where}.serialized_value"), None
    error = held.get("error") if kind == "feedback" else None
    if error is not None and not isinstance(error, dict):
        raise invalid(f"Invalid value for parameter '{where}.error' supplied: it must be an object.", f"{where}.error")
    told = {name: names.check_value(error[name], f"{where}.error.{name}") for name in _ERROR if error.get(name) is not None} if error else None
    return kind, held.get("value"), told or None


def _serialized(raw: Any, path: str) -> Any:
    if not isinstance(raw, dict) or raw.get("serialization_format") != "JSON_FORMAT":
        shown = raw.get("serialization_format") if isinstance(raw, dict) else raw
        raise invalid(f"Unknown serialization format: {str(shown)[:60]}. Only JSON_FORMAT is supported.", path)
    try:
        return msgspec.json.decode(names.check_value(raw.get("value"), f"{path}.value"))
    except (msgspec.DecodeError, RecursionError):
        raise invalid(f"Invalid value for parameter '{path}.value' supplied: it must be JSON.", f"{path}.value") from None


def _name(raw: dict[str, Any], path: str) -> str:
    name = _text(raw.get("assessment_name"), f"{path}.assessment_name")
    if name is None or len(name) > names.MAX_KEY:
        raise invalid(f"Missing or too long value for required parameter '{path}.assessment_name'.", f"{path}.assessment_name")
    return name


def _source(raw: Any, path: str) -> str:
    if raw is None:
        return SOURCES[0]
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < len(SOURCES):
        return SOURCES[raw]
    name = "LLM_JUDGE" if raw == "AI_JUDGE" else raw
    if name not in SOURCES:
        raise invalid(f"Invalid assessment source type: {str(raw)[:60]}. Valid source types: {', '.join(SOURCES)}", path)
    return name


def _text(value: Any, path: str) -> str | None:
    """A string, None for an absent or empty one."""
    return names.check_value(value, path) or None


def _mask(mask: Any) -> list[str]:
    """A protobuf FieldMask: "assessmentName,rationale", or {"paths": [...]}."""
    paths = mask.split(",") if isinstance(mask, str) else mask.get("paths") if isinstance(mask, dict) else None
    if not isinstance(paths, list) or not all(isinstance(p, str) for p in paths):
        raise invalid("Missing value for required parameter 'update_mask'.", "update_mask")
    return [re.sub("[A-Z]", lambda m: f"_{m.group().lower()}", p.strip()) for p in paths]
