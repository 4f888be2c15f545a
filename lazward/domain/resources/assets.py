"""Versioned assets: codes, environments, data, models, components; in workspaces and, the same, in registries."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lazward.contract.errors import bad_request
from lazward.contract.ids import ResourceId
from lazward.domain.resource import BeforeWrite, Doc, ResourceType, WriteContext, resource

_HASH = re.compile(r"[0-9A-Za-z+/=_-]{1,128}")
Strings = dict[str, Any]


class Container(msgspec.Struct, rename="camel"):
    description: str | None = None
    tags: Strings | None = None
    properties: Strings | None = None
    is_archived: bool | None = None


class Code(msgspec.Struct, rename="camel"):
    code_uri: str | None = None
    is_anonymous: bool | None = None
    is_archived: bool | None = None
    description: str | None = None
    tags: Strings | None = None
    properties: Strings | None = None


class Build(msgspec.Struct, rename="camel"):
    context_uri: str
    dockerfile_path: str | None = None


class Environment(msgspec.Struct, rename="camel"):
    image: str | None = None
    conda_file: str | None = None
    build: Build | None = None
    os_type: str | None = None
    inference_config: dict[str, Any] | None = None
    is_anonymous: bool | None = None
    is_archived: bool | None = None
    description: str | None = None
    tags: Strings | None = None
    properties: Strings | None = None


class Data(msgspec.Struct, rename="camel"):
    data_uri: str
    data_type: str = "uri_folder"
    referenced_uris: list[str] | None = None
    is_anonymous: bool | None = None
    is_archived: bool | None = None
    description: str | None = None
    tags: Strings | None = None
    properties: Strings | None = None


class Model(msgspec.Struct, rename="camel"):
    model_uri: str
    model_type: str | None = None
    flavors: dict[str, Any] | None = None
    job_name: str | None = None
    stage: str | None = None
    is_anonymous: bool | None = None
    is_archived: bool | None = None
    description: str | None = None
    tags: Strings | None = None
    properties: Strings | None = None


class Component(msgspec.Struct, rename="camel"):
    component_spec: dict[str, Any]
    is_anonymous: bool | None = None
    is_archived: bool | None = None
    description: str | None = None
    tags: Strings | None = None
    properties: Strings | None = None


def asset_id(rid: ResourceId) -> str:
    """Registry assets are named azureml://registries/{reg}/{type}/{name}[/versions/{v}]: the SDK refuses an ARM id there."""
    if rid.segments[0][0] != "registries":
        return str(rid)
    return "azureml://registries/" + rid.segments[0][1] + "".join(f"/{kind}/{name}" for kind, name in rid.segments[1:])


def _fill_common(new: Doc) -> None:
    properties = new["properties"]
    for name, value in (("tags", {}), ("properties", {}), ("isAnonymous", False), ("isArchived", False), ("description", None)):
        if properties.get(name) is None:
            properties[name] = value


def fill_container(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    _fill_common(new)
    for name in ("latestVersion", "nextVersion"):
        new["properties"][name] = (old or {"properties": {}})["properties"].get(name) or ("1" if name == "nextVersion" else None)
    new["properties"].pop("isAnonymous", None)


def fill_code(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    _fill_common(new)
    if not new["properties"].get("codeUri"):
        raise bad_request("The member 'codeUri' is required.", "properties.codeUri")


def fill_environment(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    _fill_common(new)
    properties = new["properties"]
    if not any(properties.get(name) for name in ("image", "build", "condaFile")):
        raise bad_request("An environment needs an image, a build context or a conda file.", "properties.image")
    if properties.get("image") and properties.get("build"):
        raise bad_request("An environment has an image or a build context, not both.", "properties.build")
    properties.setdefault("osType", "Linux")
    if properties.get("build"):
        properties["build"]["dockerfilePath"] = properties["build"].get("dockerfilePath") or "Dockerfile"
    properties.pop("lazwardCurated", None)  # the server's own mark
    if old and old["properties"].get("lazwardCurated"):
        properties["lazwardCurated"] = old["properties"]["lazwardCurated"]
    properties["environmentType"] = "Curated" if properties.get("lazwardCurated") else "UserCreated"


def fill_data(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    _fill_common(new)
    kind = new["properties"]["dataType"] = new["properties"].get("dataType") or "uri_folder"
    if kind not in ("uri_file", "uri_folder", "mltable"):
        raise bad_request(f"dataType is one of uri_file, uri_folder, mltable, not '{str(kind)[:40]}'.", "properties.dataType")


def fill_model(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    _fill_common(new)
    properties = new["properties"]
    properties["modelType"] = properties.get("modelType") or "custom_model"
    if properties["modelType"] not in ("custom_model", "mlflow_model", "triton_model"):
        raise bad_request(f"modelType is one of custom_model, mlflow_model, triton_model, not '{str(properties['modelType'])[:40]}'.", "properties.modelType")
    if properties.get("flavors") is None:
        properties["flavors"] = {}  # the SDK reads members of it without asking


def fill_component(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    _fill_common(new)
    spec = new["properties"]["componentSpec"]
    if not spec.get("type") or not isinstance(spec["type"], str):
        raise bad_request("componentSpec needs a type (command, pipeline, sweep, parallel, ...).", "properties.componentSpec.type")
    spec["name"], spec["version"] = ctx.rid.parent.name, ctx.rid.name  # the SDK reads both from here


def hash_of(doc: Doc) -> str | None:
    found = (doc["properties"].get("properties") or {}).get("hash_sha256")
    return found if isinstance(found, str) and _HASH.fullmatch(found) else None


def of_version(doc: Doc, value: str) -> bool:
    return doc["name"].lower() == value.lower()


def of_description(doc: Doc, value: str) -> bool:
    return value.lower() in str(doc["properties"].get("description") or "").lower()


def of_stage(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("stage") or "").lower() == value.lower()


def versioned_asset(
    name: str, properties: type[msgspec.Struct], fill: BeforeWrite, immutable: tuple[str, ...], **facts: Any
) -> tuple[ResourceType, ResourceType]:
    """Container and version of an asset kind, under workspaces and under registries. Returns those of workspaces."""
    made: list[ResourceType] = []
    for above in ("workspaces", "registries"):
        rights = "registries/assets" if above == "registries" else ""  # Azure has one name for all kinds of a registry's assets
        made.append(resource(
            f"{above}/{name}", Container, archivable=True, before_write=fill_container, id_of=asset_id, rights=rights,
        ))
        made.append(resource(
            f"{above}/{name}/versions", properties, versions=True, archivable=True, newest_first=True, before_write=fill,
            immutable=frozenset(immutable), id_of=asset_id, rights=rights, **facts,
        ))
    return made[0], made[1]


CODES = versioned_asset("codes", Code, fill_code, ("codeUri",), lookup=hash_of, actions=frozenset({"startPendingUpload"}))
ENVIRONMENTS = versioned_asset("environments", Environment, fill_environment, ("image", "condaFile", "build"))
DATA = versioned_asset("data", Data, fill_data, ("dataUri", "dataType"), actions=frozenset({"startPendingUpload"}))
MODELS = versioned_asset(
    "models", Model, fill_model, ("modelUri", "modelType"), actions=frozenset({"startPendingUpload"}),
    matches={"version": of_version, "description": of_description, "stage": of_stage},
)
COMPONENTS = versioned_asset("components", Component, fill_component, ("componentSpec",))
