"""What may be searched of evaluation datasets and issues, in the language of domain/tracking/filter.py."""

from __future__ import annotations

from lazward.domain.tracking.filter import Grammar

EVAL_DATASETS = Grammar(
    {name: name for name in ("name", "created_time", "last_update_time", "created_by", "last_updated_by")}, frozenset({"created_time", "last_update_time"}),
    frozenset({"tag"}),
)
EVAL_DATASET_ORDERS = Grammar({name: name for name in ("name", "created_time", "last_update_time")}, frozenset(), frozenset())
ISSUES = Grammar({name: name for name in ("status", "source_run_id")}, frozenset(), frozenset())
