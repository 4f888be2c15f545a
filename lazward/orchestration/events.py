"""What happens in a workspace, told to the schedules that wait for it: in the transaction in which it happens, so no event is lost and
none is told twice. What then is done is a task of its own (schedule_events.py)."""

from __future__ import annotations

import hashlib

import msgspec

from lazward.contract.caller import Caller
from lazward.contract.ids import ML, parse
from lazward.domain.resource import PRIVATE
from lazward.domain.schedules.events import RUNS, Event, matches
from lazward.storage import resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

SCHEDULES, JOBS = f"{ML}/workspaces/schedules", f"{ML}/workspaces/jobs".lower()
FIRE = "schedule.event"


def run_ended(tx: Tx, job: Row, now: float) -> None:
    """job: one that is no part of another, as it ended."""
    kind = next(name for name, status in RUNS.items() if status == job.properties["status"])
    _happened(tx, job.scope, Event(kind, job.id, job.name, experiment=job.properties["experimentName"], chain=chain_of(tx, job)), now)


def version_added(tx: Tx, version: Row, maker: Row | None, now: float) -> None:
    """version: of a model or of data. maker: the job that made it."""
    kind = {"models": "ModelRegistered", "data": "DataVersionAdded"}[parse(version.id).segments[-2][0]]
    event = Event(kind, version.id, parse(version.id).parent.name, version.name, chain=chain_of(tx, maker) if maker else ())
    _happened(tx, version.scope, event, now)


def maker_of(tx: Tx, scope: str, caller: Caller) -> Row | None:
    """The job whose token the caller shows."""
    return resources.get(tx, f"{scope}/jobs/{caller.run}") if caller.run else None


def chain_of(tx: Tx, job: Row) -> tuple[str, ...]:
    """The schedules that led to a job, or to the pipeline or sweep that it is a part of."""
    above: Row | None = job
    while above is not None and above.parent != above.scope:
        job, above = above, resources.get(tx, above.parent)
    facts = (above or job).doc.get(PRIVATE) or {}
    return (*facts.get("chain", ()), facts["schedule"]) if facts.get("schedule") else ()


def _happened(tx: Tx, workspace: str, event: Event, now: float) -> None:
    for schedule in resources.every(tx, SCHEDULES, scope=workspace, lookup=f"event:{event.type}"):
        if matches(schedule.properties["trigger"], event):
            mark = hashlib.sha256(event.id.lower().encode()).hexdigest()[:16]
            tasks.enqueue(tx, FIRE, f"{schedule.key}/events/{mark}", {"schedule": schedule.key, "event": msgspec.to_builtins(event), "at": now}, now)
