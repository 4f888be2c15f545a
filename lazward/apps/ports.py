"""What run history asks of ARM's resources: the facts of jobs."""

from __future__ import annotations

import time
from typing import Any

from lazward.apps.history.runs import Change
from lazward.apps.services import Authority
from lazward.contract.caller import Caller
from lazward.contract.envelope import system_data
from lazward.domain.settings import Settings
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration.authority import JOB_TOKEN_S
from lazward.orchestration.job_services import OWN as OWN_SERVICES
from lazward.orchestration.job_services import service_token
from lazward.storage import resources
from lazward.storage.db import Database, Tx
from lazward.storage.resources import Row


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
