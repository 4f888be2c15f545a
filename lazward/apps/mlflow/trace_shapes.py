"""What MLflow's clients read of traces: the JSON of its protobufs, of version 3 and of version 2."""

from __future__ import annotations

from typing import Any

from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json, azureml_base, pairs
from lazward.domain.tracking.assessments import shown
from lazward.domain.tracking.paths import TRACES
from lazward.domain.tracking.spans import otlp
from lazward.domain.tracking.trace_summary import ARTIFACTS, NAME
from lazward.domain.tracking.wire import wire_duration, wire_time
from lazward.storage.traces import Full


def tags(call: Call, full: Full) -> dict[str, str]:
    """With those that the server says."""
    named = {NAME: full.trace.name} if full.trace.name is not None else {}
    return {**full.trace.tags, **named, ARTIFACTS: artifact_uri(call, full)}


def artifact_uri(call: Call, full: Full) -> str:
    """Where clients keep what belongs to a trace beside its spans."""
    id_, experiment = full.trace.id, full.experiment
    if experiment.location:
        return f"{experiment.location}/{TRACES.lower()}/{id_}/artifacts"
    if call.plain:
        return f"mlflow-artifacts:/{id_}/artifacts"
    return f"{azureml_base(call)}/experiments/{experiment.id}/runs/{id_}/artifacts"


def info(call: Call, full: Full) -> Json:
    t = full.trace
    out: Json = {
        "trace_id": t.id, "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": full.experiment.id}},
        "request_time": wire_time(t.at), "state": t.state, "trace_metadata": t.metadata, "tags": tags(call, full),
    }
    for name, value in (("client_request_id", t.client_id), ("request_preview", t.request), ("response_preview", t.response)):
        if value is not None:
            out[name] = value
    if t.duration is not None:
        out["execution_duration"] = wire_duration(t.duration)
    if full.assessments:
        out["assessments"] = [shown(a, t.id) for a in full.assessments]
    return out


def whole(call: Call, full: Full, spans: list[str]) -> Json:
    """spans: as they are kept."""
    return {"trace_info": info(call, full), "spans": [otlp(span) for span in spans]}


def info_2(call: Call, full: Full) -> Json:
    """Version 2's."""
    t = full.trace
    return {
        "request_id": t.id, "experiment_id": full.experiment.id, "timestamp_ms": t.at, "execution_time_ms": t.duration or 0,
        "status": "TRACE_STATUS_UNSPECIFIED" if t.state == "STATE_UNSPECIFIED" else t.state, "request_metadata": pairs(t.metadata.items()),
        "tags": pairs(tags(call, full).items()),
    }


def points(metric: str, found: list[tuple[dict[str, str], dict[str, float]]]) -> list[Json]:
    return [{"metric_name": metric, "dimensions": dimensions, "values": values} for dimensions, values in found]


def correlation(total: int, first: int, second: int, both: int, npmi: tuple[float, float] | None) -> Json:
    """npmi: (as counted, smoothed); None where it says nothing."""
    out: dict[str, Any] = {"filter1_count": first, "filter2_count": second, "joint_count": both, "total_count": total}
    return out | ({"npmi": npmi[0], "npmi_smoothed": npmi[1]} if npmi else {})
