"""The run of a schedule for an event."""

from __future__ import annotations

import hashlib
import logging
import math

import msgspec

from lazward.contract.errors import ArmError
from lazward.contract.ids import parse
from lazward.domain.schedules.events import Event, matches
from lazward.domain.schedules.runs import stamp
from lazward.orchestration import schedules
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.events import FIRE
from lazward.orchestration.job_create import context_of
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")


def _failed(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    """A fault of ours that did not pass: whoever looks at the schedule is told."""
    row = resources.get(tx, task.state["schedule"])
    if row is not None and schedules.is_on(row):
        schedules.note(tx, row, error, now, task.state["at"])


@handler(FIRE, on_failure=_failed, tries=9)
async def run_for_event(work: Work) -> Outcome:
    runtime: Runtime = work.services
    row = await runtime.db.read(resources.get, work.state["schedule"])
    if row is None:
        return Outcome()
    refused = await schedules.refusal(runtime.tokens, runtime.db, row)
    now = work.now()
    return Outcome(also=lambda tx: _fire(tx, runtime, work.state, now, refused))


def _fire(tx: Tx, runtime: Runtime, state: dict, now: float, refused: ArmError | None) -> None:
    """Submits the job, in the transaction that ends the task. What the schedule has become meanwhile counts."""
    row = resources.get(tx, state["schedule"])
    event = msgspec.convert(state["event"], Event)
    if row is None or not schedules.is_on(row) or not matches(row.properties["trigger"], event):
        return
    moment = math.floor(state["at"])
    mark = hashlib.sha256(f"{event.id.lower()} {state['at']}".encode()).hexdigest()[:8]
    try:
        if row.key in event.chain:
            raise ArmError(409, "EventLoop", f"{event.type} of '{event.id}' comes from a job that this schedule led to; it would go on for ever.")
        if refused:
            raise refused
        ctx = context_of(parse(row.id), schedules.run_as(row), runtime.settings, now)
        schedules.submit_run(tx, row, moment, ctx, name=f"{row.name}-{stamp(moment)}-{mark}", event=event)
        schedules.clear_note(tx, row, now)
    except ArmError as error:
        log.warning("schedule %s: no run for %s of %s: %s", row.key, event.type, event.id, error)
        schedules.note(tx, row, error, now, moment)
