"""Actions and effects of jobs and their runs."""

from __future__ import annotations

import uuid

from starlette.responses import Response

from lazward.apps.arm import engine
from lazward.apps.arm.documents import document
from lazward.apps.arm.hooks import Call, Target, action, written
from lazward.apps.arm.operations import operation_headers
from lazward.apps.chain import json_response
from lazward.apps.registry_access import check_registries
from lazward.contract.errors import ArmError, conflict
from lazward.contract.ids import parse
from lazward.contract.mlflow import MlflowError
from lazward.domain.jobs import again
from lazward.domain.resource import Doc, WriteContext
from lazward.orchestration import run_diff
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


@action("workspaces/jobs", "lazwardRelaunch", right="write")
async def relaunch_job(call: Call) -> Response:
    """An addition of Lazward's: a new job like this one, whatever has become of it, with what the body says otherwise. The caller submits
    it, with the rights of a PUT."""
    ctx, changes = call.ctx, call.body or {}
    await ctx.require(call.target.declared.action("read"), call.row.id)
    properties = again.relaunched(call.row.properties, call.row.name, changes)
    rid = parse(call.row.id).parent.child("jobs", again.new_name(changes, str(uuid.uuid4())))
    await ctx.require(call.target.declared.action("write"), str(rid))
    await check_registries(ctx, properties)
    try:
        row, _, _ = await ctx.db.write(engine.store, Target(call.target.declared, rid), {"properties": properties}, engine.facts(ctx), if_none_match="*")
    except ArmError as error:
        raise again.name_taken(rid.name) if error.status == 412 else error from None
    return json_response(document(call.target.declared, row), 201)


@action("workspaces/jobs", "cancel")
async def cancel_job(call: Call) -> Response:
    task_id = await call.ctx.db.write(request_cancel, call.key, call.ctx.now)
    if task_id is None:
        return Response(status_code=200)
    return Response(status_code=202, headers=operation_headers(call.ctx, task_id, call.row.id))


@action("workspaces", "lazwardDiff", right="jobs/read")
async def diff_runs(call: Call) -> Response:
    """An addition of Lazward's: what is different between two jobs, or runs that are none. Takes the right to read all that it shows."""
    left, right = run_diff.check_request(call.body)
    for thing in ("codes/versions", "experiments/runs", "metadata/artifacts"):
        await call.ctx.require(call.target.declared.action(f"{thing}/read"), call.row.id)
    return json_response(await run_diff.compare(call.ctx.db, call.ctx.services.blobs, call.row, left, right))
