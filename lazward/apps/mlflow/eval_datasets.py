"""MLflow's datasets/* calls: evaluation datasets and their records."""

from __future__ import annotations

import json

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.contract.mlflow import invalid
from lazward.domain.genai import records
from lazward.domain.genai.grammars import EVAL_DATASET_ORDERS, EVAL_DATASETS
from lazward.domain.tracking.filter import parse_filter, parse_orders
from lazward.storage import eval_datasets, eval_records
from lazward.storage.eval_datasets import Dataset
from lazward.storage.eval_records import Record

MAX_NAME, MAX_EXPERIMENTS = 500, 1000


async def create(call: Call) -> Json:
    name = call.required("name")
    if not name.strip() or len(name) > MAX_NAME:
        raise invalid(f"Invalid value for parameter 'name' supplied: a dataset's name has 1 to {MAX_NAME} characters.", "name")
    tags = records.parse_tags(call.text("tags") or "{}")
    return {"dataset": _dataset(await call.write(eval_datasets.create, name, tags, _experiments(call), call.now))}


async def get(call: Call) -> Json:
    return {"dataset": _dataset(await call.read(eval_datasets.get, call.path["dataset_id"]))}


async def delete(call: Call) -> Json:
    await call.write(eval_datasets.delete, call.path["dataset_id"])
    return {}


async def search(call: Call) -> Json:
    condition = parse_filter(call.text("filter_string"), EVAL_DATASETS)
    orders = parse_orders(call.items("order_by"), EVAL_DATASET_ORDERS)
    found, token = await call.read(
        eval_datasets.search, _experiments(call), condition, orders, call.limit(1000, 50_000), call.text("page_token") or None
    )
    return {"datasets": [_dataset(one) for one in found]} | ({"next_page_token": token} if token else {})


async def set_tags(call: Call) -> Json:
    tags = records.parse_tags(call.required("tags"))
    return {"dataset": _dataset(await call.write(eval_datasets.set_tags, call.path["dataset_id"], tags))}


async def delete_tag(call: Call) -> Json:
    await call.write(eval_datasets.delete_tag, call.path["dataset_id"], call.path["tag_key"])
    return {}


async def experiment_ids(call: Call) -> Json:
    return {"experiment_ids": (await call.read(eval_datasets.get, call.path["dataset_id"])).experiments}


async def add_experiments(call: Call) -> Json:
    return {"dataset": _dataset(await call.write(eval_datasets.add_experiments, call.path["dataset_id"], _experiments(call), call.now))}


async def remove_experiments(call: Call) -> Json:
    return {"dataset": _dataset(await call.write(eval_datasets.remove_experiments, call.path["dataset_id"], _experiments(call), call.now))}


async def upsert_records(call: Call) -> Json:
    given = records.parse_records(call.required("records"))
    added, updated = await call.write(eval_records.upsert, call.path["dataset_id"], given, call.now)
    return {"inserted_count": added, "updated_count": updated}


async def list_records(call: Call) -> Json:
    dataset = call.path["dataset_id"]
    found, token = await call.read(eval_records.page, dataset, call.limit(1000, 50_000), call.text("page_token") or None)
    return {"records": json.dumps([_record(dataset, one) for one in found])} | ({"next_page_token": token} if token else {})


async def delete_records(call: Call) -> Json:
    return {"deleted_count": await call.write(eval_records.delete, call.path["dataset_id"], call.texts("dataset_record_ids"), call.now)}


def _experiments(call: Call) -> list[str]:
    given = call.texts("experiment_ids")
    if len(given) > MAX_EXPERIMENTS:
        raise invalid(f"At most {MAX_EXPERIMENTS} experiments can be named at once; got {len(given)}.", "experiment_ids")
    return given


def _dataset(one: Dataset) -> Json:
    """Tags, schema and profile are JSON texts on the wire."""
    shown = {
        "dataset_id": one.id, "name": one.name, "tags": json.dumps(one.tags), "schema": one.schema, "profile": one.profile, "digest": one.digest,
        "created_time": shapes.milliseconds(one.created), "last_update_time": shapes.milliseconds(one.updated), "created_by": one.created_by,
        "last_updated_by": one.updated_by, "experiment_ids": one.experiments,
    }
    return {k: v for k, v in shown.items() if v is not None}


def _record(dataset: str, one: Record) -> Json:
    doc = one.doc
    shown = {
        "dataset_record_id": one.id, "dataset_id": dataset, "inputs": doc["inputs"], "outputs": doc.get("outputs"), "expectations": doc.get("expectations"),
        "tags": doc["tags"], "source": doc.get("source"), "source_id": doc.get("source_id"), "source_type": (doc.get("source") or {}).get("source_type"),
        "created_time": shapes.milliseconds(one.created), "last_update_time": shapes.milliseconds(one.updated), "created_by": doc.get("created_by"),
        "last_updated_by": doc.get("updated_by"),
    }
    return {k: v for k, v in shown.items() if v is not None}
