"""What MLflow's clients read: runs, experiments, logged models as the JSON of its protobufs. Times become milliseconds."""

from __future__ import annotations

import math
from typing import Any

from lazward.apps.mlflow.call import Call
from lazward.storage.experiments import Experiment
from lazward.storage.logged_models import FullModel
from lazward.storage.metric_history import Point
from lazward.storage.run_search import Full, Link
from lazward.storage.runs import Run

Json = dict[str, Any]


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def double(value: float, nan: bool = False) -> float | str:
    """JSON has no infinities; protobuf's JSON spells them out."""
    if nan:
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def pairs(items: Any) -> list[Json]:
    return [{"key": k, "value": v} for k, v in items]


def artifact_uri(call: Call, root: str, experiment: Experiment) -> str:
    """Where a client keeps the artifacts of a run or logged model. The azureml plugin reads /experiments/ and /runs/ of the URI."""
    if experiment.location:
        return f"{experiment.location}/{root}/artifacts"
    if call.plain:
        return f"mlflow-artifacts:/{root}/artifacts"
    return f"{azureml_base(call)}/experiments/{experiment.id}/runs/{root}/artifacts"


def azureml_base(call: Call) -> str:
    return f"azureml://{call.ctx.services.base_url.removeprefix('https://')}{call.workspace}"


def experiment(call: Call, e: Experiment) -> Json:
    inside = f"mlflow-artifacts:/{e.id}" if call.plain else f"{azureml_base(call)}/experiments/{e.id}"
    return {
        "experiment_id": e.id, "name": e.name, "artifact_location": e.location or inside, "lifecycle_stage": e.stage, "last_update_time": milliseconds(e.updated),
        "creation_time": milliseconds(e.created), "tags": pairs(e.tags.items()),
    }


def run_info(call: Call, run: Run, e: Experiment) -> Json:
    info: Json = {
        "run_uuid": run.id, "run_id": run.id, "run_name": run.name, "experiment_id": e.id, "user_id": run.user, "status": run.status,
        "start_time": milliseconds(run.started), "artifact_uri": artifact_uri(call, run.id, e), "lifecycle_stage": run.stage,
    }
    if run.ended is not None:
        info["end_time"] = milliseconds(run.ended)
    return info


def run(call: Call, full: Full) -> Json:
    return {
        "info": run_info(call, full.run, full.experiment),
        "data": {
            "metrics": [{"key": k, "value": double(v, nan), "timestamp": at, "step": step} for k, v, nan, at, step in full.metrics],
            "params": pairs(full.params), "tags": pairs(full.tags),
        },
        "inputs": {
            "dataset_inputs": [_dataset_input(link) for link in full.links if link.kind == "dataset"],
            "model_inputs": [{"model_id": link.ref} for link in full.links if link.kind == "model_in"],
        },
        "outputs": {"model_outputs": [{"model_id": link.ref, "step": link.step} for link in full.links if link.kind == "model_out"]},
    }


def _dataset_input(link: Link) -> Json:
    return {"dataset": {k: v for k, v in link.doc.items() if v is not None}, "tags": pairs(link.tags.items())}


def point(key: str, p: Point) -> Json:
    return {"key": key, "value": double(p.value, p.nan), "timestamp": p.at, "step": p.step}


def logged_model(call: Call, full: FullModel) -> Json:
    m = full.model
    info = {
        "model_id": m.id, "experiment_id": full.experiment.id, "name": m.name, "creation_timestamp_ms": milliseconds(m.created),
        "last_updated_timestamp_ms": milliseconds(m.updated), "artifact_uri": model_uri(call, full), "status": m.status, "model_type": m.type,
        "source_run_id": m.run, "tags": pairs(m.tags.items()),
    }
    metrics = []
    for measured in full.metrics:
        shown = point(measured.point.key, measured.point) | {"model_id": m.id, "run_id": measured.point.run}
        metrics.append(shown | {k: v for k, v in (("dataset_name", measured.dataset), ("dataset_digest", measured.digest)) if v})
    return {"info": info, "data": {"params": pairs(m.params.items()), "metrics": metrics}}


def model_uri(call: Call, full: FullModel) -> str:
    if full.experiment.location:
        return f"{full.experiment.location}/models/{full.model.id}/artifacts"
    return artifact_uri(call, full.model.id, full.experiment)
