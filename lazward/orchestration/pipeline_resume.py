"""Resuming a pipeline, a person's wish for a root and its parent's for a nested one."""

from __future__ import annotations

from lazward.contract.errors import ArmError
from lazward.domain.jobs.source import FOLLOWS_JOB
from lazward.storage import resources, runs, tasks
from lazward.storage.db import Tx


def resume(tx: Tx, key: str, now: float) -> None:
    """A pipeline that failed or was canceled goes on where it stopped: steps that completed are kept, the others run again. Raises
    ArmError 409 for any other job."""
    row = resources.get(tx, key)
    if row is None or row.properties["jobType"] != "Pipeline" or row.properties["status"] not in ("Failed", "Canceled"):
        state = f"it is a {row.properties['jobType']} job, {row.properties['status']}" if row else "there is none"
        raise ArmError(409, "JobNotResumable", f"Only a pipeline that failed or was canceled is resumed; {state}.", "properties.status")
    facts, private = row.properties, row.doc.setdefault("lazward", {})
    private["attempt"] = private.get("attempt", 1) + 1
    for member in ("error", "endTimeUtc"):
        facts.pop(member, None)
    facts["status"] = "Queued"
    resources.update(tx, row, now)
    runs.set_status(tx, row.scope, row.name, "Queued", now)
    runs.drop_tags(tx, row.scope, row.name, FOLLOWS_JOB)
    tasks.enqueue(tx, "pipeline.run", key, {"phase": "queued", "attempt": private["attempt"]}, now)
