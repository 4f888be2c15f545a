"""MLflow's model registry over ARM's documents: workspaces/models, and prompts, which are no models to ARM.

Writes go through the engine's store, so a model registered by MLflow is checked and stamped as one PUT by the SDK."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lazward.apps.arm import engine
from lazward.apps.arm.engine import Facts, Target
from lazward.apps.mlflow.models_port import ModelVersion, RegisteredModel
from lazward.contract.caller import SYSTEM, Caller
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, ResourceId, check_name, parse
from lazward.contract.mlflow import MlflowError
from lazward.domain.genai.prompts import PROMPT_VERSIONS, PROMPTS, is_prompt
from lazward.domain.resource import Doc
from lazward.domain.settings import Settings
from lazward.orchestration import usage
from lazward.orchestration.data import locate
from lazward.storage import access, resources
from lazward.storage.db import Database, Tx
from lazward.storage.resources import Row

FAMILIES = ("models", "prompts")  # names are unique across both
_UNREGISTERED = {declared.key: declared for declared in (PROMPTS, PROMPT_VERSIONS)}


class StoredModels:
    """Implements ModelRegistryPort over the resource table."""

    def __init__(self, db: Database, settings: Settings):
        self.db = db
        self.settings = settings

    def _facts(self, caller: Caller) -> Facts:
        return Facts(caller, time.time(), self.settings.base_url, self.settings.gateway_url, self.settings.location)

    async def models(self, workspace: str) -> list[RegisteredModel]:
        def find(tx: Tx) -> list[RegisteredModel]:
            return [_model(row) for family in FAMILIES for row in resources.every(tx, f"{ML}/workspaces/{family}", parent=workspace, archived=False)]

        return await self.db.read(find)

    async def model(self, workspace: str, name: str) -> RegisteredModel | None:
        row = await self.db.read(_container, workspace, name)
        return _model(row) if row else None

    async def create_model(self, workspace: str, name: str, description: str, tags: dict[str, str], caller: Caller) -> RegisteredModel | None:
        family, member = ("prompts", "labels") if is_prompt(tags) else ("models", "tags")

        def make(tx: Tx) -> Row | None:
            home = _home(tx, workspace)
            if any(resources.exists(tx, home.child(either, name).key) for either in FAMILIES):
                return None
            return self._store(tx, home.child(family, name), {"description": description, member: tags}, caller)

        row = await self.db.write(make)
        return _model(row) if row else None

    async def update_model(self, workspace: str, name: str, change: Callable[[RegisteredModel], None], caller: Caller) -> RegisteredModel | None:
        def edit(tx: Tx) -> RegisteredModel | None:
            row = _container(tx, workspace, name)
            if row is None:
                return None
            model = _model(row)
            change(model)
            self._store(tx, parse(row.id), {**row.properties, "description": model.description, _tags(row): model.tags, "properties": model.properties}, caller)
            return model

        return await self.db.write(edit)

    async def rename_model(self, workspace: str, name: str, new_name: str, caller: Caller) -> RegisteredModel | None:
        """Moves the container and its versions. What is in use keeps its name, as it would not be deleted: ids in jobs and deployments
        point to it."""

        def move(tx: Tx) -> RegisteredModel | None:
            row = _container(tx, workspace, name)
            if row is None:
                return None
            home = _home(tx, workspace)
            rid = home.child(parse(row.id).segments[-1][0], check_name(new_name, "new_name"))
            taken = [key for family in FAMILIES if (key := home.child(family, new_name).key) != row.key and resources.exists(tx, key)]
            if taken:
                raise MlflowError("RESOURCE_ALREADY_EXISTS", f"Registered Model (name={new_name}) already exists.", "new_name")
            usage.check_unused(row, usage.users_of_asset(tx, row), "renamed")
            facts = self._facts(caller)
            if rid.key != row.key:
                access.unassign_below(tx, row.key, facts.now)  # rights were given at the old name
            resources.rename(tx, row, rid, facts.now)
            moved = resources.get(tx, rid.key)
            assert moved is not None
            return _model(moved)

        return await self.db.write(move)

    async def delete_model(self, workspace: str, name: str) -> bool:
        return await self._delete(lambda tx: _container(tx, workspace, name))

    async def _delete(self, find: Callable[[Tx], Row | None]) -> bool:
        """As ARM's DELETE does it: what is in use stays, a container counts its versions."""

        def remove(tx: Tx) -> bool:
            row = find(tx)
            return row is not None and engine.remove(tx, target_of(parse(row.id)), self._facts(SYSTEM))[1] is not None

        return await self.db.write(remove)

    async def versions(self, workspace: str, *names: str) -> list[ModelVersion]:
        def find(tx: Tx) -> list[Row]:
            return [row for family in FAMILIES for row in resources.below(tx, f"{ML}/workspaces/{family}/versions", [f"{workspace}/{family}/{name}" for name in names])]

        return [_version(row) for row in await self.db.read(find)]

    async def version(self, workspace: str, name: str, version: str) -> ModelVersion | None:
        row = await self.db.read(_one_version, workspace, name, version)
        return _version(row) if row else None

    async def create_version(self, workspace: str, draft: ModelVersion, caller: Caller) -> ModelVersion | None:
        def make(tx: Tx) -> Row | None:
            container = _container(tx, workspace, draft.name)
            if container is None:
                return None
            rid = parse(container.id).child("versions", str(container.properties.get("nextVersion") or "1"))
            body: Doc = {"description": draft.description, _tags(container): draft.tags, "properties": draft.properties, "stage": draft.stage, "jobName": draft.job_name or None}
            if container.type.endswith("/models"):
                body |= {"modelUri": draft.uri, "modelType": draft.type or "mlflow_model"}
            return self._store(tx, rid, body, caller)

        row = await self.db.write(make)
        return _version(row) if row else None

    async def update_version(
        self, workspace: str, name: str, version: str, change: Callable[[ModelVersion], None], caller: Caller
    ) -> ModelVersion | None:
        def edit(tx: Tx) -> ModelVersion | None:
            row = _one_version(tx, workspace, name, version)
            if row is None:
                return None
            found = _version(row)
            change(found)
            body = {**row.properties, "description": found.description, _tags(row): found.tags, "properties": found.properties, "stage": found.stage}
            self._store(tx, parse(row.id), body, caller)
            return found

        return await self.db.write(edit)

    async def delete_version(self, workspace: str, name: str, version: str) -> bool:
        return await self._delete(lambda tx: _one_version(tx, workspace, name, version))

    async def place(self, workspace: str, name: str, version: str) -> tuple[str, str, str] | None:
        def find(tx: Tx) -> tuple[str, str, str] | None:
            home, row = resources.get(tx, workspace), resources.get(tx, f"{workspace}/models/{name}/versions/{version}")
            if home is None or row is None or row.archived:
                return None
            place = locate(tx, home, row.properties["modelUri"], "modelUri", "models")
            if not place.account:
                raise ArmError(400, "ModelOnTheWeb", f"The files of {name}:{version} are at {place.url}, not in this server's storage.", "modelUri")
            return place.account, place.container, place.path

        return await self.db.read(find)

    def _store(self, tx: Tx, rid: ResourceId, properties: Doc, caller: Caller) -> Row:
        return engine.store(tx, target_of(rid), {"properties": properties}, self._facts(caller))[0]


def target_of(rid: ResourceId) -> Target:
    """Also of prompts, which are not in the REGISTRY."""
    declared = _UNREGISTERED.get(rid.full_type.lower())
    return Target(declared, rid) if declared else engine.resolve(rid)


def _home(tx: Tx, workspace: str) -> ResourceId:
    row = resources.get(tx, workspace)
    if row is None:
        raise ArmError(404, "ResourceNotFound", "The workspace was not found.")
    return parse(row.id)


def _container(tx: Tx, workspace: str, name: str) -> Row | None:
    for family in FAMILIES:
        row = resources.get(tx, f"{workspace}/{family}/{name}")
        if row is not None and not row.archived:
            return row
    return None


def _one_version(tx: Tx, workspace: str, name: str, version: str) -> Row | None:
    for family in FAMILIES:
        row = resources.get(tx, f"{workspace}/{family}/{name}/versions/{version}")
        if row is not None and not row.archived:
            return row
    return None


def _tags(row: Row) -> str:
    """The member that holds MLflow's tags."""
    return "labels" if "/prompts" in row.type else "tags"


def _model(row: Row) -> RegisteredModel:
    facts = row.properties
    return RegisteredModel(row.name, facts.get("description") or "", _texts(facts.get(_tags(row))), _texts(facts.get("properties")), row.created, row.updated)


def _version(row: Row) -> ModelVersion:
    facts = row.properties
    return ModelVersion(
        parse(row.id).parent.name, row.name, facts.get("modelUri") or "", facts.get("modelType") or "custom_model", facts.get("description") or "",
        _texts(facts.get(_tags(row))), _texts(facts.get("properties")), facts.get("stage") or "None", row.created, row.updated, facts.get("jobName") or "",
    )


def _texts(given: dict[str, Any] | None) -> dict[str, str]:
    return {k: "" if v is None else str(v) for k, v in (given or {}).items()}
