"""MLflow's model registry calls, over the workspace's models: a registered model is `workspaces/models/NAME` in ARM and in MLflow alike.

What ARM has no member for lies in the documents' `properties` under mlflow.* names: the source as the client wrote it, the run, the
logged model, aliases.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.memory_search import only_name, page
from lazward.apps.mlflow.model_sources import Origin, artifact_source
from lazward.apps.mlflow.models_port import ModelRegistryPort, ModelVersion, RegisteredModel
from lazward.apps.mlflow.shapes import Json
from lazward.contract.ids import check_name
from lazward.contract.mlflow import MlflowError, invalid, missing
from lazward.domain.genai import prompts
from lazward.domain.tracking import names
from lazward.domain.tracking.filter import MODEL_VERSIONS, REGISTERED_MODELS, Node, parse_filter, parse_orders
from lazward.domain.tracking.registered import ALIAS, LOGGED_MODEL, RUN, RUN_LINK, SOURCE, USER, aliases_of
from lazward.storage import logged_models, runs

STAGES = {stage.lower(): stage for stage in ("None", "Staging", "Production", "Archived")}
_ALIAS = re.compile(r"[\w\-]{1,255}")
_VERSION_ALIAS = re.compile(r"[vV]\d+")


def _port(call: Call) -> ModelRegistryPort:
    return call.ctx.services.models


def _name(call: Call, argument: str = "name") -> str:
    name = call.required(argument)
    if not name.strip() or any(c in name for c in "/:"):
        raise invalid(f"Invalid model name '{name[:200]}'. Names cannot contain '/' or ':'.", argument)
    return check_name(name, argument)


def _no_model(name: str) -> MlflowError:
    return missing(f"Registered Model with name={name} not found")


def _no_version(name: str, version: str) -> MlflowError:
    return missing(f"Model Version (name={name}, version={version}) not found")


# ---- registered models ----------------------------------------------------------------------------------------------------


async def create_model(call: Call) -> Json:
    name = _name(call)
    made = await _port(call).create_model(call.key, name, call.text("description"), dict(call.pairs("tags")), call.ctx.caller)
    if made is None:
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"Registered Model (name={name}) already exists.", "name")
    return {"registered_model": _model(call, made, [])}


async def get_model(call: Call) -> Json:
    return {"registered_model": await _shown(call, _name(call))}


async def update_model(call: Call) -> Json:
    description = call.text("description")

    def change(model: RegisteredModel) -> None:
        model.description = description

    await _change(call, change)
    return {"registered_model": await _shown(call, _name(call))}


async def delete_model(call: Call) -> Json:
    if not await _port(call).delete_model(call.key, _name(call)):
        raise _no_model(_name(call))
    return {}


async def rename_model(call: Call) -> Json:
    name, new_name = _name(call), _name(call, "new_name")
    if await _port(call).rename_model(call.key, name, new_name, call.ctx.caller) is None:
        raise _no_model(name)
    return {"registered_model": await _shown(call, new_name)}


async def search_models(call: Call) -> Json:
    condition = parse_filter(call.text("filter"), REGISTERED_MODELS)
    orders = parse_orders(call.items("order_by"), REGISTERED_MODELS)
    facts = [
        ({"name": m.name, "timestamp": m.created * 1000, "last_updated_timestamp": m.updated * 1000}, {prompts.IS_PROMPT: "false", **m.tags}, m)
        for m in await _named(call, condition) if not _hidden(call, m)
    ]
    found, token = page(facts, condition, orders, [("name", True)], call.limit(100, 1000), call.text("page_token") or None)
    versions: dict[str, list[ModelVersion]] = {m.name: [] for m in found}
    for version in await _port(call).versions(call.key, *versions):
        versions.setdefault(version.name, []).append(version)
    return {"registered_models": [_model(call, m, versions[m.name]) for m in found]} | ({"next_page_token": token} if token else {})


async def latest_versions(call: Call) -> Json:
    name, stages = _name(call), [_stage(s) for s in call.texts("stages")]
    if await _port(call).model(call.key, name) is None:
        raise _no_model(name)
    latest = _latest(await _port(call).versions(call.key, name))
    aliases = await _aliases(call, name)
    return {"model_versions": [_version(call, v, aliases) for v in latest if not stages or (v.stage or "None") in stages]}


async def set_model_tag(call: Call) -> Json:
    key, value = names.check_key(call.args.get("key")), names.check_value(call.args.get("value"))

    def change(model: RegisteredModel) -> None:
        prompts.check_stays(model.tags, key, value)
        model.tags[key] = value

    await _change(call, change)
    return {}


async def delete_model_tag(call: Call) -> Json:
    key = call.required("key")

    def change(model: RegisteredModel) -> None:
        prompts.check_stays(model.tags, key, None)
        model.tags.pop(key, None)

    await _change(call, change)
    return {}


async def set_alias(call: Call) -> Json:
    alias, version = _alias(call), call.required("version")
    if await _port(call).version(call.key, _name(call), version) is None:
        raise _no_version(_name(call), version)
    await _change(call, lambda model: model.properties.update({ALIAS + alias: version}))
    return {}


async def delete_alias(call: Call) -> Json:
    alias = call.required("alias")
    await _change(call, lambda model: model.properties.pop(ALIAS + alias, None) and None)
    return {}


async def get_by_alias(call: Call) -> Json:
    name, alias = _name(call), call.required("alias")
    model = await _port(call).model(call.key, name)
    if model is None:
        raise _no_model(name)
    if alias.lower() == "latest":
        found = max(await _port(call).versions(call.key, name), key=_number, default=None)
        if found is None:
            raise missing(f"Latest version not found for model {name}.")
    else:
        version = model.properties.get(ALIAS + alias, "")
        found = await _port(call).version(call.key, name, version) if version else None
    if found is None:
        raise MlflowError("INVALID_PARAMETER_VALUE", f"Registered model alias {alias[:255]} not found.", "alias")
    return {"model_version": _version(call, found, aliases_of(model.properties))}


# ---- versions -------------------------------------------------------------------------------------------------------------


async def create_version(call: Call) -> Json:
    name, source, tags = _name(call), call.required("source"), dict(call.pairs("tags"))
    if prompts.is_prompt(tags):
        prompts.check_source(source)
        origin = Origin("")
    else:
        origin = await artifact_source(call, source)
    run, model_id = call.text("run_id") or origin.run, call.text("model_id") or origin.model
    if run:  # one of another workspace is as good as none
        await call.read(runs.get, run)
    if run != origin.run and source.startswith("runs:"):
        raise invalid(f"Invalid model version source: '{source[:300]}'. The run_id request parameter must identify the resource that contains the source.", "run_id")
    if model_id:
        run = run or (await call.read(logged_models.get, model_id)).run
    model = await _port(call).model(call.key, name)
    if model is None:
        raise _no_model(name)
    if prompts.is_prompt(model.tags) != prompts.is_prompt(tags):
        raise invalid(f"'{name}' is registered as a {'prompt' if prompts.is_prompt(model.tags) else 'model'}; its versions are of that kind, too.", "tags")
    kept = {SOURCE: source, RUN: run, RUN_LINK: call.text("run_link"), LOGGED_MODEL: model_id, USER: call.user}
    draft = ModelVersion(
        name, "", origin.uri, "mlflow_model", call.text("description"), tags, {k: v for k, v in kept.items() if v}, "", call.now, call.now, job_name=run,
    )
    made = await _port(call).create_version(call.key, draft, call.ctx.caller)
    if made is None:
        raise _no_model(name)
    if model_id:
        await call.write(logged_models.registered, model_id, made.name, made.version, call.now)
    return {"model_version": _version(call, made, {})}


async def get_version(call: Call) -> Json:
    return {"model_version": await _shown_version(call)}


async def update_version(call: Call) -> Json:
    description = call.text("description")

    def change(version: ModelVersion) -> None:
        version.description = description

    await _change_version(call, change)
    return {"model_version": await _shown_version(call)}


async def delete_version(call: Call) -> Json:
    name, version = _name(call), call.required("version")
    if not await _port(call).delete_version(call.key, name, version):
        raise _no_version(name, version)
    stale = [ALIAS + alias for alias, of in (await _aliases(call, name)).items() if of == version]
    if stale:
        await _change(call, lambda model: [model.properties.pop(alias, None) for alias in stale] and None)
    return {}


async def search_versions(call: Call) -> Json:
    condition = parse_filter(call.text("filter"), MODEL_VERSIONS)
    orders = parse_orders(call.items("order_by"), MODEL_VERSIONS)
    models = {m.name: aliases_of(m.properties) for m in await _named(call, condition) if not _hidden(call, m)}
    facts = [(_facts(v), {prompts.IS_PROMPT: "false", **v.tags}, v) for v in await _port(call).versions(call.key, *models)]
    ties = [("last_updated_timestamp", False), ("name", True), ("version_number", False)]
    found, token = page(facts, condition, orders, ties, call.limit(10_000, 200_000), call.text("page_token") or None)
    return {"model_versions": [_version(call, v, models[v.name]) for v in found]} | ({"next_page_token": token} if token else {})


async def download_uri(call: Call) -> Json:
    name, version = _name(call), call.required("version")
    if await _port(call).version(call.key, name, version) is None:
        raise _no_version(name, version)
    if call.plain:
        return {"artifact_uri": f"mlflow-artifacts:/{name}:{version}/artifacts"}
    return {"artifact_uri": f"{shapes.azureml_base(call)}/experiments/models/runs/{name}:{version}/artifacts"}


async def set_version_tag(call: Call) -> Json:
    key, value = names.check_key(call.args.get("key")), names.check_value(call.args.get("value"))
    await _change_version(call, lambda version: version.tags.update({key: value}))
    return {}


async def delete_version_tag(call: Call) -> Json:
    key = call.required("key")
    await _change_version(call, lambda version: version.tags.pop(key, None) and None)
    return {}


async def transition_stage(call: Call) -> Json:
    name, version, stage = _name(call), call.required("version"), _stage(call.required("stage"))
    archive = call.flag("archive_existing_versions")
    if archive and stage not in ("Staging", "Production"):
        raise invalid(f"Model version transition cannot archive existing model versions because '{stage}' is not an Active stage.", "archive_existing_versions")

    def to(stage: str) -> Callable[[ModelVersion], None]:
        def change(found: ModelVersion) -> None:
            found.stage = stage

        return change

    await _change_version(call, to(stage))
    if archive:
        for other in await _port(call).versions(call.key, name):
            if other.version != version and other.stage == stage:
                await _port(call).update_version(call.key, name, other.version, to("Archived"), call.ctx.caller)
    return {"model_version": await _shown_version(call)}


# ---- what is shown --------------------------------------------------------------------------------------------------------


def _model(call: Call, m: RegisteredModel, versions: list[ModelVersion]) -> Json:
    aliases = aliases_of(m.properties)
    return {
        "name": m.name, "creation_timestamp": shapes.milliseconds(m.created), "last_updated_timestamp": shapes.milliseconds(m.updated),
        "description": m.description, "latest_versions": [_version(call, v, aliases) for v in _latest(versions)], "tags": shapes.pairs(m.tags.items()),
        "aliases": [{"alias": alias, "version": version} for alias, version in sorted(aliases.items())],
    }


def _version(call: Call, v: ModelVersion, aliases: dict[str, str]) -> Json:
    shown = {
        "name": v.name, "version": v.version, "creation_timestamp": shapes.milliseconds(v.created), "last_updated_timestamp": shapes.milliseconds(v.updated),
        "user_id": v.properties.get(USER, ""), "current_stage": v.stage or "None", "description": v.description, "source": v.properties.get(SOURCE) or v.uri,
        "run_id": v.properties.get(RUN) or v.job_name, "status": "READY", "run_link": v.properties.get(RUN_LINK, ""), "tags": shapes.pairs(v.tags.items()),
        "aliases": sorted(alias for alias, of in aliases.items() if of == v.version),
    }
    return shown | ({"model_id": v.properties[LOGGED_MODEL]} if v.properties.get(LOGGED_MODEL) else {})


async def _named(call: Call, condition: Node | None) -> list[RegisteredModel]:
    """All that a search may find: of one name where it asks for that alone."""
    name = only_name(condition)
    if name is None:
        return await _port(call).models(call.key)
    found = await _port(call).model(call.key, name)
    return [found] if found and found.name == name else []


def _hidden(call: Call, m: RegisteredModel) -> bool:
    """MLflow keeps prompts among models, and shows them only when asked."""
    return prompts.is_prompt(m.tags) and prompts.IS_PROMPT not in call.text("filter")


def _facts(v: ModelVersion) -> Json:
    return {
        "name": v.name, "version_number": _number(v), "run_id": v.properties.get(RUN) or v.job_name or None, "source_path": v.properties.get(SOURCE) or v.uri,
        "creation_timestamp": v.created * 1000, "last_updated_timestamp": v.updated * 1000, "current_stage": v.stage or "None",
    }


def _latest(versions: list[ModelVersion]) -> list[ModelVersion]:
    """The newest of each stage."""
    best: dict[str, ModelVersion] = {}
    for v in versions:
        stage = v.stage or "None"
        if stage not in best or _number(v) > _number(best[stage]):
            best[stage] = v
    return list(best.values())


def _number(v: ModelVersion) -> int:
    """Versions made through ARM may be any text; those count as older than every number."""
    return int(v.version) if v.version.isdecimal() and len(v.version) < 18 else -1


async def _aliases(call: Call, name: str) -> dict[str, str]:
    model = await _port(call).model(call.key, name)
    return aliases_of(model.properties) if model else {}


async def _shown(call: Call, name: str) -> Json:
    model = await _port(call).model(call.key, name)
    if model is None:
        raise _no_model(name)
    return _model(call, model, await _port(call).versions(call.key, name))


async def _shown_version(call: Call) -> Json:
    name, version = _name(call), call.required("version")
    found = await _port(call).version(call.key, name, version)
    if found is None:
        raise _no_version(name, version)
    return _version(call, found, await _aliases(call, name))


async def _change(call: Call, change: Callable[[RegisteredModel], Any]) -> None:
    if await _port(call).update_model(call.key, _name(call), change, call.ctx.caller) is None:
        raise _no_model(_name(call))


async def _change_version(call: Call, change: Callable[[ModelVersion], Any]) -> None:
    name, version = _name(call), call.required("version")
    if await _port(call).update_version(call.key, name, version, change, call.ctx.caller) is None:
        raise _no_version(name, version)


def _stage(text: str) -> str:
    if text.lower() not in STAGES:
        raise invalid(f"Invalid Model Version stage: {text[:60]}. Value must be one of {', '.join(STAGES.values())}.", "stage")
    return STAGES[text.lower()]


def _alias(call: Call) -> str:
    alias = call.required("alias")
    if not _ALIAS.fullmatch(alias):
        raise invalid(f"Invalid alias name: '{alias[:255]}'. Names may only contain alphanumerics, underscores (_), and dashes (-).", "alias")
    if alias.lower() == "latest" or _VERSION_ALIAS.fullmatch(alias):
        raise invalid(f"'{alias}' alias name is reserved.", "alias")
    return alias
