"""The table of MLflow's calls, with the permission each needs; routes.py answers them under every prefix."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from lazward.apps.mlflow import artifacts, calls_genai, experiments, logged_models, otlp, registry, runs, trash
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.calls_traces import TRACE_CALLS
from lazward.domain.tracking import names

Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Rpc:
    """right: what is needed at the workspace, below Microsoft.MachineLearningServices/workspaces; a function looks at the arguments.
    plain: what nearly all bodies of a busy call decode as, several times as fast; the others are read as every body is."""

    fn: Handler
    right: str | Callable[[Any], str]
    plain: msgspec.json.Decoder[Any] | None = None


READ, WRITE, DELETE = "experiments/runs/read", "experiments/runs/write", "experiments/runs/delete"
METRICS = "metrics/resource/write"
FILES_READ, FILES_WRITE, FILES_DELETE = "metadata/artifacts/read", "metadata/artifacts/write", "metadata/artifacts/delete"
MODELS_READ, MODELS_WRITE, MODELS_DELETE = "models/read", "models/write", "models/delete"
VERSIONS_READ, VERSIONS_WRITE, VERSIONS_DELETE = "models/versions/read", "models/versions/write", "models/versions/delete"

RPC: dict[tuple[str, str], Rpc] = {
    ("POST", "experiments/create"): Rpc(experiments.create, "experiments/write"),
    ("GET", "experiments/get"): Rpc(experiments.get, "experiments/read"),
    ("GET", "experiments/get-by-name"): Rpc(experiments.get_by_name, "experiments/read"),
    ("POST", "experiments/search"): Rpc(experiments.search, "experiments/read"),
    ("GET", "experiments/search"): Rpc(experiments.search, "experiments/read"),
    ("GET", "experiments/list"): Rpc(experiments.search, "experiments/read"),  # of MLflow 1, which Azure's examples of REST still call
    ("POST", "experiments/update"): Rpc(experiments.update, "experiments/write"),
    ("POST", "experiments/delete"): Rpc(experiments.delete, "experiments/delete"),
    ("POST", "experiments/restore"): Rpc(experiments.restore, "experiments/write"),
    ("POST", "experiments/set-experiment-tag"): Rpc(experiments.set_tag, "experiments/write"),
    ("POST", "experiments/delete-experiment-tag"): Rpc(experiments.delete_tag, "experiments/write"),
    ("POST", "experiments/search-datasets"): Rpc(experiments.search_datasets, READ),
    ("POST", "runs/create"): Rpc(runs.create, WRITE),
    ("GET", "runs/get"): Rpc(runs.get, READ),
    ("POST", "runs/update"): Rpc(runs.update, WRITE),
    ("POST", "runs/heartbeat"): Rpc(runs.heartbeat, WRITE),
    ("POST", "runs/delete"): Rpc(runs.delete, DELETE),
    ("POST", "runs/restore"): Rpc(runs.restore, WRITE),
    ("POST", "runs/search"): Rpc(runs.search, READ),
    ("POST", "runs/log-metric"): Rpc(runs.log_metric, METRICS, msgspec.json.Decoder(names.PlainLogged)),
    ("POST", "runs/log-parameter"): Rpc(runs.log_param, WRITE),
    ("POST", "runs/log-batch"): Rpc(runs.log_batch, runs.batch_right, msgspec.json.Decoder(names.PlainBatch)),
    ("POST", "runs/log-batch-async"): Rpc(runs.log_batch, runs.batch_right),  # of the azureml plugin; done when it is answered
    ("POST", "runs/set-tag"): Rpc(runs.set_tag, WRITE),
    ("POST", "runs/delete-tag"): Rpc(runs.delete_tag, WRITE),
    ("POST", "runs/log-inputs"): Rpc(runs.log_inputs, WRITE),
    ("POST", "runs/outputs"): Rpc(runs.log_outputs, WRITE),
    ("POST", "runs/log-model"): Rpc(runs.log_model, WRITE),
    ("GET", "metrics/get-history"): Rpc(runs.history, READ),
    ("GET", "metrics/get-history-bulk"): Rpc(runs.history_bulk, READ),
    ("GET", "metrics/get-history-bulk-interval"): Rpc(runs.history_interval, READ),
    ("GET", "artifacts/list"): Rpc(artifacts.list_of_run, FILES_READ),
    ("POST", "artifacts/presigned-upload-url"): Rpc(artifacts.presigned_upload, FILES_WRITE),
    ("POST", "artifacts/presigned-download-url"): Rpc(artifacts.presigned_download, FILES_READ),
    ("POST", "logged-models"): Rpc(logged_models.create, WRITE),
    ("POST", "logged-models/search"): Rpc(logged_models.search, READ),
    ("GET", "lazward/trash"): Rpc(trash.listed, READ),
    ("GET", "lazward/trash/progress"): Rpc(trash.progress, READ),
    ("POST", "lazward/trash/restore"): Rpc(trash.restore, WRITE),
    ("POST", "lazward/trash/empty"): Rpc(trash.empty, DELETE),
    ("POST", "registered-models/create"): Rpc(registry.create_model, MODELS_WRITE),
    ("GET", "registered-models/get"): Rpc(registry.get_model, MODELS_READ),
    ("PATCH", "registered-models/update"): Rpc(registry.update_model, MODELS_WRITE),
    ("POST", "registered-models/rename"): Rpc(registry.rename_model, MODELS_WRITE),
    ("DELETE", "registered-models/delete"): Rpc(registry.delete_model, MODELS_DELETE),
    ("GET", "registered-models/search"): Rpc(registry.search_models, MODELS_READ),
    ("GET", "registered-models/list"): Rpc(registry.search_models, MODELS_READ),
    ("POST", "registered-models/get-latest-versions"): Rpc(registry.latest_versions, VERSIONS_READ),
    ("GET", "registered-models/get-latest-versions"): Rpc(registry.latest_versions, VERSIONS_READ),
    ("POST", "registered-models/set-tag"): Rpc(registry.set_model_tag, MODELS_WRITE),
    ("DELETE", "registered-models/delete-tag"): Rpc(registry.delete_model_tag, MODELS_WRITE),
    ("POST", "registered-models/alias"): Rpc(registry.set_alias, MODELS_WRITE),
    ("DELETE", "registered-models/alias"): Rpc(registry.delete_alias, MODELS_WRITE),
    ("GET", "registered-models/alias"): Rpc(registry.get_by_alias, VERSIONS_READ),
    ("POST", "model-versions/create"): Rpc(registry.create_version, VERSIONS_WRITE),
    ("GET", "model-versions/get"): Rpc(registry.get_version, VERSIONS_READ),
    ("PATCH", "model-versions/update"): Rpc(registry.update_version, VERSIONS_WRITE),
    ("DELETE", "model-versions/delete"): Rpc(registry.delete_version, VERSIONS_DELETE),
    ("GET", "model-versions/search"): Rpc(registry.search_versions, VERSIONS_READ),
    ("GET", "model-versions/get-download-uri"): Rpc(registry.download_uri, VERSIONS_READ),
    ("POST", "model-versions/set-tag"): Rpc(registry.set_version_tag, VERSIONS_WRITE),
    ("DELETE", "model-versions/delete-tag"): Rpc(registry.delete_version_tag, VERSIONS_WRITE),
    ("POST", "model-versions/transition-stage"): Rpc(registry.transition_stage, VERSIONS_WRITE),
}

_MODEL = r"logged-models/(?P<model_id>[^/]+)"
BY_PATH: list[tuple[str, re.Pattern[str], Rpc]] = [
    ("GET", re.compile(_MODEL), Rpc(logged_models.get, READ)),
    ("PATCH", re.compile(_MODEL), Rpc(logged_models.finalize, WRITE)),
    ("DELETE", re.compile(_MODEL), Rpc(logged_models.delete, DELETE)),
    ("POST", re.compile(_MODEL + "/params"), Rpc(logged_models.log_params, WRITE)),
    ("PATCH", re.compile(_MODEL + "/tags"), Rpc(logged_models.set_tags, WRITE)),
    ("DELETE", re.compile(_MODEL + r"/tags/(?P<tag_key>.+)"), Rpc(logged_models.delete_tag, WRITE)),
    ("GET", re.compile(_MODEL + "/artifacts/directories"), Rpc(artifacts.list_of_model, FILES_READ)),
]
BY_PATH += [(verb, re.compile(path), Rpc(fn, right)) for verb, path, fn, right in TRACE_CALLS]
SPANS = Rpc(otlp.export, WRITE)

PROXIED: list[tuple[str, re.Pattern[str], Rpc]] = [
    ("GET", re.compile("artifacts"), Rpc(artifacts.list_proxied, FILES_READ)),
    ("GET", re.compile("artifacts/(?P<path>.+)", re.DOTALL), Rpc(artifacts.download, FILES_READ)),
    ("PUT", re.compile("artifacts/(?P<path>.+)", re.DOTALL), Rpc(artifacts.upload, FILES_WRITE)),
    ("DELETE", re.compile("artifacts/(?P<path>.+)", re.DOTALL), Rpc(artifacts.delete, FILES_DELETE)),
    ("GET", re.compile("presigned/(?P<path>.+)", re.DOTALL), Rpc(artifacts.presigned, FILES_READ)),
    ("POST", re.compile("mpu/create/(?P<path>.+)", re.DOTALL), Rpc(artifacts.multipart_create, FILES_WRITE)),
    ("POST", re.compile("mpu/complete/(?P<path>.+)", re.DOTALL), Rpc(artifacts.multipart_complete, FILES_WRITE)),
    ("POST", re.compile("mpu/abort/(?P<path>.+)", re.DOTALL), Rpc(artifacts.multipart_abort, FILES_WRITE)),
]

RPC.update({name: Rpc(*call) for name, call in calls_genai.CALLS.items()})
BY_PATH += [(method, re.compile(path), Rpc(*call)) for method, path, call in calls_genai.BY_PATH]
