"""MLflow's label-schemas/* calls."""

from __future__ import annotations

from typing import Any

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.domain.genai import label_schemas as rules
from lazward.domain.genai.enums import read_enum
from lazward.storage import label_schemas
from lazward.storage.label_schemas import NoDefault, Schema


async def create(call: Call) -> Json:
    experiment, name = call.required("experiment_id"), rules.check_name(call.required("name"))
    type_, input_ = read_enum(call.args.get("type"), "type", rules.TYPES), rules.check_input(call.args.get("input"))
    instruction = None if call.args.get("instruction") is None else rules.check_instruction(call.text("instruction"))
    made = await call.write(label_schemas.create, experiment, name, type_, input_, instruction, call.flag("enable_comment"), call.user, call.now)
    return {"label_schema": _shown(made)}


async def get(call: Call) -> Json:
    return {"label_schema": _shown(await call.read(label_schemas.get, call.required("schema_id")))}


async def get_by_name(call: Call) -> Json:
    return {"label_schema": _shown(await call.read(label_schemas.by_name, call.required("experiment_id"), call.required("name")))}


async def page(call: Call) -> Json:
    asked = (call.required("experiment_id"), call.limit(100, 50_000), call.text("page_token") or None)
    try:
        found, token = await call.read(label_schemas.page, *asked)
    except NoDefault:
        await call.write(label_schemas.ensure_default, asked[0], call.now)
        found, token = await call.read(label_schemas.page, *asked)
    return {"label_schemas": [_shown(one) for one in found], "next_page_token": token or ""}


async def update(call: Call) -> Json:
    changes: dict[str, Any] = {}
    if call.args.get("name") is not None:
        changes["name"] = rules.check_name(call.text("name"))
    if call.args.get("instruction") is not None:
        changes["instruction"] = rules.check_instruction(call.text("instruction"))
    if call.args.get("enable_comment") is not None:
        changes["comments"] = call.flag("enable_comment")
    if call.args.get("input") is not None:
        changes["input"] = rules.check_input(call.args["input"])
    return {"label_schema": _shown(await call.write(label_schemas.update, call.required("schema_id"), changes, call.now))}


async def delete(call: Call) -> Json:
    await call.write(label_schemas.delete, call.required("schema_id"))
    return {}


def _shown(one: Schema) -> Json:
    shown = {
        "schema_id": one.id, "experiment_id": one.experiment, "name": one.name, "type": one.type, "instruction": one.instruction, "enable_comment": one.comments,
        "input": one.input, "created_by": one.created_by, "created_at": shapes.milliseconds(one.created), "last_updated_at": shapes.milliseconds(one.updated),
        "is_default": one.is_default,
    }
    return {k: v for k, v in shown.items() if v is not None}
