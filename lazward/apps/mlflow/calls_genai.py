"""The calls of evaluation datasets, scorers, label schemas, review queues, issues, webhooks and MCP servers; calls.py joins them into its table.

Each is (handler, what is needed at the workspace, below Microsoft.MachineLearningServices/workspaces): see ADR-0026.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from lazward.apps.mlflow import (
    eval_datasets,
    issues,
    label_schemas,
    mcp_endpoints,
    mcp_servers,
    review_queues,
    scorers,
    webhooks,
)
from lazward.apps.mlflow.call import Call

Entry = tuple[Callable[[Call], Awaitable[Any]], str]

DATASETS, WEBHOOKS = "datasets/registered/", "eventGridFilters/"
SCORERS, ISSUES = "experiments/", "experiments/runs/"
QUESTIONS, REVIEWS = "labeling/projects/", "labeling/labels/"  # who sets up a review, and who does it
SERVERS, VERSIONS = "models/", "models/versions/"  # another registry: who may change the one may change the other
_DATASET, _WEBHOOK = r"datasets/(?P<dataset_id>[^/]+)", r"webhooks/(?P<webhook_id>[^/]+)"
# A name has a slash within. What is longer is looked for first, so that no name swallows it.
_SERVER = r"mcp-servers/(?P<name>[^/]+/[^/]+|[^/]+)"
_VERSION, _ALIAS, _ENDPOINT = _SERVER + "/versions/(?P<version>[^/]+)", _SERVER + "/aliases/(?P<alias>.+)", _SERVER + "/endpoints/(?P<endpoint_id>[^/]+)"

CALLS: dict[tuple[str, str], Entry] = {
    ("POST", "datasets/create"): (eval_datasets.create, DATASETS + "write"),
    ("GET", "datasets/search"): (eval_datasets.search, DATASETS + "read"),
    ("POST", "datasets/search"): (eval_datasets.search, DATASETS + "read"),
    ("POST", "scorers/register"): (scorers.register, SCORERS + "write"),
    ("GET", "scorers/list"): (scorers.every, SCORERS + "read"),
    ("GET", "scorers/versions"): (scorers.versions, SCORERS + "read"),
    ("GET", "scorers/get"): (scorers.get, SCORERS + "read"),
    ("DELETE", "scorers/delete"): (scorers.delete, SCORERS + "delete"),
    ("GET", "scorers/online-configs"): (scorers.configs, SCORERS + "read"),
    ("PUT", "scorers/online-config"): (scorers.set_config, SCORERS + "write"),
    ("POST", "issues"): (issues.create, ISSUES + "write"),
    ("POST", "issues/search"): (issues.search, ISSUES + "read"),
    ("POST", "label-schemas/create"): (label_schemas.create, QUESTIONS + "write"),
    ("GET", "label-schemas/get"): (label_schemas.get, QUESTIONS + "read"),
    ("GET", "label-schemas/get-by-name"): (label_schemas.get_by_name, QUESTIONS + "read"),
    ("GET", "label-schemas/list"): (label_schemas.page, QUESTIONS + "read"),
    ("PATCH", "label-schemas/update"): (label_schemas.update, QUESTIONS + "write"),
    ("DELETE", "label-schemas/delete"): (label_schemas.delete, QUESTIONS + "delete"),
    ("POST", "review-queues/create"): (review_queues.create, QUESTIONS + "write"),
    ("POST", "review-queues/get-or-create-user"): (review_queues.of_user, REVIEWS + "write"),
    ("GET", "review-queues/get"): (review_queues.get, QUESTIONS + "read"),
    ("GET", "review-queues/get-by-name"): (review_queues.get_by_name, QUESTIONS + "read"),
    ("GET", "review-queues/list"): (review_queues.page, QUESTIONS + "read"),
    ("POST", "review-queues/update"): (review_queues.update, QUESTIONS + "write"),
    ("POST", "review-queues/delete"): (review_queues.delete, QUESTIONS + "delete"),
    ("POST", "review-queues/items/add"): (review_queues.add_items, QUESTIONS + "write"),
    ("POST", "review-queues/items/remove"): (review_queues.remove_items, QUESTIONS + "write"),
    ("GET", "review-queues/items/list"): (review_queues.list_items, REVIEWS + "read"),
    ("POST", "review-queues/items/set-status"): (review_queues.set_status, REVIEWS + "write"),
    ("POST", "webhooks"): (webhooks.create, WEBHOOKS + "write"),
    ("GET", "webhooks"): (webhooks.page, WEBHOOKS + "read"),
    ("POST", "mcp-servers"): (mcp_servers.create, SERVERS + "write"),
    ("GET", "mcp-servers"): (mcp_servers.search, SERVERS + "read"),
    ("GET", "mcp-servers/endpoints"): (mcp_endpoints.search, SERVERS + "read"),
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
    ("GET", "issues/(?P<issue_id>[^/]+)", (issues.get, ISSUES + "read")),
    ("PATCH", "issues/(?P<issue_id>[^/]+)", (issues.update, ISSUES + "write")),
    ("POST", _VERSION + "/tags", (mcp_servers.set_version_tag, VERSIONS + "write")),
    ("DELETE", _VERSION + "/tags/(?P<tag_key>.+)", (mcp_servers.delete_version_tag, VERSIONS + "write")),
    ("GET", _VERSION, (mcp_servers.get_version, VERSIONS + "read")),
    ("PATCH", _VERSION, (mcp_servers.update_version, VERSIONS + "write")),
    ("DELETE", _VERSION, (mcp_servers.delete_version, VERSIONS + "delete")),
    ("POST", _SERVER + "/versions", (mcp_servers.create_version, VERSIONS + "write")),
    ("GET", _SERVER + "/versions", (mcp_servers.search_versions, VERSIONS + "read")),
    ("GET", _ENDPOINT, (mcp_endpoints.get, SERVERS + "read")),
    ("PATCH", _ENDPOINT, (mcp_endpoints.update, SERVERS + "write")),
    ("DELETE", _ENDPOINT, (mcp_endpoints.delete, SERVERS + "delete")),
    ("POST", _SERVER + "/endpoints", (mcp_endpoints.create, SERVERS + "write")),
    ("GET", _SERVER + "/endpoints", (mcp_endpoints.search, SERVERS + "read")),
    ("POST", _SERVER + "/tags", (mcp_servers.set_tag, SERVERS + "write")),
    ("DELETE", _SERVER + "/tags/(?P<tag_key>.+)", (mcp_servers.delete_tag, SERVERS + "write")),
    ("POST", _SERVER + "/aliases", (mcp_servers.set_alias, SERVERS + "write")),
    ("GET", _ALIAS, (mcp_servers.get_by_alias, VERSIONS + "read")),
    ("DELETE", _ALIAS, (mcp_servers.delete_alias, SERVERS + "write")),
    ("GET", _SERVER, (mcp_servers.get, SERVERS + "read")),
    ("PATCH", _SERVER, (mcp_servers.update, SERVERS + "write")),
    ("DELETE", _SERVER, (mcp_servers.delete, SERVERS + "delete")),
]
