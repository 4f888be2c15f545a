"""Traces as MLflow's calls write them, checked; errors name the field."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names
from lazward.domain.tracking.assessments import Assessment, check_assessment
from lazward.domain.tracking.wire import duration_ms, mapping, milliseconds, optional

STATES = ("STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")
IN_PROGRESS = "IN_PROGRESS"
# What the server says of a trace, so that no client may.
FIXED_TAGS = frozenset({"mlflow.trace.spansLocation", "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure", "mlflow.artifactLocation"})
MAX_LINKED, MAX_IDS, MAX_ASSESSMENTS = 100, 10_000, 1000

class TraceDraft(msgspec.Struct):
    """at, duration: milliseconds; duration None while it runs. state: one of STATES."""

    id: str
    experiment: str
    at: int
    duration: int | None
    state: str
    client_id: str | None
    request: str | None
    response: str | None
    tags: dict[str, str]
    metadata: dict[str, str]
    assessments: list[Assessment]


def check_trace(raw: Any, now_ms: int) -> TraceDraft:
    """A TraceInfo of version 3."""
    path = "trace.trace_info"
    if not isinstance(raw, dict):
        raise invalid(f"Missing value for required parameter '{path}'.", path)
    id_ = check_trace_id(raw.get("trace_id"), f"{path}.trace_id")
    experiment = location(raw.get("trace_location"), f"{path}.trace_location")
    assessments = raw.get("assessments") or []
    if not isinstance(assessments, list) or len(assessments) > MAX_ASSESSMENTS:
        raise invalid(f"'{path}.assessments' must be a list of at most {MAX_ASSESSMENTS} assessments.", f"{path}.assessments")
    client_id, request, response = (optional(raw.get(name), f"{path}.{name}") for name in ("client_request_id", "request_preview", "response_preview"))
    return TraceDraft(
        id_, experiment, milliseconds(raw["request_time"], f"{path}.request_time") if raw.get("request_time") is not None else now_ms,
        duration_ms(raw.get("execution_duration"), f"{path}.execution_duration"), state(raw.get("state"), f"{path}.state"), client_id, request, response,
        mapping(raw.get("tags"), f"{path}.tags"), mapping(raw.get("trace_metadata"), f"{path}.trace_metadata"),
        [check_assessment(a, f"{path}.assessments[{i}]", now_ms) for i, a in enumerate(assessments)],
    )


def check_trace_id(id_: Any, path: str = "trace_id") -> str:
    return names.check_run_id(id_, path)


def location(raw: Any, path: str) -> str:
    """The id of the experiment that a TraceLocation names."""
    inner = raw.get("mlflow_experiment") if isinstance(raw, dict) else None
    experiment = inner.get("experiment_id") if isinstance(inner, dict) else None
    if not isinstance(experiment, str) or not experiment:
        raise invalid(f"Missing value for required parameter '{path}.mlflow_experiment.experiment_id': traces lie in experiments.", path)
    return experiment


def state(raw: Any, path: str) -> str:
    """A state by its name or number; TraceStatus of version 2 has the same, but for the name of the first."""
    if raw in (None, "TRACE_STATUS_UNSPECIFIED"):
        return STATES[0]
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < len(STATES):
        return STATES[raw]
    if isinstance(raw, str) and raw in STATES:
        return raw
    raise invalid(f"Invalid value {str(raw)[:60]!r} for parameter '{path}' supplied: it must be one of {', '.join(STATES)}.", path)


def check_tag_change(key: Any, done: str) -> str:
    key = names.check_key(key)
    if key in FIXED_TAGS and (done, key) != ("deleted", "mlflow.trace.archivalFailure"):
        raise invalid(f"Tag '{key}' is immutable and cannot be {done} on a trace.", "key")
    return key


def expected_spans(sizes: str | None) -> int:
    """How many spans the client said a trace has (metadata mlflow.trace.sizeStats); 0 when it said nothing."""
    try:
        found = json.loads(sizes or "{}")
        count = found.get("num_spans", 0) if isinstance(found, dict) else 0
    except (ValueError, RecursionError):
        return 0
    return count if isinstance(count, int) else 0
