"""Actions and effects of jobs."""

from __future__ import annotations

from starlette.responses import Response

from lazward.apps.arm.documents import document
from lazward.apps.arm.hooks import Call, action, written
from lazward.apps.arm.operations import operation_headers
from lazward.apps.chain import json_response
from lazward.contract.errors import conflict
from lazward.contract.mlflow import MlflowError
from lazward.domain.resource import Doc, WriteContext
from lazward.orchestration.job_submit import submit
from lazward.orchestration.jobs import request_cancel
from lazward.orchestration.pipeline_resume import resume
from lazward.storage import resources, runs
from lazward.storage.db import Tx
from lazward.storage.resources import Row


@written("workspaces/jobs")
def job_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    if before is None:
        try:
            submit(tx, row, ctx.now, ctx.caller)
        except MlflowError as error:  # a job's run has its name, and somebody may have made a run of that id
            raise conflict(error.message, "name", "JobAlreadyExists") from None
    else:
        runs.set_tags(tx, row.scope, row.name, {k: str(v) for k, v in (row.properties.get("tags") or {}).items()}, ctx.now)


@action("workspaces/jobs", "resume", right="write")
async def resume_job(call: Call) -> Response:
    """An addition of Lazward's: a failed pipeline goes on, with the steps kept that completed."""
    await call.ctx.db.write(resume, call.key, call.ctx.now)
    row = await call.ctx.db.read(resources.get, call.key)
    assert row is not None
    return json_response(document(call.target.declared, row), 202)


@action("workspaces/jobs", "cancel")
async def cancel_job(call: Call) -> Response:
    task_id = await call.ctx.db.write(request_cancel, call.key, call.ctx.now)
    if task_id is None:
        return Response(status_code=200)
    return Response(status_code=202, headers=operation_headers(call.ctx, task_id, call.row.id))
