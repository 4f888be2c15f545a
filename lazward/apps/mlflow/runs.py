"""MLflow's runs/* and metrics/* calls."""

from __future__ import annotations

import json
import secrets
import uuid
from typing import Any

import sqlalchemy as sa

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names
from lazward.domain.tracking.filter import RUNS, parse_filter, parse_orders
from lazward.domain.tracking.status import RUNNING, TERMINAL, parse_status
from lazward.orchestration import run_watch
from lazward.storage import logged_models, metric_history, metrics, run_search, runs
from lazward.storage.db import Tx
from lazward.storage.experiments import Experiment

MAX_RUNS = 50_000
MAX_HISTORY = 25_000
MAX_BULK_RUNS = 100
MAX_HEARTBEATS = 1000
_SMALL = 20  # values, params and tags of a batch that is written as a small one

_QUALITIES = (
    "amused", "bold", "brave", "calm", "capable", "clever", "crisp", "fair", "fearless", "gentle", "grand", "honest", "kind", "lively", "mellow", "nimble",
    "polite", "proud", "quick", "rare", "sunny", "swift", "wise",
)
_BEINGS = (
    "ant", "bat", "crane", "crow", "deer", "dove", "duck", "eel", "finch", "fish", "fox", "gull", "hare", "hawk", "hen", "ibex", "jay", "kite", "lark",
    "lynx", "mole", "newt", "owl", "quail", "ray", "seal", "stag", "swan", "wren",
)


async def create(call: Call) -> Json:
    tags = call.pairs("tags")
    tagged, name = dict(tags).get(names.RUN_NAME, ""), call.text("run_name")
    if name and tagged and name != tagged:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{name[:200]}', mlflow.runName='{tagged[:200]}').", "run_name",
        )
    name = name or tagged or f"{secrets.choice(_QUALITIES)}-{secrets.choice(_BEINGS)}-{secrets.randbelow(1000)}"
    started = call.integer("start_time", 0) or 0
    id_ = names.check_own_id(call.text("lazward_id"), "run") or uuid.uuid4().hex
    every = call.integer("lazward_heartbeat")

    def make(tx: Tx, key: str) -> tuple[runs.Run, Experiment]:
        made = runs.create(
            tx, key, id_, call.text("experiment_id") or names.DEFAULT_EXPERIMENT, name, call.text("user_id") or call.user, started / 1000,
            tags, call.now, bool(every),
        )
        if every and made[0].status == RUNNING:
            run_watch.watch(tx, key, made[0].id, every, call.now)
        return made

    run, experiment = await call.write_small(make)
    full = run_search.Full(run, experiment, [], [], sorted({**dict(tags), names.RUN_NAME: name}.items()), [])
    return {"run": shapes.run(call, full)}


async def get(call: Call) -> Json:
    return {"run": shapes.run(call, await call.read(run_search.one, call.run_id()))}


async def update(call: Call) -> Json:
    status = call.args.get("status")
    ended = call.integer("end_time")
    wanted = None if status in (None, "") else parse_status(status)

    def change(tx: Tx, key: str) -> tuple[runs.Run, Experiment]:
        changed = runs.update(tx, key, call.run_id(), wanted, None if ended is None else ended / 1000, call.text("run_name") or None)
        if wanted in TERMINAL:
            run_watch.ended(tx, key, changed[0].id, call.now)
        return changed

    run, experiment = await call.write_small(change)
    return {"run_info": shapes.run_info(call, run, experiment)}


async def heartbeat(call: Call) -> Json:
    """Ours, not MLflow's: the client says that the processes of these runs live, and that it will say so again in `interval` seconds; or, with 0,
    that it ends in good order and nobody need miss it."""
    ids = [names.check_run_id(id_, "run_ids") for id_ in call.texts("run_ids")]
    if not 1 <= len(ids) <= MAX_HEARTBEATS:
        raise invalid(f"run_ids must hold 1 to {MAX_HEARTBEATS} ids of runs. Got {len(ids)}.", "run_ids")
    every = call.integer("interval", 30)
    if every == 0:
        await call.write(run_watch.farewell, ids, call.now)
        return {"running": []}
    return {"running": await call.write(run_watch.heard, ids, every or 30, call.now)}


async def delete(call: Call) -> Json:
    await call.write_small(runs.delete, call.run_id(), call.now)
    return {}


async def restore(call: Call) -> Json:
    await call.write_small(runs.restore, call.run_id())
    return {}


async def search(call: Call) -> Json:
    condition = parse_filter(call.text("filter"), RUNS)
    orders = parse_orders(call.items("order_by"), RUNS)
    found, token = await call.read(
        run_search.search, call.texts("experiment_ids"), condition, call.stages("run_view_type"), orders, call.limit(1000, MAX_RUNS),
        call.text("page_token") or None, lambda run, experiment: _artifact_uri(call, run, experiment),
    )
    return {"runs": [shapes.run(call, f) for f in found]} | ({"next_page_token": token} if token else {})


def _artifact_uri(call: Call, run: Any, experiment: Any) -> Any:
    """The URI that shapes.artifact_uri() shows, for the database to compare. (Artifacts kept outside are not searched by URI.)"""
    if call.plain:
        return sa.literal("mlflow-artifacts:/") + run + "/artifacts"
    return sa.literal(f"{shapes.azureml_base(call)}/experiments/") + experiment + "/runs/" + run + "/artifacts"


async def log_metric(call: Call) -> Json:
    if isinstance(call.args, names.PlainLogged):
        run_id = names.check_run_id(call.args.run_id or call.args.run_uuid)
        names.check_key(call.args.key)
        await call.write_small(metrics.log_one, run_id, names.plain_metric(call.args))
        return {}
    await call.write_small(metrics.log_one, call.run_id(), names.check_metric(call.args))
    return {}


async def log_param(call: Call) -> Json:
    key, value = names.check_key(call.args.get("key")), names.check_value(call.args.get("value"))
    await call.write_small(runs.log_param, call.run_id(), key, value)
    return {}


async def log_batch(call: Call) -> Json:
    if isinstance(call.args, names.PlainBatch):
        batch = call.args
        names.check_batch(batch.metrics, batch.params, batch.tags)
        pairs = names.pairs(batch.params, "params")
        names.check_unique_params(pairs)
        await _write_batch(call, names.check_run_id(batch.run_id), names.plain_metrics(batch.metrics), pairs, names.pairs(batch.tags, "tags"))
        return {}
    raw, params, tags = call.items("metrics"), call.items("params"), call.items("tags")
    names.check_batch(raw, params, tags)
    checked = names.check_metrics(raw)
    pairs = names.pairs(params, "params")
    names.check_unique_params(pairs)
    await _write_batch(call, call.run_id(), checked, pairs, names.pairs(tags, "tags"))
    return {}


async def _write_batch(call: Call, run_id: str, values: list[names.Metric], params: list[tuple[str, str]], tags: list[tuple[str, str]]) -> None:
    write = call.write_small if len(values) + len(params) + len(tags) <= _SMALL else call.write
    await write(metrics.log_batch, run_id, values, params, tags)


def batch_right(args: Any) -> str:
    """A batch of metrics alone needs no more than writing metrics."""
    more = args.params or args.tags if isinstance(args, names.PlainBatch) else args.get("params") or args.get("tags")
    return "experiments/runs/write" if more else "metrics/resource/write"


async def set_tag(call: Call) -> Json:
    key, value = names.check_key(call.args.get("key")), names.check_value(call.args.get("value"))
    await call.write_small(runs.set_tag, call.run_id(), key, value)
    return {}


async def delete_tag(call: Call) -> Json:
    await call.write_small(runs.delete_tag, call.run_id(), call.required("key"))
    return {}


async def log_inputs(call: Call) -> Json:
    datasets = []
    for index, item in enumerate(call.items("datasets")):
        where = f"datasets[{index}]"
        if not isinstance(item, dict):
            raise invalid(f"Invalid value for parameter '{where}' supplied: it must be an object.", where)
        tags = item.get("tags") or []
        if not isinstance(tags, list):
            raise invalid(f"Invalid value for parameter '{where}.tags' supplied: it must be a list.", where)
        datasets.append((names.check_dataset(item.get("dataset"), f"{where}.dataset"), dict(names.pairs(tags, f"{where}.tags"))))
    if len(datasets) > names.MAX_DATASETS:
        raise invalid(f"At most {names.MAX_DATASETS} datasets can be logged at once. Got {len(datasets)}.", "datasets")
    models = [_model_id(item, f"models[{i}]") for i, item in enumerate(call.items("models"))]
    await call.write(logged_models.log_inputs, call.run_id(), datasets, models)
    return {}


async def log_outputs(call: Call) -> Json:
    models = []
    for index, item in enumerate(call.items("models")):
        where = f"models[{index}]"
        models.append((_model_id(item, where), names.integer(item.get("step") or 0, f"{where}.step")))
    if not models:
        raise invalid("Missing value for required parameter 'models'.", "models")
    await call.write(logged_models.log_outputs, call.run_id(), models)
    return {}


def _model_id(item: Any, where: str) -> str:
    if not isinstance(item, dict) or not isinstance(item.get("model_id"), str) or not item["model_id"]:
        raise invalid(f"Missing value for required parameter '{where}.model_id'.", where)
    return item["model_id"]


async def log_model(call: Call) -> Json:
    """What MLflow 2 calls after it has uploaded a model: the run's tag mlflow.log-model.history grows by one."""
    try:
        model = json.loads(call.required("model_json"))
    except (ValueError, RecursionError):
        raise invalid("Malformed model info: 'model_json' is not valid JSON.", "model_json") from None
    fields = {"artifact_path", "flavors", "utc_time_created", "run_id"}
    if not isinstance(model, dict) or fields - model.keys():
        raise invalid(f"Model json is missing mandatory fields: {sorted(fields - set(model if isinstance(model, dict) else ()))}", "model_json")
    await call.write(_record_model, call.run_id(), model)
    return {}


def _record_model(tx: Tx, key: str, run_id: str, model: dict[str, Any]) -> None:
    run = runs.active(tx, key, run_id)
    try:
        before = json.loads(runs.tag(tx, run, names.MODEL_HISTORY) or "[]")
    except ValueError:
        before = []
    # The tag is for finding the models of a run: what is in the MLmodel file besides stays there.
    kept = {name: model[name] for name in ("run_id", "utc_time_created", "artifact_path", "model_uuid") if name in model}
    flavors = model["flavors"] if isinstance(model["flavors"], dict) else {}
    kept["flavors"] = {name: {k: v for k, v in f.items() if k != "config"} if isinstance(f, dict) else f for name, f in flavors.items()}
    value = names.check_value(json.dumps([*(before if isinstance(before, list) else []), kept]), names.MODEL_HISTORY)
    runs.write_tags(tx, run.seq, [(names.MODEL_HISTORY, value)])


async def history(call: Call) -> Json:
    limit = call.integer("max_results")
    if limit is not None and limit <= 0:
        raise invalid(f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer.", "max_results")
    key = call.required("metric_key")
    found, token = await call.read(metric_history.history, call.run_id(), key, limit, call.text("page_token") or None)
    return {"metrics": [shapes.point(key, p) for p in found]} | ({"next_page_token": token} if token else {})


async def history_bulk(call: Call) -> Json:
    ids = _bulk_ids(call, "run_id")
    limit = min(call.integer("max_results", MAX_HISTORY) or MAX_HISTORY, MAX_HISTORY)
    key = call.required("metric_key")
    found = await call.read(metric_history.history_bulk, ids, key, max(limit, 1))
    return {"metrics": [shapes.point(key, p) | {"run_id": p.run} for p in found]}


async def history_interval(call: Call) -> Json:
    first, last = call.integer("start_step"), call.integer("end_step")
    if (first is None) != (last is None):
        raise invalid("If either start step or end step are specified, both must be specified.", "start_step")
    key = call.required("metric_key")
    found = await call.read(metric_history.sampled, _bulk_ids(call, "run_ids"), key, call.limit(2500, 2500), first, last)
    return {"metrics": [shapes.point(key, p) | {"run_id": p.run} for p in found]}


def _bulk_ids(call: Call, name: str) -> list[str]:
    ids = [names.check_run_id(i, name) for i in call.texts(name)]
    if not ids:
        raise invalid(f"The request must specify at least one {name}.", name)
    if len(ids) > MAX_BULK_RUNS:
        raise invalid(f"The request cannot specify more than {MAX_BULK_RUNS} {name}. Received {len(ids)}.", name)
    return ids
