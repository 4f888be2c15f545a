"""What is in use cannot be deleted: 409 that says who uses it (orchestration/usage.py)."""

from __future__ import annotations

from lazward.apps.arm.hooks import deleting
from lazward.contract.errors import conflict
from lazward.domain.resource import WriteContext
from lazward.domain.resources.workspaces import BUILT_IN_REGISTRY
from lazward.orchestration import usage
from lazward.storage.db import Tx
from lazward.storage.resources import Row

OWN_DATASTORES = ("workspaceblobstore", usage.ARTIFACT_STORE)


def asset_deleting(tx: Tx, row: Row, ctx: WriteContext) -> None:
    usage.check_unused(row, usage.users_of_asset(tx, row))


for _above in ("workspaces", "registries"):
    for _family in ("codes", "environments", "data", "models"):
        for _path in (f"{_above}/{_family}", f"{_above}/{_family}/versions"):
            deleting(_path)(asset_deleting)


@deleting("workspaces/computes")
def compute_deleting(tx: Tx, row: Row, ctx: WriteContext) -> None:
    usage.check_unused(row, usage.users_of_compute(tx, row))


@deleting("workspaces/datastores")
def datastore_deleting(tx: Tx, row: Row, ctx: WriteContext) -> None:
    if row.properties.get("isDefault"):
        raise conflict(f"'{row.name}' is the default datastore of the workspace and cannot be deleted.", code="DefaultDatastore")
    if row.name.lower() in OWN_DATASTORES:
        raise conflict(f"'{row.name}' holds what the workspace itself writes, and cannot be deleted.", code="DefaultDatastore")
    usage.check_unused(row, usage.users_of_datastore(tx, row))


@deleting("workspaces/jobs")
def job_deleting(tx: Tx, row: Row, ctx: WriteContext) -> None:
    usage.check_unused(row, usage.users_of_job(tx, row))


@deleting("registries")
def registry_deleting(tx: Tx, row: Row, ctx: WriteContext) -> None:
    if row.name.lower() == BUILT_IN_REGISTRY:
        raise conflict(f"The registry '{row.name}' is built in and cannot be deleted.", code="BuiltInRegistry")
