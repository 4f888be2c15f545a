"""What may be searched of evaluation datasets, issues and the registry of MCP servers, in the language of domain/tracking/filter.py."""

from __future__ import annotations

from lazward.domain.tracking.filter import Grammar

EVAL_DATASETS = Grammar(
    {name: name for name in ("name", "created_time", "last_update_time", "created_by", "last_updated_by")}, frozenset({"created_time", "last_update_time"}),
    frozenset({"tag"}),
)
EVAL_DATASET_ORDERS = Grammar({name: name for name in ("name", "created_time", "last_update_time")}, frozenset(), frozenset())
ISSUES = Grammar({name: name for name in ("status", "source_run_id")}, frozenset(), frozenset())

_TIMES = frozenset({"created_at", "last_updated_at"})


def _names(*names: str) -> dict[str, str]:
    return {name: name for name in (*names, *_TIMES)}


MCP_SERVERS = Grammar(_names("name", "display_name", "status", "has_access_endpoints"), _TIMES, frozenset({"tag"}), flags=frozenset({"has_access_endpoints"}))
MCP_VERSIONS = Grammar(_names("name", "version", "status"), _TIMES, frozenset({"tag"}), ordered=frozenset({"version"}))
MCP_ENDPOINTS = Grammar(_names("id", "server_name", "status", "transport_type"), _TIMES, frozenset())
