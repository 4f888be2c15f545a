"""Run history: what the SDK asks of a run beside ARM. A job's own facts come from its document, through JobsPort."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from starlette.responses import Response

from lazward.apps.chain import Context, json_response
from lazward.apps.history.scope import workspace_of
from lazward.apps.mlflow import shapes
from lazward.apps.run_artifacts import RunArtifacts
from lazward.contract.caller import Caller
from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError, bad_request, not_found
from lazward.contract.ids import ResourceId
from lazward.domain.tracking.names import NOTE, RUN_NAME, check_value
from lazward.domain.tracking.status import to_history
from lazward.storage import experiments, metric_history, run_search, runs
from lazward.storage.db import Tx
from lazward.storage.run_search import Full

Json = dict[str, Any]
LOG_FOLDERS = ("user_logs", "azureml-logs", "system_logs", "logs/azureml")


class Change(msgspec.Struct, frozen=True):
    """What PATCH asks for; None = leave as it is. tags and properties are added to those there."""

    hidden: bool | None = None
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None


class JobsPort(Protocol):
    """The jobs behind runs. `workspace` is its key, a run's id the job's name. Implemented in apps/ports.py."""

    async def get(self, workspace: str, run_id: str) -> Json | None:
        """The `properties` of the ARM job (status, error, services, inputs, outputs, computeId, tags, startTimeUtc, endTimeUtc, isArchived,
        ...), or None when no job of that name is there. Outputs may carry the assetId that dataversion/batchGetResolvedUris resolves."""
        ...

    async def patch(self, workspace: str, run_id: str, change: Change, caller: Caller) -> None:
        """Changes the job's document; hidden is ARM's isArchived."""
        ...

    async def token(self, workspace: str, run_id: str) -> tuple[str, float] | None:
        """A fresh token of the running job and its expiry (unix seconds); None when the job is over."""
        ...

    async def services(self, workspace: str, run_id: str, node: str) -> dict[str, Json] | None:
        """{name: {type, port, status, error, endpoint, properties}} of the services on a node of the job."""
        ...


def _jobs(ctx: Context) -> JobsPort:
    return ctx.services.jobs


async def _full(ctx: Context) -> tuple[ResourceId, Full, Json | None]:
    workspace, run = workspace_of(ctx), ctx.params["run"]
    full = await ctx.db.read(run_search.one, workspace.key, run)
    return workspace, full, await _jobs(ctx).get(workspace.key, run) if full.run.is_job else None


async def get(ctx: Context) -> Response:
    return json_response(_run(ctx, *await _full(ctx)))


async def details(ctx: Context) -> Response:
    workspace, full, job = await _full(ctx)
    shown = _run(ctx, workspace, full, job)
    wanted = (
        "runId", "target", "status", "parentRunId", "startTimeUtc", "endTimeUtc", "error", "warnings", "tags", "properties", "services", "inputs", "outputs",
        "runDefinition", "createdBy", "rootRunId", "userId", "settings",
    )
    return json_response({name: shown[name] for name in wanted} | {"createdTimeUtc": shown["createdUtc"], "logFiles": await _log_files(ctx, workspace, full)})


async def run_data(ctx: Context) -> Response:
    body = await ctx.json()
    run = body.get("runId") if isinstance(body, dict) else None
    if not isinstance(run, str) or not run:
        raise bad_request("The member 'runId' is required.", "runId")
    ctx.params["run"] = run
    workspace, full, job = await _full(ctx)
    answer: Json = {"runMetadata": _run(ctx, workspace, full, job)}
    if body.get("selectRunDefinition"):
        answer["runDefinition"] = None
    if body.get("selectJobSpecification"):
        answer["jobSpecification"] = None
    return json_response(answer)


async def children(ctx: Context) -> Response:
    workspace = workspace_of(ctx)

    def load(tx: Tx) -> list[Full]:
        return run_search.load(tx, [run for run, _ in runs.children(tx, workspace.key, ctx.params["run"])])

    value = []
    for full in await ctx.db.read(load):
        job = await _jobs(ctx).get(workspace.key, full.run.id) if full.run.is_job else None
        value.append(_run(ctx, workspace, full, job))
    return json_response({"value": value, "continuationToken": None, "nextLink": None})


async def patch(ctx: Context) -> Response:
    change = await _change(ctx)
    workspace, full, job = await _full(ctx)
    if job is not None:
        await _jobs(ctx).patch(workspace.key, full.run.id, change, ctx.caller)

    def save(tx: Tx) -> Full:
        run = runs.get(tx, workspace.key, full.run.id)
        tags = dict(change.tags or {})
        if change.display_name:
            tags[RUN_NAME] = change.display_name
        if change.description is not None:
            tags[NOTE] = change.description
        runs.write_tags(tx, run.seq, tags.items())
        if change.hidden is not None and not run.is_job:  # a job is archived, in its document; a run alone goes into the bin
            if change.hidden:
                runs.delete(tx, workspace.key, run.id, ctx.now)
            else:
                runs.restore(tx, workspace.key, run.id)
        return run_search.one(tx, workspace.key, run.id)

    changed = await ctx.db.write(save)
    job = await _jobs(ctx).get(workspace.key, full.run.id) if full.run.is_job else None
    return json_response(_run(ctx, workspace, changed, job))


async def _change(ctx: Context) -> Change:
    body = await ctx.json()
    if not isinstance(body, dict):
        raise bad_request("The request body must be a JSON object.", "body")
    maps: dict[str, dict[str, str] | None] = {}
    for name in ("tags", "properties"):
        value = body.get(name)
        if value is not None and not isinstance(value, dict):
            raise bad_request(f"'{name}' is an object.", name)
        maps[name] = None if value is None else {k: check_value(v if v is None or isinstance(v, str) else str(v), name) for k, v in value.items()}
        if any(not 0 < len(k) <= 512 for k in maps[name] or ()):
            raise bad_request(f"The names in '{name}' have 1 to 512 characters.", name)
    hidden = body.get("hidden")
    if hidden is not None and not isinstance(hidden, bool):
        raise bad_request("'hidden' is true or false.", "hidden")
    texts = {name: None if body.get(name) is None else check_value(body[name], name) for name in ("displayName", "description")}
    return Change(hidden, texts["displayName"] or None, texts["description"], maps["tags"], maps["properties"])


async def token(ctx: Context) -> Response:
    """A job's own token, made anew shortly before it ends. Nobody else gets one, whatever their role: it acts as the job."""
    caller = await ctx.authenticate()
    workspace, run = workspace_of(ctx), ctx.params["run"]
    if caller.run != run or (caller.bound_to and caller.bound_to.lower() != workspace.key):
        raise ArmError(403, "AuthorizationFailed", "Only the run itself can renew its token.", "runId")
    ctx.allow("the caller is the run", caller)
    made = await _jobs(ctx).token(workspace.key, run)
    if made is None:
        raise ArmError(403, "RunEnded", f"The run '{run[:256]}' is over; its token is not renewed.", "runId")
    return json_response({"token": made[0], "expiryTimeUtc": timestamp(made[1])})


async def service_instances(ctx: Context) -> Response:
    found = await _jobs(ctx).services(workspace_of(ctx).key, ctx.params["run"], ctx.params["node"])
    if found is None:
        raise not_found(f"The job '{ctx.params['run']}'")
    return json_response({"instances": found})


async def list_experiments(ctx: Context) -> Response:
    workspace = workspace_of(ctx)

    def load(tx: Tx) -> list[experiments.Experiment]:
        experiments.ensure_default(tx, workspace.key, ctx.now)
        return experiments.search(tx, workspace.key, ("active",), None, [], 1000, None)[0]

    found = await ctx.db.write(load)
    return json_response({"value": [_experiment(e) for e in found], "continuationToken": None, "nextLink": None})


async def get_experiment(ctx: Context) -> Response:
    workspace, named = workspace_of(ctx), ctx.params["exp"]

    def load(tx: Tx) -> experiments.Experiment:
        experiments.ensure_default(tx, workspace.key, ctx.now)
        if ctx.params["kind"].lower() == "experimentids":
            return experiments.get(tx, workspace.key, named)
        return experiments.by_name(tx, workspace.key, named)

    return json_response(_experiment(await ctx.db.write(load)))


async def run_metrics(ctx: Context) -> Response:
    """Every metric with its values, in the order they were logged."""
    workspace, run = workspace_of(ctx), ctx.params["run"]

    def load(tx: Tx) -> list[tuple[str, list[metric_history.Point]]]:
        full = run_search.one(tx, workspace.key, run)
        return [(m[0], metric_history.sampled(tx, workspace.key, [run], m[0], 1000, None, None)) for m in full.metrics]

    return json_response({"value": [
        {
            "name": name, "runId": run, "metricType": "azureml.v1.scalar",
            "value": [
                {"step": p.step, "createdUtc": _time(p.at / 1000), "data": {name: shapes.double(p.value, p.nan)}}
                for p in points
            ],
        }
        for name, points in await ctx.db.read(load)
    ]})


async def _log_files(ctx: Context, workspace: ResourceId, full: Full) -> dict[str, str]:
    """Path -> a link to read it."""
    store = RunArtifacts(ctx.services)
    if full.experiment.location:
        return {}
    root = await store.root(workspace.key, full.run.id)
    out: dict[str, str] = {}
    for folder in LOG_FOLDERS:
        entries, _ = await store.files(root, folder, "")
        out |= {entry.path: store.link(root, entry.path, "r") for entry in entries}
    return out


def _experiment(e: experiments.Experiment) -> Json:
    return {
        "experimentId": e.id, "name": e.name, "description": e.tags.get(NOTE), "createdUtc": timestamp(e.created), "tags": e.tags,
        "archivedTime": None if e.stage == "active" else timestamp(e.updated), "retainForLifetimeOfWorkspace": False, "artifactLocation": e.location,
    }


def _run(ctx: Context, workspace: ResourceId, full: Full, job: Json | None) -> Json:
    run, tags = full.run, dict(full.tags)
    facts = job or {}
    user = {"userObjectId": None, "userPuId": None, "userIdp": None, "userTenantId": None, "userName": run.user, "upn": None}
    started = facts.get("startTimeUtc") if job is not None else _time(run.started)
    ended = facts.get("endTimeUtc") if job is not None else _time(run.ended)
    error = facts.get("error")
    return {
        "runNumber": run.seq, "rootRunId": run.parent or run.id, "createdUtc": facts.get("createdUtc") or started or _time(run.started),
        "createdBy": user, "userId": run.user, "token": None, "tokenExpiryTimeUtc": None, "error": {"error": error} if error else None, "warnings": _warnings(facts),
        "revision": 1, "runUuid": None, "runId": run.id, "parentRunId": run.parent, "experimentId": full.experiment.id, "experimentName": full.experiment.name,
        "status": facts.get("status") or to_history(run.status), "startTimeUtc": started, "endTimeUtc": ended, "isVirtual": False,
        "displayName": facts.get("displayName") or run.name, "name": None, "dataContainerId": f"dcid.{run.id}",
        "description": facts.get("description") or tags.get(NOTE), "hidden": bool(facts.get("isArchived")) if job is not None else run.stage == "deleted",
        "runType": f"azureml.{str(facts['jobType']).lower()}run" if facts.get("jobType") else "azureml.mlflow", "properties": _texts(facts.get("properties")),
        "parameters": dict(full.params), "actionUris": {}, "scriptName": None, "target": str(facts.get("computeId") or "local").rsplit("/", 1)[-1],
        "uniqueChildRunComputeTargets": [], "tags": tags if job is None else {**tags, **_texts(facts.get("tags"))}, "settings": {},
        "services": _services(facts.get("services")), "inputDatasets": [], "outputDatasets": [], "runDefinition": None, "jobSpecification": None,
        "inputs": _inputs(facts.get("inputs")), "outputs": _outputs(ctx, workspace, run.id, facts.get("outputs")), "lastModifiedUtc": None,
        "artifactUri": f"azureml://{ctx.services.base_url.removeprefix('https://')}{workspace}/experiments/{full.experiment.id}/runs/{run.id}/artifacts",
    }


def _warnings(facts: Json) -> list[Json] | None:
    """What people are told beside a run's status: why it waits, and which attempts failed before the last one. The SDK shows them at
    the end of a streamed log."""
    found = []
    for one in (facts.get("attempts") or [])[:-1]:
        log = f" (its log is in {one['logs']})" if one.get("logs") else ""
        found.append({"source": "Attempts", "message": f"Attempt {one['attempt']} failed{log}: {_line((one.get('error') or {}).get('message'))}"})
    if waiting := facts.get("waitingFor"):
        found.append({"source": "Queue", "message": waiting})
    return found or None


def _line(text: Any) -> str:
    return (str(text or "").splitlines() or [""])[0][:300]


def _time(seconds: float | None) -> str | None:
    """MLflow's clients may give any number as a time; what no calendar has is left out."""
    return timestamp(seconds) if seconds is not None and 0 <= seconds < 253_402_300_800 else None


def _texts(values: Any) -> dict[str, str]:
    return {k: v if isinstance(v, str) else "" if v is None else str(v) for k, v in (values or {}).items()}


def _services(values: Any) -> Json:
    return {
        name: {"type": facts.get("jobServiceType"), "port": facts.get("port"), "status": facts.get("status"), "error": None, "endpoint": facts.get("endpoint"), "properties": _texts(facts.get("properties"))}
        for name, facts in (values or {}).items() if isinstance(facts, dict)
    }


def _inputs(values: Any) -> Json:
    return {name: {"assetId": facts["uri"], "type": facts.get("jobInputType")} for name, facts in (values or {}).items() if isinstance(facts, dict) and facts.get("uri")}


def _outputs(ctx: Context, workspace: ResourceId, run: str, values: Any) -> Json:
    """Named outputs under the ids that dataversion/batchGetResolvedUris resolves. The default one is not an asset."""
    base = f"azureml://locations/{ctx.services.settings.location}/workspaces/{workspace.name}/data/azureml_{run}_output_data_"
    out: Json = {}
    for name, facts in (values or {}).items():
        if name != "default" and isinstance(facts, dict):
            kind = facts.get("jobOutputType") or "uri_folder"
            # azure-ai-ml (1.35 and before) breaks on an output of a model type before it asks where it is; a model is a folder, too.
            out[name] = {"assetId": facts.get("assetId") or f"{base}{name}/versions/1", "type": "uri_folder" if kind.endswith("_model") else kind}
    return out
