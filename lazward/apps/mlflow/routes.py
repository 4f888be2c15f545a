"""The MLflow server of every workspace: the prefixes it answers under; calls.py has the table of its calls.

The azureml plugin comes to /mlflow/v2.0{workspace}, MLflow's own client to /mlflow/plain{workspace}, or /mlflow/workspaces/NAME for a
workspace whose name is unique; all of them see the same data. Only the artifact URIs differ, by prefix (wire contract 12.3).
"""

from __future__ import annotations

import contextlib
import functools
import re
from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.responses import Response

from lazward import __version__
from lazward.apps.chain import Context, Route, Surface, by_handler, json_response
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.calls import BY_PATH, PROXIED, RPC, SPANS, Handler, Rpc
from lazward.apps.mlflow.unbuilt import why
from lazward.apps.services import Services
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, ResourceId, check_name, parse, workspace_id
from lazward.contract.mlflow import MlflowError, error_body, invalid, missing
from lazward.storage import resources

_WORKSPACE = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{ws}"
PLUGIN, PLAIN, SHORT = "/mlflow/v{version:[1-3][.]0}" + _WORKSPACE, "/mlflow/plain" + _WORKSPACE, "/mlflow/workspaces/{ws}"
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# The release of MLflow whose calls are answered. From 3.4 on clients conclude that spans are taken.
MLFLOW_VERSION = "3.17.2"
_TYPE = f"{ML}/workspaces".lower()


def render_error(ctx: Context | None, error: ArmError) -> Response:
    return json_response(error_body(error), error.status, error.headers)


MLFLOW = Surface("mlflow", render_error)


def mlflow_routes(services: Services) -> list[Route]:
    found = by_handler("the right of the call (RPC, BY_PATH, PROXIED) at the workspace in the path")
    limit = services.settings.max_body_bytes
    api = "/{api:(?:ajax-)?api/[1-9][.]0(?:/preview)?}/"  # preview: as MLflow's server still answers, and the azureml plugin still asks
    out: list[Route] = []
    for prefix in (PLAIN, PLUGIN, SHORT):
        out += [
            Route(VERBS, prefix + api + "mlflow/{rest:path}", handle, found, MLFLOW, limit),
            Route(("POST",), prefix + "/v1/traces", handle_spans, found, MLFLOW, limit),
            Route(VERBS, prefix + api + "mlflow-artifacts/mpu/{rest:path}", handle_multipart, found, MLFLOW, limit),
            Route(VERBS, prefix + api + "mlflow-artifacts/{rest:path}", handle_proxied, found, MLFLOW, None),
            Route(VERBS, prefix + "{rest:(?:/.*)?}", handle_unknown, found, MLFLOW, limit),
        ]
    return out


async def handle(ctx: Context) -> Response:
    """One call: who asks, what is asked for, whether they may, and only then the work."""
    caller = await ctx.authenticate()
    method, rest = ctx.request.method, ctx.params["rest"].strip("/")
    if rest in ("server-info", "server-features") and method == "GET":
        ctx.allow("says what this server can do, nothing of any workspace", caller)
        return server_info()
    rpc, path = RPC.get((method, rest)), {}
    if rpc is None:
        rpc, path = _by_path(BY_PATH, method, rest)
    call, fn = await _admit(ctx, rpc, await _arguments(ctx, rpc) if rpc else {}, path)
    answer = await fn(call)
    return answer if isinstance(answer, Response) else json_response(answer)


async def handle_multipart(ctx: Context) -> Response:
    await ctx.authenticate()
    rpc, path = _by_path(PROXIED, ctx.request.method, "mpu/" + ctx.params["rest"])
    call, fn = await _admit(ctx, rpc, await _arguments(ctx, rpc) if rpc else {}, path)
    return await fn(call)


async def handle_proxied(ctx: Context) -> Response:
    """The body, if any, is the artifact: it is not read here."""
    method = "GET" if ctx.request.method == "HEAD" else ctx.request.method
    rpc, path = _by_path(PROXIED, method, ctx.params["rest"].rstrip("/"))
    call, fn = await _admit(ctx, rpc, _query(ctx), path)
    return await fn(call)


async def handle_spans(ctx: Context) -> Response:
    """OTLP. The body is read once the caller may send it."""
    await ctx.authenticate()
    call, fn = await _admit(ctx, SPANS, {}, {})
    return await fn(call)


async def handle_unknown(ctx: Context) -> Response:
    caller = await ctx.authenticate()
    if ctx.params["rest"] in ("/health", "/version") and ctx.request.method == "GET":
        ctx.allow("says only that the server is up, and what it is", caller)
        return Response("OK" if ctx.params["rest"] == "/health" else MLFLOW_VERSION, media_type="text/plain")
    raise _no_endpoint(ctx)


def server_info() -> Response:
    """What MLflow's clients probe: no "workspaces" of MLflow's kind (each of ours has its own address); parts may go up in parallel."""
    return json_response({
        "store_type": "SqlStore", "workspaces_enabled": False, "trace_archival_enabled": False, "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": False, "presigned_upload_run_id_supported": True, "presigned_upload_model_id_supported": True,
        "features_enabled": {"gateway": False}, "server": f"lazward {__version__}",
    })


async def _admit(ctx: Context, rpc: Rpc | None, args: Any, path: dict[str, str]) -> tuple[Call, Handler]:
    """The call and its handler, once the caller is allowed to have it run; 404 for what is no call."""
    if rpc is None:
        await ctx.authenticate()
        raise _no_endpoint(ctx)
    action = f"{ML}/workspaces/{rpc.right if isinstance(rpc.right, str) else rpc.right(args)}"
    params = ctx.params
    if "sub" in params:
        workspace, scope = _named(params["sub"], params["group"], params["ws"])
        await ctx.require(action, scope)
    else:
        workspace = await _only_of_name(ctx, action, params["ws"])
    return Call(ctx, workspace, "version" not in params, args, path), rpc.fn


@functools.lru_cache(maxsize=1024)
def _named(sub: str, group: str, ws: str) -> tuple[ResourceId, str]:
    """The workspace of an address, and its id as text; remembered, since a client that trains says it thousands of times."""
    workspace = workspace_id(check_name(sub, "subscriptionId"), check_name(group, "resourceGroupName"), check_name(ws, "workspace"))
    return workspace, str(workspace)


def _by_path(table: list[tuple[str, re.Pattern[str], Rpc]], method: str, rest: str) -> tuple[Rpc | None, dict[str, str]]:
    for verb, pattern, rpc in table:
        if verb == method and (match := pattern.fullmatch(rest)):
            return rpc, match.groupdict()
    return None, {}


async def _only_of_name(ctx: Context, action: str, name: str) -> ResourceId:
    """The one workspace of that name in which the caller may act; others are as good as none."""
    found = [id_ for id_ in await ctx.db.read(resources.ids_named, _TYPE, name) if await ctx.may(action, id_)]
    if len(found) > 1:
        raise invalid(f"There are {len(found)} workspaces named '{name[:100]}'; use /mlflow/plain/subscriptions/... to say which.", "workspace")
    if not found:
        raise missing(f"The workspace '{name[:100]}' was not found.")
    await ctx.require(action, found[0])
    return parse(found[0])


async def _arguments(ctx: Context, rpc: Rpc) -> Any:
    """Body or query, as MLflow's protobuf JSON; an instance of rpc.plain where the body is one."""
    if ctx.request.method in ("GET", "HEAD"):
        return _query(ctx)
    if rpc.plain is not None and b"\\u0000" not in (body := await ctx.body()):
        with contextlib.suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return rpc.plain.decode(body)
    args = await ctx.json()
    if not isinstance(args, dict):
        raise invalid("The request body must be a JSON object.", "body")
    return args or _query(ctx)


def _query(ctx: Context) -> dict[str, Any]:
    """A name given once is a value, given more often a list."""
    args: dict[str, Any] = {}
    for name in ctx.query:
        values = ctx.query.getlist(name)
        args[name] = values[0] if len(values) == 1 else values
    return args


def _no_endpoint(ctx: Context) -> MlflowError:
    if reason := why(unquote(ctx.params.get("rest", "")).strip("/")):
        return MlflowError("NOT_IMPLEMENTED", f"{ctx.request.method} {unquote(ctx.params['rest'])[:200]!r} is not built: {reason} (see docs/coverage.md).")
    return MlflowError("ENDPOINT_NOT_FOUND", f"{ctx.request.method} {unquote(ctx.params.get('rest', ''))[:200]!r} is not a call this server answers (see docs/coverage.md).")
