"""MLflow 3's logged-models/* calls."""

from __future__ import annotations

import uuid
from typing import Any

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names
from lazward.domain.tracking.filter import LOGGED_MODELS, Order, parse_filter, parse_order
from lazward.domain.tracking.status import parse_model_status
from lazward.storage import logged_models


async def create(call: Call) -> Json:
    own = names.check_own_id(call.text("lazward_id"), "model")
    id_ = own or f"m-{uuid.uuid4().hex}"
    name = names.check_model_name(call.text("name") or None) or f"model-{id_[2:10]}"
    run = call.text("source_run_id")
    made = await call.write(
        logged_models.create, id_, call.required("experiment_id"), name, call.text("model_type"), names.check_run_id(run, "source_run_id") if run else "",
        dict(_params(call)), dict(call.pairs("tags")), call.now, own is not None,
    )
    return {"model": shapes.logged_model(call, made)}


def _params(call: Call) -> list[tuple[str, str]]:
    """Keys of a model's params are free: estimators name them."""
    out = []
    for index, item in enumerate(call.items("params")):
        if not isinstance(item, dict) or not isinstance(item.get("key"), str) or not item["key"] or len(item["key"]) > names.MAX_KEY:
            raise invalid(f"Missing or too long value for required parameter 'params[{index}].key'.", f"params[{index}].key")
        out.append((item["key"], names.check_value(item.get("value"), f"params[{index}].value")))
    return out


async def get(call: Call) -> Json:
    return {"model": shapes.logged_model(call, await call.read(logged_models.one, call.path["model_id"], call.flag("allow_deleted")))}


async def finalize(call: Call) -> Json:
    status = parse_model_status(call.args.get("status"))
    return {"model": shapes.logged_model(call, await call.write(logged_models.finalize, call.path["model_id"], status, call.now))}


async def delete(call: Call) -> Json:
    await call.write(logged_models.delete, call.path["model_id"], call.now)
    return {}


async def log_params(call: Call) -> Json:
    await call.write(logged_models.log_params, call.path["model_id"], _params(call), call.now)
    return {}


async def set_tags(call: Call) -> Json:
    full = await call.write(logged_models.set_tags, call.path["model_id"], call.pairs("tags"), call.now)
    return {"model": shapes.logged_model(call, full)}


async def delete_tag(call: Call) -> Json:
    await call.write(logged_models.delete_tag, call.path["model_id"], call.path["tag_key"], call.now)
    return {}


async def search(call: Call) -> Json:
    condition = parse_filter(call.text("filter"), LOGGED_MODELS)
    datasets = [_named(item, f"datasets[{i}]") for i, item in enumerate(call.items("datasets"))]
    orders = [_order(item, i) for i, item in enumerate(call.items("order_by"))]
    found, token = await call.read(
        logged_models.search, call.texts("experiment_ids"), condition, datasets, orders, call.limit(100, 1000), call.text("page_token") or None
    )
    return {"models": [shapes.logged_model(call, m) for m in found]} | ({"next_page_token": token} if token else {})


def _named(item: Any, where: str) -> tuple[str, str]:
    if not isinstance(item, dict) or not item.get("dataset_name"):
        raise invalid("`dataset_name` in the `datasets` clause must be specified.", where)
    return names.check_value(item["dataset_name"], where), names.check_value(item.get("dataset_digest"), where)


def _order(item: Any, index: int) -> tuple[Order, str, str]:
    where = f"order_by[{index}]"
    if not isinstance(item, dict):
        raise invalid(f"Invalid value for parameter '{where}' supplied: it must be an object.", where)
    parsed = parse_order(item.get("field_name"), LOGGED_MODELS)
    order = Order(parsed.kind, parsed.key, item.get("ascending") is not False)
    return order, names.check_value(item.get("dataset_name"), where), names.check_value(item.get("dataset_digest"), where)
