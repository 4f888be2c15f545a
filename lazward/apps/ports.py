"""What tracking and history ask of ARM's resources: MLflow's model registry over workspaces/models, and the facts of jobs.

Writes go through the engine's store, so a model registered by MLflow is checked and stamped as one PUT by the SDK."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lazward.apps.arm import engine
from lazward.apps.arm.engine import Facts
from lazward.apps.history.runs import Change
from lazward.apps.mlflow.registry import ModelVersion, RegisteredModel
from lazward.apps.services import Authority
from lazward.contract.caller import SYSTEM, Caller
from lazward.contract.envelope import system_data
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, ResourceId, parse
from lazward.domain.resource import Doc
from lazward.domain.settings import Settings
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration.authority import JOB_TOKEN_S
from lazward.orchestration.data import locate
from lazward.orchestration.job_services import OWN as OWN_SERVICES
from lazward.orchestration.job_services import service_token
from lazward.storage import resources
from lazward.storage.db import Database, Tx
from lazward.storage.resources import Row

MODELS, VERSIONS = f"{ML}/workspaces/models", f"{ML}/workspaces/models/versions"


class StoredModels:
    """Implements ModelRegistryPort over the resource table."""

    def __init__(self, db: Database, settings: Settings):
        self.db = db
        self.settings = settings

    def _facts(self, caller: Caller) -> Facts:
        return Facts(caller, time.time(), self.settings.base_url, self.settings.gateway_url, self.settings.location)

    async def models(self, workspace: str) -> list[RegisteredModel]:
        rows = await self.db.read(resources.every, MODELS, parent=workspace, archived=False)
        return [_model(row) for row in rows]

    async def model(self, workspace: str, name: str) -> RegisteredModel | None:
        row = await self.db.read(resources.get, f"{workspace}/models/{name}")
        return _model(row) if row and not row.archived else None

    async def create_model(self, workspace: str, name: str, description: str, tags: dict[str, str], caller: Caller) -> RegisteredModel | None:
        def make(tx: Tx) -> Row | None:
            rid = _below(tx, workspace).child("models", name)
            if resources.exists(tx, rid.key):
                return None
            row, _, _ = engine.store(tx, engine.resolve(rid), {"properties": {"description": description, "tags": tags}}, self._facts(caller))
            return row

        row = await self.db.write(make)
        return _model(row) if row else None

    async def update_model(self, workspace: str, name: str, change: Callable[[RegisteredModel], None], caller: Caller) -> RegisteredModel | None:
        def edit(tx: Tx) -> RegisteredModel | None:
            row = resources.get(tx, f"{workspace}/models/{name}")
            if row is None or row.archived:
                return None
            model = _model(row)
            change(model)
            body = {"properties": {**row.properties, "description": model.description, "tags": model.tags, "properties": model.properties}}
            engine.store(tx, engine.resolve(parse(row.id)), body, self._facts(caller))
            return model

        return await self.db.write(edit)

    async def delete_model(self, workspace: str, name: str) -> bool:
        return await self._delete(f"{workspace}/models/{name}")

    async def _delete(self, key: str) -> bool:
        """As ARM's DELETE does it: what is in use stays, a container counts its versions."""

        def remove(tx: Tx) -> bool:
            row = resources.get(tx, key)
            return row is not None and engine.remove(tx, engine.resolve(parse(row.id)), self._facts(SYSTEM))[1] is not None

        return await self.db.write(remove)

    async def versions(self, workspace: str, name: str | None = None) -> list[ModelVersion]:
        where: dict[str, Any] = {"parent": f"{workspace}/models/{name}"} if name else {"scope": workspace}
        return [_version(row) for row in await self.db.read(resources.every, VERSIONS, archived=False, **where)]

    async def version(self, workspace: str, name: str, version: str) -> ModelVersion | None:
        row = await self.db.read(resources.get, f"{workspace}/models/{name}/versions/{version}")
        return _version(row) if row and not row.archived else None

    async def create_version(self, workspace: str, draft: ModelVersion, caller: Caller) -> ModelVersion:
        def make(tx: Tx) -> Row:
            home = _below(tx, workspace)
            container = resources.get(tx, home.child("models", draft.name).key)
            number = str((container.properties.get("nextVersion") if container else None) or "1")
            rid = home.child("models", container.name if container else draft.name).child("versions", number)
            body: Doc = {"properties": {
                "modelUri": draft.uri, "modelType": draft.type or "mlflow_model", "description": draft.description, "tags": draft.tags, "properties": draft.properties,
                "stage": draft.stage, "jobName": draft.job_name or None,
            }}
            row, _, _ = engine.store(tx, engine.resolve(rid), body, self._facts(caller))
            return row

        return _version(await self.db.write(make))

    async def update_version(
        self, workspace: str, name: str, version: str, change: Callable[[ModelVersion], None], caller: Caller
    ) -> ModelVersion | None:
        def edit(tx: Tx) -> ModelVersion | None:
            row = resources.get(tx, f"{workspace}/models/{name}/versions/{version}")
            if row is None or row.archived:
                return None
            found = _version(row)
            change(found)
            body = {"properties": {**row.properties, "description": found.description, "tags": found.tags, "properties": found.properties, "stage": found.stage}}
            engine.store(tx, engine.resolve(parse(row.id)), body, self._facts(caller))
            return found

        return await self.db.write(edit)

    async def delete_version(self, workspace: str, name: str, version: str) -> bool:
        return await self._delete(f"{workspace}/models/{name}/versions/{version}")

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


class StoredJobs:
    """Implements JobsPort: what run history tells of a job beyond its run."""

    def __init__(self, db: Database, settings: Settings, master_key: bytes, authority: Authority):
        self.authority = authority
        self.db = db
        self.settings = settings
        self.master_key = master_key

    async def get(self, workspace: str, run_id: str) -> dict[str, Any] | None:
        """The job's ARM properties; its outputs carry the assetId that dataversion/batchGetResolvedUris resolves."""

        def find(tx: Tx) -> dict[str, Any] | None:
            home, row = resources.get(tx, workspace), resources.get(tx, f"{workspace}/jobs/{run_id}")
            if home is None or row is None:
                return None
            facts = dict(row.properties)
            facts["outputs"] = {k: {**v, "assetId": self._asset_id(home, row, k, v)} for k, v in (facts.get("outputs") or {}).items()}
            return facts

        return await self.db.read(find)

    async def patch(self, workspace: str, run_id: str, change: Change, caller: Caller) -> None:
        """What run history's PATCH says of a job, written into its document; hidden is isArchived."""

        def edit(tx: Tx) -> None:
            row = resources.get(tx, f"{workspace}/jobs/{run_id}")
            if row is None:
                return
            facts = row.properties
            if change.hidden is not None:
                facts["isArchived"] = row.archived = change.hidden
            for member, value in (("displayName", change.display_name), ("description", change.description)):
                if value is not None:
                    facts[member] = value
            for member, more in (("tags", change.tags), ("properties", change.properties)):
                if more:
                    facts[member] = {**(facts.get(member) or {}), **more}
            row.doc["systemData"] = system_data(caller, time.time(), row.doc.get("systemData"))
            resources.update(tx, row, time.time())

        await self.db.write(edit)

    async def token(self, workspace: str, run_id: str) -> tuple[str, float] | None:
        """A fresh token of a job that runs, and its expiry; None when it is over."""
        row = await self.db.read(resources.get, f"{workspace}/jobs/{run_id}")
        if row is None or row.properties.get("status") in JOB_OVER:
            return None
        token, _ = self.authority.for_job((row.doc.get("lazward") or {}).get("submittedBy", ""), workspace, run_id)
        return token, time.time() + JOB_TOKEN_S

    async def services(self, workspace: str, run_id: str, node: str) -> dict[str, Any] | None:
        """The interactive services of a job's node, with the token that opens a notebook server: the route asks for jobs/write.
        There is one node, 0."""
        job = await self.db.read(resources.get, f"{workspace}/jobs/{run_id}")
        if job is None:
            return None
        if node != "0":
            return {}
        found: dict[str, Any] = {}
        for name, facts in (job.properties.get("services") or {}).items():
            if name in OWN_SERVICES:
                continue
            endpoint = facts.get("endpoint") or ""
            if endpoint.endswith("/lab") and facts.get("status") == "Running":
                endpoint = f"{endpoint}?token={service_token(self.master_key, job.key, name)}"
            error = {"error": {"code": "ServiceFailed", "message": facts["errorMessage"]}} if facts.get("errorMessage") else None
            found[name] = {"type": facts.get("jobServiceType"), "port": facts.get("port"), "status": facts.get("status"), "endpoint": endpoint, "error": error, "properties": facts.get("properties") or {}}
        return found

    def _asset_id(self, home: Row, job: Row, name: str, facts: dict[str, Any]) -> str:
        base = f"azureml://locations/{self.settings.location}/workspaces/{home.properties['workspaceId']}"
        if facts.get("assetName"):
            family = "models" if str(facts.get("jobOutputType", "")).endswith("_model") else "data"
            return f"{base}/{family}/{facts['assetName']}/versions/{facts.get('assetVersion', '1')}"
        return f"{base}/data/azureml_{job.name}_output_data_{name}/versions/1"


def _below(tx: Tx, workspace: str) -> ResourceId:
    row = resources.get(tx, workspace)
    if row is None:
        raise ArmError(404, "ResourceNotFound", "The workspace was not found.")
    return parse(row.id)


def _model(row: Row) -> RegisteredModel:
    facts = row.properties
    return RegisteredModel(row.name, facts.get("description") or "", _texts(facts.get("tags")), _texts(facts.get("properties")), row.created, row.updated)


def _version(row: Row) -> ModelVersion:
    facts = row.properties
    return ModelVersion(
        parse(row.id).parent.name, row.name, facts.get("modelUri") or "", facts.get("modelType") or "custom_model", facts.get("description") or "",
        _texts(facts.get("tags")), _texts(facts.get("properties")), facts.get("stage") or "None", row.created, row.updated, facts.get("jobName") or "",
    )


def _texts(given: dict[str, Any] | None) -> dict[str, str]:
    return {k: "" if v is None else str(v) for k, v in (given or {}).items()}


