"""The first start after `lazward restore`. A backup holds what was stored, not what ran: jobs that ran end as Failed with that reason,
instead of being run a second time by nobody's wish; jobs that waited go on waiting; deployments are built anew, since their model
servers, and the paths they had, are those of another data dir."""

from __future__ import annotations

import json
from pathlib import Path

from lazward.contract.envelope import timestamp
from lazward.orchestration.gateway import DEPLOYMENTS
from lazward.storage import resources, tasks
from lazward.storage.db import Database, Tx

RAN = ("launched", "finishing")  # phases of a job whose processes may have done something


async def settle_once(db: Database, mark: Path, now: float) -> None:
    """mark: the file that `lazward restore` left: {"made": unix seconds of the backup}. Call it before any task is claimed."""
    if not mark.exists():
        return
    await db.write(settle, float(json.loads(mark.read_text())["made"]), now)
    mark.unlink()  # a kill in between repeats it, and nothing has been started since


def settle(tx: Tx, made: float, now: float) -> None:
    """made: when the backup was made."""
    for task in tasks.open_of_kind(tx, "job.run"):
        if task.state.get("phase") in RAN:
            tasks.rewrite(tx, task.id, {**task.state, "phase": "restored", "backup": timestamp(made)})
    for task in tasks.open_of_kind(tx, "deployment.apply"):
        tasks.rewrite(tx, task.id, {})
    for row in resources.every(tx, DEPLOYMENTS):
        facts = row.doc.get("lazward") or {}
        if not facts.pop("instances", None):
            continue
        facts.pop("digest", None)
        if row.properties.get("provisioningState") != "Deleting":
            row.properties["provisioningState"] = "Updating"
            tasks.enqueue(tx, "deployment.apply", row.key, {}, now)
        resources.update(tx, row, now)
