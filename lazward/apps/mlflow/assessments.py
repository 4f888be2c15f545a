"""MLflow's traces/{id}/assessments calls."""

from __future__ import annotations

from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.domain.tracking.assessments import Assessment, check_assessment, check_change, shown
from lazward.storage import assessments


def _answer(call: Call, found: Assessment) -> Json:
    return {"assessment": shown(found, call.path["trace_id"])}


async def create(call: Call) -> Json:
    new = check_assessment(call.args.get("assessment"), "assessment", round(call.now * 1000))
    return _answer(call, await call.write(assessments.create, call.path["trace_id"], new))


async def get(call: Call) -> Json:
    return _answer(call, await call.read(assessments.get, call.path["trace_id"], call.path["assessment_id"]))


async def update(call: Call) -> Json:
    change = check_change(call.args.get("assessment"), call.args.get("update_mask"))
    changed = await call.write(assessments.update, call.path["trace_id"], call.path["assessment_id"], change, round(call.now * 1000))
    return _answer(call, changed)


async def delete(call: Call) -> Json:
    await call.write(assessments.delete, call.path["trace_id"], call.path["assessment_id"])
    return {}
