"""MLflow's review-queues/* calls. Who owns a queue, and who ended a review, is who the token says."""

from __future__ import annotations

from typing import Any

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.domain.genai import review_queues as rules
from lazward.domain.genai.enums import read_enum
from lazward.storage import review_items, review_queues
from lazward.storage.review_items import Item
from lazward.storage.review_queues import Queue


async def create(call: Call) -> Json:
    experiment, name = call.required("experiment_id"), call.required("name")
    type_ = read_enum(call.args.get("queue_type"), "queue_type", rules.TYPES)
    draft = rules.draft(type_, name, call.texts("users"), call.texts("schema_ids"))
    return {"review_queue": _shown(await call.write(review_queues.create, experiment, type_, draft, call.user, call.now))}


async def of_user(call: Call) -> Json:
    experiment, user = call.required("experiment_id"), call.required("user")
    return {"review_queue": _shown(await call.write(review_queues.of_user, experiment, rules.draft("USER", user, [], []), call.now))}


async def get(call: Call) -> Json:
    return {"review_queue": _shown(await call.read(review_queues.get, call.required("queue_id")))}


async def get_by_name(call: Call) -> Json:
    return {"review_queue": _shown(await call.read(review_queues.by_name, call.required("experiment_id"), call.required("name")))}


async def page(call: Call) -> Json:
    user = rules.user_key(call.text("user")) if call.text("user") else ""
    found, token = await call.read(
        review_queues.page, call.required("experiment_id"), user, call.text("item_id"), call.limit(1000, 50_000), call.text("page_token") or None
    )
    return {"review_queues": [_shown(one) for one in found], "next_page_token": token or ""}


async def update(call: Call) -> Json:
    changes: dict[str, Any] = {}
    if call.args.get("name") is not None:
        changes["name"] = rules.custom_name(call.text("name"))
    if call.args.get("new_owner") is not None:
        changes["owner"] = rules.owner_of(call.text("new_owner"))
    if call.flag("update_users"):
        changes["users"] = rules.users_of(call.texts("users"))
    if call.flag("update_schema_ids"):
        changes["schemas"] = rules.schemas_of(call.texts("schema_ids"))
    return {"review_queue": _shown(await call.write(review_queues.update, call.required("queue_id"), call.now, **changes))}


async def delete(call: Call) -> Json:
    await call.write(review_queues.delete, call.required("queue_id"))
    return {}


async def add_items(call: Call) -> Json:
    queue, ids = call.required("queue_id"), rules.items_of(call.texts("item_ids"))
    if call.args.get("item_type") not in (None, 0, "REVIEW_ITEM_TYPE_UNSPECIFIED"):
        read_enum(call.args["item_type"], "item_type", rules.ITEMS)
    return {"items": [_item(queue, one) for one in await call.write(review_items.add, queue, ids, call.now)]}


async def remove_items(call: Call) -> Json:
    await call.write(review_items.remove, call.required("queue_id"), rules.items_of(call.texts("item_ids")))
    return {}


async def list_items(call: Call) -> Json:
    queue, given = call.required("queue_id"), call.args.get("status")
    status = "" if given in (None, "", 0, "0", "REVIEW_STATUS_UNSPECIFIED") else read_enum(given, "status", rules.STATUSES)
    found, token = await call.read(review_items.page, queue, status, call.limit(1000, 50_000), call.text("page_token") or None)
    return {"items": [_item(queue, one) for one in found], "next_page_token": token or ""}


async def set_status(call: Call) -> Json:
    queue, id_ = call.required("queue_id"), rules.item_of(call.required("item_id"))
    status = read_enum(call.args.get("status"), "status", rules.STATUSES)
    return {"item": _item(queue, await call.write(review_items.set_status, queue, id_, status, rules.user_key(call.user)[: rules.MAX_USER], call.now))}


def _shown(one: Queue) -> Json:
    shown = {
        "queue_id": one.id, "experiment_id": one.experiment, "name": one.name, "queue_type": one.type, "created_by": one.owner,
        "creation_time_ms": shapes.milliseconds(one.created), "last_update_time_ms": shapes.milliseconds(one.updated), "users": one.users, "schema_ids": one.schemas,
    }
    return {k: v for k, v in shown.items() if v is not None}


def _item(queue: str, one: Item) -> Json:
    shown = {
        "queue_id": queue, "item_type": "TRACE", "item_id": one.id, "status": one.status, "completed_by": one.completed_by,
        "completed_time_ms": None if one.completed is None else shapes.milliseconds(one.completed), "creation_time_ms": shapes.milliseconds(one.created),
        "last_update_time_ms": shapes.milliseconds(one.updated),
    }
    return {k: v for k, v in shown.items() if v is not None}
