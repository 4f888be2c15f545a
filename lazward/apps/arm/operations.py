"""Long-running operations: the headers that announce them and the two documents that clients poll. The task is the operation."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from lazward.apps.chain import Context, json_response
from lazward.contract.envelope import operation_status
from lazward.contract.errors import not_found
from lazward.contract.ids import ML, parse
from lazward.storage import tasks


def operation_headers(ctx: Context, task_id: str, resource_id: str) -> dict[str, str]:
    version = ctx.query.get("api-version", "2025-12-01")
    subscription = parse(resource_id).subscription
    base = f"{ctx.services.base_url}/subscriptions/{subscription}/providers/{ML}/locations/{ctx.services.settings.location}"
    return {
        "Azure-AsyncOperation": f"{base}/mfeOperationsStatus/{task_id}?api-version={version}",
        "Location": f"{base}/mfeOperationResults/{task_id}?api-version={version}",
        "Retry-After": "1",  # 0 would be taken as absent, and the client's own default is 30 s
    }


async def status(ctx: Context) -> Response:
    """Azure-AsyncOperation: 200 with {status}, also for a failure."""
    task = await _task(ctx)
    url = ctx.request.scope["path"]
    done = task.status != "InProgress"
    return json_response(
        operation_status(task.id, url, task.status, task.created, task.ended, task.error), headers={} if done else {"Retry-After": "1"}
    )


async def result(ctx: Context) -> Response:
    """Location: 202 while it runs, then 200 or the error."""
    task = await _task(ctx)
    if task.status == "InProgress":
        here = f"{ctx.services.base_url}{quote(ctx.request.scope['path'])}?{ctx.request.scope['query_string'].decode('latin-1')}"
        return Response(status_code=202, headers={"Location": here, "Retry-After": "1"})
    if task.error:
        return json_response({"error": task.error}, 409 if task.error.get("code") == "Conflict" else 400)
    return Response(status_code=200)


async def _task(ctx: Context) -> tasks.Task:
    task = await ctx.db.read(tasks.get, ctx.params["operation"])
    if task is None:
        ctx.allow("an unknown operation id says nothing", await ctx.authenticate())
        raise not_found("The operation", ctx.params["operation"], "OperationNotFound")
    rid = parse(task.subject)
    await ctx.require(f"{rid.full_type}/read", task.subject)
    return task
