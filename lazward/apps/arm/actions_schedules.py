"""Effects and actions of schedules."""

from __future__ import annotations

import datetime as dt
from typing import Any

from starlette.responses import Response

from lazward.apps.arm.hooks import Call, action, deleting, written
from lazward.apps.chain import json_response
from lazward.contract.errors import bad_request, conflict
from lazward.contract.ids import parse
from lazward.domain.resource import Doc, WriteContext
from lazward.orchestration import schedules
from lazward.orchestration.job_create import context_of
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row


@written("workspaces/schedules")
def schedule_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    schedules.written(tx, row, before, ctx)


@deleting("workspaces/schedules")
def schedule_deleted(tx: Tx, row: Row, ctx: WriteContext) -> None:
    schedules.deleted(tx, row, ctx.now)


@action("workspaces/schedules", "trigger", right="write")
async def trigger_schedule(call: Call) -> Response:
    """Runs it now, once, enabled or not. Said twice with one scheduleTime, it runs once."""
    ctx = call.ctx
    moment = _schedule_time(call.body, ctx.now)
    refused = await schedules.refusal(ctx.services.authority, ctx.db, call.row)
    if refused:
        raise refused

    def submit(tx: Tx) -> Row:
        row = resources.get(tx, call.key)
        if row is None or row.properties.get("provisioningState") == "Deleting":
            raise conflict(f"'{call.row.name}' is being deleted.")
        if row.etag != call.row.etag:
            raise conflict(f"'{row.name}' was changed at the same time; try it again.")
        made = context_of(parse(row.id), ctx.caller, ctx.services.settings, ctx.now)
        return schedules.submit_run(tx, row, moment, made, by=ctx.caller.name or ctx.caller.id)

    job = await ctx.db.write(submit)
    return json_response({"submissionId": job.name, "jobName": job.name, "scheduleActionType": call.row.properties["action"]["actionType"]})


def _schedule_time(body: Any, now: float) -> float:
    """scheduleTime of the body (UTC unless it says otherwise), in unix seconds; now, when there is none."""
    text = body.get("scheduleTime") if isinstance(body, dict) else None
    if text is None:
        return now
    try:
        read = dt.datetime.fromisoformat(text)
        if not 1980 <= read.year <= 9000:
            raise ValueError
    except (TypeError, ValueError):
        raise bad_request(f"scheduleTime is a time such as 2026-03-01T08:00:00Z, not '{str(text)[:40]}'.", "scheduleTime") from None
    return (read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp()
