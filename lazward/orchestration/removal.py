"""The end of a resource: with it go what lies below it, its secrets, and what rights were given at it. A resource that is made again
under the same name is another one, and nothing that was meant for the first opens it (S5)."""

from __future__ import annotations

from lazward.storage import access, resources, secrets, tasks
from lazward.storage.db import Tx


def remove(tx: Tx, key: str, now: float) -> bool:
    """Whether there was one. key: a resource id, compared without regard to case."""
    gone = resources.delete(tx, key)
    secrets.forget(tx, key)
    if access.unassign_below(tx, key, now):
        tasks.enqueue(tx, "gateway.sync", "gateway", {}, now)  # who may score is written in its files
    return gone
