"""The calls of evaluation datasets, scorers, label schemas, review queues, issues and webhooks; calls.py joins them into its table.

Each is (handler, what is needed at the workspace, below Microsoft.MachineLearningServices/workspaces): see ADR-0025.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from lazward.apps.mlflow import eval_datasets, webhooks
from lazward.apps.mlflow.call import Call

Entry = tuple[Callable[[Call], Awaitable[Any]], str]

DATASETS, WEBHOOKS = "datasets/registered/", "eventGridFilters/"
_DATASET, _WEBHOOK = r"datasets/(?P<dataset_id>[^/]+)", r"webhooks/(?P<webhook_id>[^/]+)"

CALLS: dict[tuple[str, str], Entry] = {
    ("POST", "datasets/create"): (eval_datasets.create, DATASETS + "write"),
    ("GET", "datasets/search"): (eval_datasets.search, DATASETS + "read"),
    ("POST", "datasets/search"): (eval_datasets.search, DATASETS + "read"),
    ("POST", "webhooks"): (webhooks.create, WEBHOOKS + "write"),
    ("GET", "webhooks"): (webhooks.page, WEBHOOKS + "read"),
}

BY_PATH: list[tuple[str, str, Entry]] = [
    ("GET", _DATASET, (eval_datasets.get, DATASETS + "read")),
    ("DELETE", _DATASET, (eval_datasets.delete, DATASETS + "delete")),
    ("PATCH", _DATASET + "/tags", (eval_datasets.set_tags, DATASETS + "write")),
    ("DELETE", _DATASET + "/tags/(?P<tag_key>.+)", (eval_datasets.delete_tag, DATASETS + "write")),
    ("GET", _DATASET + "/experiment-ids", (eval_datasets.experiment_ids, DATASETS + "read")),
    ("POST", _DATASET + "/add-experiments", (eval_datasets.add_experiments, DATASETS + "write")),
    ("POST", _DATASET + "/remove-experiments", (eval_datasets.remove_experiments, DATASETS + "write")),
    ("GET", _DATASET + "/records", (eval_datasets.list_records, DATASETS + "read")),
    ("POST", _DATASET + "/records", (eval_datasets.upsert_records, DATASETS + "write")),
    ("DELETE", _DATASET + "/records", (eval_datasets.delete_records, DATASETS + "delete")),
    ("GET", _WEBHOOK, (webhooks.get, WEBHOOKS + "read")),
    ("PATCH", _WEBHOOK, (webhooks.update, WEBHOOKS + "write")),
    ("DELETE", _WEBHOOK, (webhooks.delete, WEBHOOKS + "delete")),
    ("POST", _WEBHOOK + "/test", (webhooks.test, WEBHOOKS + "write")),
]
