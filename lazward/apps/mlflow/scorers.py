"""MLflow's scorers/* calls."""

from __future__ import annotations

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.contract.mlflow import MlflowError, invalid
from lazward.domain.genai import scorers as rules
from lazward.storage import scorers
from lazward.storage.scorers import Config, Scorer


async def register(call: Call) -> Json:
    experiment, name = call.required("experiment_id"), rules.check_name(call.required("name"))
    body = rules.check_serialized(call.required("serialized_scorer"))
    made = await call.write(scorers.register, experiment, name, body, call.now)
    return {
        "version": made.version, "scorer_id": made.id, "experiment_id": made.experiment, "name": made.name, "serialized_scorer": made.body,
        "creation_time": shapes.milliseconds(made.created),
    }


async def every(call: Call) -> Json:
    one, several = call.text("experiment_id"), call.args.get("experiment_ids")
    if one and several is not None:
        raise invalid("Cannot specify both 'experiment_id' and 'experiment_ids'.", "experiment_ids")
    if one:
        found = await call.read(scorers.of_experiment, one)
    else:
        found = await call.read(scorers.newest, None if several is None else list(dict.fromkeys(call.texts("experiment_ids"))))
    return {"scorers": [_shown(scorer) for scorer in found]}


async def versions(call: Call) -> Json:
    found = await call.read(scorers.versions, call.required("experiment_id"), call.required("name"))
    return {"scorers": [_shown(scorer) for scorer in found]}


async def get(call: Call) -> Json:
    return {"scorer": _shown(await call.read(scorers.get, call.required("experiment_id"), call.required("name"), call.integer("version")))}


async def delete(call: Call) -> Json:
    await call.write(scorers.delete, call.required("experiment_id"), call.required("name"), call.integer("version"))
    return {}


async def configs(call: Call) -> Json:
    ids = call.texts("scorer_ids")
    if not ids:
        raise invalid("Missing value for required parameter 'scorer_ids'.", "scorer_ids")
    return {"configs": [_config(one) for one in await call.read(scorers.configs, ids)]}


async def set_config(call: Call) -> Json:
    """A rate of 0 is stored; more would have the server score traces by itself, which it does not."""
    rate, filter_string = rules.check_sample_rate(call.args.get("sample_rate")), call.text("filter_string") or None
    found = await call.read(scorers.get, call.required("experiment_id"), call.required("name"), None)
    if rate > 0:
        rules.check_may_sample(found.name, found.body)
        raise MlflowError(
            "NOT_IMPLEMENTED", "Traces are not scored by the server as they come: it runs no scorers. Score them with mlflow.genai.evaluate; a sample_rate of 0 is stored.",
        )
    return {"config": _config(await call.write(scorers.set_config, found.id, rate, filter_string))}


def _shown(one: Scorer) -> Json:
    # The protobuf has room for a 32-bit integer only; clients show it, and ask by the id that they know themselves.
    return {
        "experiment_id": 0 if one.experiment == "0" else one.number, "scorer_name": one.name, "scorer_version": one.version, "serialized_scorer": one.body,
        "creation_time": shapes.milliseconds(one.created), "scorer_id": one.id,
    }


def _config(one: Config) -> Json:
    shown = {"online_scoring_config_id": one.id, "scorer_id": one.scorer, "sample_rate": one.sample_rate, "experiment_id": one.experiment}
    return shown | ({"filter_string": one.filter} if one.filter is not None else {})
