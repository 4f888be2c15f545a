"""A workspace to track in, and shorthands for what tests log."""

from __future__ import annotations

import uuid

from lazward.contract.ids import workspace_id
from lazward.domain.tracking.names import Metric
from lazward.storage import resources, runs
from lazward.storage.db import Database, Tx

WORKSPACE = workspace_id("11111111-1111-1111-1111-111111111111", "rg", "Ws")
KEY = WORKSPACE.key
OTHER = workspace_id("11111111-1111-1111-1111-111111111111", "rg", "other")
NOW = 1_800_000_000.0


def make_workspaces(db: Database) -> None:
    def insert(tx: Tx) -> None:
        for rid in (WORKSPACE, OTHER):
            resources.insert(tx, rid, {"properties": {"workspaceId": str(uuid.uuid4())}}, NOW, lookup=f"st{rid.name.lower()}")
            store = {"datastoreType": "AzureBlob", "accountName": f"st{rid.name.lower()}", "containerName": "azureml"}
            resources.insert(tx, rid.child("datastores", "workspaceartifactstore"), {"properties": store}, NOW)

    db.write_now(insert)


def make_run(db: Database, id_: str, *, key: str = KEY, experiment: str = "0", started: float = NOW, tags: tuple[tuple[str, str], ...] = ()) -> None:
    db.write_now(runs.create, key, id_, experiment, f"name of {id_}", "me", started, tags, NOW)


def value(key: str, number: float, step: int = 0, at: int = 1) -> Metric:
    nan = number != number
    return Metric(key, at, step, 0.0 if nan else number, nan)
