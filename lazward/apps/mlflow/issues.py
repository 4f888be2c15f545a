"""MLflow's issues/* calls."""

from __future__ import annotations

from typing import Any

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.domain.genai import issues as rules
from lazward.domain.genai.grammars import ISSUES
from lazward.domain.tracking import names
from lazward.domain.tracking.filter import parse_filter
from lazward.storage import issues, runs
from lazward.storage.issues import Issue


async def create(call: Call) -> Json:
    experiment, name, description = call.required("experiment_id"), rules.check_name(call.required("name")), names.check_value(call.required("description"), "description")
    status = rules.check_word(call.args.get("status"), "status", rules.STATUSES) or "pending"
    severity = rules.check_word(call.args.get("severity"), "severity", rules.SEVERITIES)
    causes, categories = (rules.check_texts(call.texts(member), member) for member in ("root_causes", "categories"))
    run = call.text("source_run_id") or None
    if run:  # one of another workspace is as good as none
        await call.read(runs.get, run)
    made = await call.write(issues.create, experiment, name, description, status, severity, causes, categories, run, call.text("created_by") or call.user, call.now)
    return {"issue": _shown(made)}


async def get(call: Call) -> Json:
    return {"issue": _shown(await call.read(issues.get, call.path["issue_id"]))}


async def update(call: Call) -> Json:
    changes: dict[str, Any] = {
        "name": rules.check_name(call.text("name")), "description": names.check_value(call.text("description"), "description"),
        "status": rules.check_word(call.args.get("status"), "status", rules.STATUSES),
        "severity": rules.check_word(call.args.get("severity"), "severity", rules.SEVERITIES),
    }
    return {"issue": _shown(await call.write(issues.update, call.path["issue_id"], {k: v for k, v in changes.items() if v}, call.now))}


async def search(call: Call) -> Json:
    condition = parse_filter(call.text("filter_string"), ISSUES)
    found, token = await call.read(issues.search, call.text("experiment_id"), condition, call.limit(100, 50_000), call.text("page_token") or None)
    shown = [_shown(one) for one in found]
    if call.flag("include_trace_count"):
        counts = await call.read(issues.impacted, [one.id for one in found])
        shown = [one | {"trace_count": counts[one["issue_id"]]} for one in shown]
    return {"issues": shown} | ({"next_page_token": token} if token else {})


def _shown(one: Issue) -> Json:
    shown = {
        "issue_id": one.id, "experiment_id": one.experiment, "name": one.name, "description": one.description, "status": one.status, "severity": one.severity,
        "root_causes": one.root_causes, "source_run_id": one.run, "categories": one.categories, "created_timestamp": shapes.milliseconds(one.created),
        "last_updated_timestamp": shapes.milliseconds(one.updated), "created_by": one.created_by,
    }
    return {k: v for k, v in shown.items() if v is not None}
