"""MLflow's experiments/* calls."""

from __future__ import annotations

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.domain.tracking import names
from lazward.domain.tracking.filter import EXPERIMENTS, parse_filter, parse_orders
from lazward.storage import experiments, logged_models


async def create(call: Call) -> Json:
    name = names.check_experiment_name(call.args.get("name"))
    location = names.check_location(call.text("artifact_location"))
    own = names.check_own_id(call.text("lazward_id"), "experiment")
    made = await call.write(experiments.create, name, call.now, id_=own, location=location, tags=dict(call.pairs("tags")), again=own is not None)
    return {"experiment_id": made.id}


async def get(call: Call) -> Json:
    return {"experiment": shapes.experiment(call, await call.read(experiments.get, call.required("experiment_id")))}


async def get_by_name(call: Call) -> Json:
    return {"experiment": shapes.experiment(call, await call.read(experiments.by_name, call.required("experiment_name")))}


async def search(call: Call) -> Json:
    condition = parse_filter(call.text("filter"), EXPERIMENTS)
    orders = parse_orders(call.items("order_by"), EXPERIMENTS)
    found, token = await call.read(
        experiments.search, call.stages("view_type"), condition, orders, call.limit(1000, 50_000), call.text("page_token") or None
    )
    return {"experiments": [shapes.experiment(call, e) for e in found]} | ({"next_page_token": token} if token else {})


async def update(call: Call) -> Json:
    name = names.check_experiment_name(call.args.get("new_name"), "new_name")
    await call.write(experiments.rename, call.required("experiment_id"), name, call.now)
    return {}


async def delete(call: Call) -> Json:
    await call.write(experiments.delete, call.required("experiment_id"), call.now)
    return {}


async def restore(call: Call) -> Json:
    await call.write(experiments.restore, call.required("experiment_id"), call.now)
    return {}


async def set_tag(call: Call) -> Json:
    key, value = names.check_key(call.args.get("key")), names.check_value(call.args.get("value"))
    await call.write(experiments.set_tag, call.required("experiment_id"), key, value, call.now)
    return {}


async def delete_tag(call: Call) -> Json:
    await call.write(experiments.delete_tag, call.required("experiment_id"), call.required("key"), call.now)
    return {}


async def search_datasets(call: Call) -> Json:
    found = await call.read(logged_models.datasets_of, call.texts("experiment_ids"))
    return {"dataset_summaries": [
        {"experiment_id": experiment, "name": name, "digest": digest} | ({"context": context} if context else {}) for experiment, name, digest, context in found
    ]}
