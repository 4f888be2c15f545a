"""The MLflow server of every workspace: the prefixes it answers under, and the table of its calls with the permission each needs.

The azureml plugin comes to /mlflow/v2.0{workspace}, MLflow's own client to /mlflow/plain{workspace}, or /mlflow/workspaces/NAME for a
workspace whose name is unique; all of them see the same data. Only the artifact URIs differ, by prefix (wire contract 12.3).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from lazward import __version__
from lazward.apps.chain import Context, Route, Surface, by_handler, json_response
from lazward.apps.mlflow import artifacts, experiments, logged_models, registry, runs
from lazward.apps.mlflow.call import Call
from lazward.apps.services import Services
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, ResourceId, check_name, parse, workspace_id
from lazward.contract.mlflow import MlflowError, error_body, invalid, missing
from lazward.storage import resources

Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Rpc:
    """right: what is needed at the workspace, below Microsoft.MachineLearningServices/workspaces; a function looks at the arguments."""

    fn: Handler
    right: str | Callable[[dict[str, Any]], str]


READ, WRITE, DELETE = "experiments/runs/read", "experiments/runs/write", "experiments/runs/delete"
METRICS = "metrics/resource/write"
FILES_READ, FILES_WRITE, FILES_DELETE = "metadata/artifacts/read", "metadata/artifacts/write", "metadata/artifacts/delete"
MODELS_READ, MODELS_WRITE, MODELS_DELETE = "models/read", "models/write", "models/delete"
VERSIONS_READ, VERSIONS_WRITE, VERSIONS_DELETE = "models/versions/read", "models/versions/write", "models/versions/delete"

RPC: dict[tuple[str, str], Rpc] = {
    ("POST", "experiments/create"): Rpc(experiments.create, "experiments/write"),
    ("GET", "experiments/get"): Rpc(experiments.get, "experiments/read"),
    ("GET", "experiments/get-by-name"): Rpc(experiments.get_by_name, "experiments/read"),
    ("POST", "experiments/search"): Rpc(experiments.search, "experiments/read"),
    ("GET", "experiments/search"): Rpc(experiments.search, "experiments/read"),
    ("POST", "experiments/update"): Rpc(experiments.update, "experiments/write"),
    ("POST", "experiments/delete"): Rpc(experiments.delete, "experiments/delete"),
    ("POST", "experiments/restore"): Rpc(experiments.restore, "experiments/write"),
    ("POST", "experiments/set-experiment-tag"): Rpc(experiments.set_tag, "experiments/write"),
    ("POST", "experiments/delete-experiment-tag"): Rpc(experiments.delete_tag, "experiments/write"),
    ("POST", "experiments/search-datasets"): Rpc(experiments.search_datasets, READ),
    ("POST", "runs/create"): Rpc(runs.create, WRITE),
    ("GET", "runs/get"): Rpc(runs.get, READ),
    ("POST", "runs/update"): Rpc(runs.update, WRITE),
    ("POST", "runs/delete"): Rpc(runs.delete, DELETE),
    ("POST", "runs/restore"): Rpc(runs.restore, WRITE),
    ("POST", "runs/search"): Rpc(runs.search, READ),
    ("POST", "runs/log-metric"): Rpc(runs.log_metric, METRICS),
    ("POST", "runs/log-parameter"): Rpc(runs.log_param, WRITE),
    ("POST", "runs/log-batch"): Rpc(runs.log_batch, runs.batch_right),
    ("POST", "runs/set-tag"): Rpc(runs.set_tag, WRITE),
    ("POST", "runs/delete-tag"): Rpc(runs.delete_tag, WRITE),
    ("POST", "runs/log-inputs"): Rpc(runs.log_inputs, WRITE),
    ("POST", "runs/outputs"): Rpc(runs.log_outputs, WRITE),
    ("POST", "runs/log-model"): Rpc(runs.log_model, WRITE),
    ("GET", "metrics/get-history"): Rpc(runs.history, READ),
    ("GET", "metrics/get-history-bulk"): Rpc(runs.history_bulk, READ),
    ("GET", "metrics/get-history-bulk-interval"): Rpc(runs.history_interval, READ),
    ("GET", "artifacts/list"): Rpc(artifacts.list_of_run, FILES_READ),
    ("POST", "artifacts/presigned-upload-url"): Rpc(artifacts.presigned_upload, FILES_WRITE),
    ("POST", "artifacts/presigned-download-url"): Rpc(artifacts.presigned_download, FILES_READ),
    ("POST", "logged-models"): Rpc(logged_models.create, WRITE),
    ("POST", "logged-models/search"): Rpc(logged_models.search, READ),
    ("POST", "registered-models/create"): Rpc(registry.create_model, MODELS_WRITE),
    ("GET", "registered-models/get"): Rpc(registry.get_model, MODELS_READ),
    ("PATCH", "registered-models/update"): Rpc(registry.update_model, MODELS_WRITE),
    ("POST", "registered-models/rename"): Rpc(registry.rename_model, MODELS_WRITE),
    ("DELETE", "registered-models/delete"): Rpc(registry.delete_model, MODELS_DELETE),
    ("GET", "registered-models/search"): Rpc(registry.search_models, MODELS_READ),
    ("POST", "registered-models/get-latest-versions"): Rpc(registry.latest_versions, VERSIONS_READ),
    ("GET", "registered-models/get-latest-versions"): Rpc(registry.latest_versions, VERSIONS_READ),
    ("POST", "registered-models/set-tag"): Rpc(registry.set_model_tag, MODELS_WRITE),
    ("DELETE", "registered-models/delete-tag"): Rpc(registry.delete_model_tag, MODELS_WRITE),
    ("POST", "registered-models/alias"): Rpc(registry.set_alias, MODELS_WRITE),
    ("DELETE", "registered-models/alias"): Rpc(registry.delete_alias, MODELS_WRITE),
    ("GET", "registered-models/alias"): Rpc(registry.get_by_alias, VERSIONS_READ),
    ("POST", "model-versions/create"): Rpc(registry.create_version, VERSIONS_WRITE),
    ("GET", "model-versions/get"): Rpc(registry.get_version, VERSIONS_READ),
    ("PATCH", "model-versions/update"): Rpc(registry.update_version, VERSIONS_WRITE),
    ("DELETE", "model-versions/delete"): Rpc(registry.delete_version, VERSIONS_DELETE),
    ("GET", "model-versions/search"): Rpc(registry.search_versions, VERSIONS_READ),
    ("GET", "model-versions/get-download-uri"): Rpc(registry.download_uri, VERSIONS_READ),
    ("POST", "model-versions/set-tag"): Rpc(registry.set_version_tag, VERSIONS_WRITE),
    ("DELETE", "model-versions/delete-tag"): Rpc(registry.delete_version_tag, VERSIONS_WRITE),
    ("POST", "model-versions/transition-stage"): Rpc(registry.transition_stage, VERSIONS_WRITE),
}

_MODEL = r"logged-models/(?P<model_id>[^/]+)"
BY_PATH: list[tuple[str, re.Pattern[str], Rpc]] = [
    ("GET", re.compile(_MODEL), Rpc(logged_models.get, READ)),
    ("PATCH", re.compile(_MODEL), Rpc(logged_models.finalize, WRITE)),
    ("DELETE", re.compile(_MODEL), Rpc(logged_models.delete, DELETE)),
    ("POST", re.compile(_MODEL + "/params"), Rpc(logged_models.log_params, WRITE)),
    ("PATCH", re.compile(_MODEL + "/tags"), Rpc(logged_models.set_tags, WRITE)),
    ("DELETE", re.compile(_MODEL + r"/tags/(?P<tag_key>.+)"), Rpc(logged_models.delete_tag, WRITE)),
    ("GET", re.compile(_MODEL + "/artifacts/directories"), Rpc(artifacts.list_of_model, FILES_READ)),
]

PROXIED: list[tuple[str, re.Pattern[str], Rpc]] = [
    ("GET", re.compile("artifacts"), Rpc(artifacts.list_proxied, FILES_READ)),
    ("GET", re.compile("artifacts/(?P<path>.+)", re.DOTALL), Rpc(artifacts.download, FILES_READ)),
    ("PUT", re.compile("artifacts/(?P<path>.+)", re.DOTALL), Rpc(artifacts.upload, FILES_WRITE)),
    ("DELETE", re.compile("artifacts/(?P<path>.+)", re.DOTALL), Rpc(artifacts.delete, FILES_DELETE)),
    ("GET", re.compile("presigned/(?P<path>.+)", re.DOTALL), Rpc(artifacts.presigned, FILES_READ)),
    ("POST", re.compile("mpu/create/(?P<path>.+)", re.DOTALL), Rpc(artifacts.multipart_create, FILES_WRITE)),
    ("POST", re.compile("mpu/complete/(?P<path>.+)", re.DOTALL), Rpc(artifacts.multipart_complete, FILES_WRITE)),
    ("POST", re.compile("mpu/abort/(?P<path>.+)", re.DOTALL), Rpc(artifacts.multipart_abort, FILES_WRITE)),
]

_WORKSPACE = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{ws}"
PLUGIN, PLAIN, SHORT = "/mlflow/v{version:[1-3][.]0}" + _WORKSPACE, "/mlflow/plain" + _WORKSPACE, "/mlflow/workspaces/{ws}"
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# There is no /version: from one that is 3.4 or newer clients conclude that it takes spans.
_TYPE = f"{ML}/workspaces".lower()


def render_error(ctx: Context | None, error: ArmError) -> Response:
    return json_response(error_body(error), error.status, error.headers)


MLFLOW = Surface("mlflow", render_error)


def mlflow_routes(services: Services) -> list[Route]:
    found = by_handler("the right of the call (RPC, BY_PATH, PROXIED) at the workspace in the path")
    limit = services.settings.max_body_bytes
    api = "/{api:(?:ajax-)?api/[1-9][.]0}/"
    out: list[Route] = []
    for prefix in (PLAIN, PLUGIN, SHORT):
        out += [
            Route(VERBS, prefix + api + "mlflow/{rest:path}", handle, found, MLFLOW, limit),
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
    call, fn = await _admit(ctx, rpc, await _arguments(ctx) if rpc else {}, path)
    answer = await fn(call)
    return answer if isinstance(answer, Response) else json_response(answer)


async def handle_multipart(ctx: Context) -> Response:
    await ctx.authenticate()
    rpc, path = _by_path(PROXIED, ctx.request.method, "mpu/" + ctx.params["rest"])
    call, fn = await _admit(ctx, rpc, await _arguments(ctx) if rpc else {}, path)
    return await fn(call)


async def handle_proxied(ctx: Context) -> Response:
    """The body, if any, is the artifact: it is not read here."""
    method = "GET" if ctx.request.method == "HEAD" else ctx.request.method
    rpc, path = _by_path(PROXIED, method, ctx.params["rest"].rstrip("/"))
    call, fn = await _admit(ctx, rpc, _query(ctx), path)
    return await fn(call)


async def handle_unknown(ctx: Context) -> Response:
    caller = await ctx.authenticate()
    if ctx.params["rest"] == "/health" and ctx.request.method == "GET":
        ctx.allow("says only that the server is up", caller)
        return Response("OK", media_type="text/plain")
    raise _no_endpoint(ctx)


def server_info() -> Response:
    """What MLflow's clients probe: no "workspaces" of MLflow's kind (each of ours has its own address); parts may go up in parallel."""
    return json_response({
        "store_type": "SqlStore", "workspaces_enabled": False, "trace_archival_enabled": False, "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": False, "presigned_upload_run_id_supported": True, "presigned_upload_model_id_supported": True,
        "features_enabled": {"gateway": False}, "server": f"lazward {__version__}",
    })


async def _admit(ctx: Context, rpc: Rpc | None, args: dict[str, Any], path: dict[str, str]) -> tuple[Call, Handler]:
    """The call and its handler, once the caller is allowed to have it run; 404 for what is no call."""
    if rpc is None:
        await ctx.authenticate()
        raise _no_endpoint(ctx)
    action = f"{ML}/workspaces/{rpc.right if isinstance(rpc.right, str) else rpc.right(args)}"
    params = ctx.params
    if "sub" in params:
        workspace = workspace_id(check_name(params["sub"], "subscriptionId"), check_name(params["group"], "resourceGroupName"), check_name(params["ws"], "workspace"))
        await ctx.require(action, str(workspace))
    else:
        workspace = await _only_of_name(ctx, action, params["ws"])
    return Call(ctx, workspace, "version" not in params, args, path), rpc.fn


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


async def _arguments(ctx: Context) -> dict[str, Any]:
    """Body or query, as MLflow's protobuf JSON."""
    if ctx.request.method in ("GET", "HEAD"):
        return _query(ctx)
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
    return MlflowError("ENDPOINT_NOT_FOUND", f"{ctx.request.method} {unquote(ctx.params.get('rest', ''))[:200]!r} is not a call this server answers (see docs/coverage.md).")
