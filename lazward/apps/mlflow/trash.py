"""Our own calls about the bin: what is in it, take it out again, empty it. MLflow's clients have no such calls (`mlflow gc` opens the database)."""

from __future__ import annotations

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names
from lazward.orchestration import tracking_trash
from lazward.storage import tasks, trash

DAY_S = 86400.0
MAX_IDS = 1000


async def listed(call: Call) -> Json:
    """{"items": [{kind, id, name, experiment_id, deleted_time, purge_time?}], next_page_token?}; times in milliseconds."""
    found, token = await call.read(trash.listed, call.limit(100, 1000), call.text("page_token") or None)
    days = call.ctx.services.settings.trash_days
    items = []
    for item in found:
        shown: Json = {"kind": item.kind, "id": item.id, "name": item.name, "experiment_id": item.experiment, "deleted_time": shapes.milliseconds(item.deleted)}
        items.append(shown | ({"purge_time": shapes.milliseconds(item.deleted + days * DAY_S)} if days and item.id != names.DEFAULT_EXPERIMENT else {}))
    return {"items": items} | ({"next_page_token": token} if token else {})


async def restore(call: Call) -> Json:
    """{"run_ids", "experiment_ids", "model_ids"}: all or nothing."""
    await call.write(trash.restore, _ids(call, "run_ids"), _ids(call, "experiment_ids"), _ids(call, "model_ids"), call.now)
    return {}


async def empty(call: Call) -> Json:
    """{"run_ids", "experiment_ids", "model_ids"} or {"older_than_days": n} (0: everything) -> {"runs", "experiments", "models": how many,
    "operation": id or none}. What is gone for good is gone at once; files and rows follow."""
    chosen = [_ids(call, name) for name in ("run_ids", "experiment_ids", "model_ids")]
    days = call.args.get("older_than_days")
    if (days is None) == (not any(chosen)):
        raise invalid("Say what is to go: run_ids, experiment_ids, model_ids, or older_than_days alone.", "older_than_days")
    if days is not None:
        if not isinstance(days, (int, float)) or isinstance(days, bool) or not 0 <= days < 100_000:
            raise invalid(f"Invalid value {str(days)[:60]!r} for parameter 'older_than_days' supplied: it must be a number of days.", "older_than_days")
        task, claimed = await call.write(tracking_trash.empty, call.now, before=call.now - days * DAY_S + 0.001)
    else:
        task, claimed = await call.write(tracking_trash.empty, call.now, run_ids=chosen[0], experiment_ids=chosen[1], model_ids=chosen[2])
    return {"runs": claimed.runs, "experiments": claimed.experiments, "models": claimed.models} | ({"operation": task} if task else {})


async def progress(call: Call) -> Json:
    """{"status", "runs", "models", "files", "bytes"} of one emptying, while it goes on and for a week after."""
    id_ = call.required("operation")
    task = await call.ctx.db.read(tasks.get, id_)
    if task is None or task.kind != "tracking.purge" or task.subject != call.key:
        raise invalid(f"There is no emptying with the id '{id_[:100]}' in this workspace.", "operation")
    return {"status": task.status, **{name: task.state.get(name, 0) for name in ("runs", "models", "files", "bytes")}}


def _ids(call: Call, name: str) -> list[str]:
    found = call.texts(name)
    if len(found) > MAX_IDS:
        raise invalid(f"At most {MAX_IDS} at once. Got {len(found)}.", name)
    return found
