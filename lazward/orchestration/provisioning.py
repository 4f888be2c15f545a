"""How the operation on a resource has ended, in the resource."""

from __future__ import annotations

from lazward.contract.errors import ArmError
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.tasks import Task


def succeeded(tx: Tx, key: str, now: float) -> None:
    """Unless it is being deleted meanwhile."""
    row = resources.get(tx, key)
    if row is not None and row.properties.get("provisioningState") != "Deleting":
        row.properties["provisioningState"] = "Succeeded"
        resources.update(tx, row, now)


def failed(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    """The on_failure of a handler whose task tells the error."""
    row = resources.get(tx, task.subject)
    if row is not None:
        row.properties["provisioningState"] = "Failed"
        resources.update(tx, row, now)
