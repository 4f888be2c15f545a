"""Schedules at work. Each enabled one has an open task "schedule.run", due at its next time and knowing the time that was last dealt
with (`after`). When it is due, one transaction submits the job, ends the task and leaves the next one: whatever is killed, a time has
run, or has not and will. The job's name holds the time, so it cannot be there twice."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import msgspec

from lazward.contract.caller import Caller
from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError, bad_request, conflict, not_implemented
from lazward.contract.ids import ML, parse
from lazward.contract.mlflow import MlflowError
from lazward.domain import registries
from lazward.domain.registries import registries_in
from lazward.domain.resource import PRIVATE, Doc, WriteContext, check_shape
from lazward.domain.resources.jobs import JOBS
from lazward.domain.resources.schedules import NOTE, said
from lazward.domain.schedules.events import Event
from lazward.domain.schedules.runs import copied, job_properties, stamp
from lazward.domain.schedules.trigger import last_between, next_after, read_trigger
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.job_create import context_of, create
from lazward.orchestration.provisioning import succeeded
from lazward.orchestration.removal import remove
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources, tasks
from lazward.storage.db import Database, Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")

RUN = "schedule.run"
DEFINITION = "properties.action.jobDefinition"
RIGHT = JOBS.action("write")
REGISTRIES = f"{ML}/registries"
ON_TIME_S = 60.0  # less than this is no delay worth a word


# ---- written, deleted ------------------------------------------------------------------------------------------------------


def written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    """In the transaction of the PUT: what an enabled schedule would submit is submitted once for trial and taken back, so that what can
    not run is refused now; then its task is set."""
    facts, private, old = row.properties, row.doc[PRIVATE], (before or {}).get("properties") or {}
    was_enabled = bool(old.get("isEnabled"))
    if facts["action"]["actionType"] == "CreateJob" and facts["isEnabled"]:
        fresh = "definition" not in private and bool(facts["action"]["jobDefinition"].get("sourceJobId"))
        if fresh:
            private["definition"] = _definition_of_source(tx, row)
        if fresh or not was_enabled or said(facts["action"]) != said(old.get("action")):
            if not (facts["trigger"]["triggerType"] == "Event" and "${{event." in msgspec.json.encode(_definition(row)).decode()):
                _try(tx, row, ctx)  # what names the event can be tried when there is one
            facts["properties"].pop(NOTE, None)
    resources.update(tx, row, ctx.now)
    if not facts["isEnabled"] or facts["trigger"]["triggerType"] == "Event":
        tasks.call_off(tx, RUN, row.key, ctx.now)
        return
    same_trigger = before is not None and said(old["trigger"]) == said(facts["trigger"])
    if same_trigger and was_enabled and tasks.open_for(tx, row.key, RUN):
        return
    trigger = read_trigger(facts["trigger"], private["anchor"])
    after = trigger.begin - 1 if trigger.at_once and not same_trigger else ctx.now
    if not _set_task(tx, row, after, ctx.now) and not (same_trigger and was_enabled):
        raise bad_request("The trigger has no time left: its last one has passed, or none fits it within fifty years.", "properties.trigger")


def deleted(tx: Tx, row: Row, now: float) -> None:
    """Its jobs stay, whatever becomes of them."""
    tasks.call_off(tx, RUN, row.key, now)


def _set_task(tx: Tx, row: Row, after: float, now: float) -> bool:
    """Instead of the task that was open, one for the first time after `after`. False when there is none."""
    tasks.call_off(tx, RUN, row.key, now)
    due = next_after(read_trigger(row.properties["trigger"], row.doc[PRIVATE]["anchor"]), after)
    if due is None:
        return False
    tasks.enqueue(tx, RUN, row.key, {"after": after}, now, due=due)
    return True


def _definition_of_source(tx: Tx, row: Row) -> Doc:
    """The job that sourceJobId names, as it is now: another one made later under its name is not what was meant."""
    definition = row.properties["action"]["jobDefinition"]
    name = definition["sourceJobId"].removeprefix("azureml:").rstrip("/").rsplit("/", 1)[-1]
    source = resources.get(tx, f"{row.scope}/jobs/{name}")
    if source is None or (
        "/" in definition["sourceJobId"] and definition["sourceJobId"].removeprefix("azureml:").rstrip("/").lower() != source.key
    ):
        raise ArmError(400, "JobNotFound", f"The job '{definition['sourceJobId'][:300]}' was not found in this workspace.", f"{DEFINITION}.sourceJobId")
    check_shape(JOBS, {"properties": dict(definition)})
    return copied(source.properties, source.name, definition)


class _TakenBack(Exception):
    pass


def _try(tx: Tx, row: Row, ctx: WriteContext) -> None:
    try:
        check_shape(JOBS, {"properties": dict(_definition(row))})
        with tx.part():
            submit_run(tx, row, ctx.now, replace(ctx, rid=parse(row.id)), name=f"{row.name}-{ctx.new_guid()}")
            raise _TakenBack
    except _TakenBack:
        pass
    except ArmError as error:
        raise _placed(error) from None


def _placed(error: ArmError) -> ArmError:
    """An error about a job, as one about the definition in a schedule."""
    target = error.target or "properties"
    placed = target.replace("properties", DEFINITION, 1) if target.startswith("properties") else f"{DEFINITION}.{target}"
    return ArmError(error.status, error.code, error.message, placed, [_placed(detail) for detail in error.details])


# ---- one run ---------------------------------------------------------------------------------------------------------------


def submit_run(
    tx: Tx, row: Row, moment: float, ctx: WriteContext, *, name: str = "", tags: dict[str, str] | None = None, by: str = "", event: Event | None = None
) -> Row:
    """Submits the job for a time of the schedule, or finds it there. ArmError when it is refused: nothing of it is written then.

    ctx: base URLs and time of whoever does it. by: who asked for it, when not the clock. event: that it is run for."""
    name = name or f"{row.name}-{stamp(moment)}"
    rid = parse(row.id).parent.child("jobs", name)
    there = resources.get(tx, rid.key)
    if there is not None:
        if (there.doc.get(PRIVATE) or {}).get("schedule") == row.key:
            return there
        raise conflict(f"A job named '{name}' exists that is not of this schedule.", "name", "JobAlreadyExists")
    properties = job_properties(_definition(row), name, (row.id, row.name), moment, tags or {}, event)
    if by:
        properties["properties"]["lazward.triggeredBy"] = by
    try:
        with tx.part():
            return create(tx, replace(ctx, rid=rid, caller=run_as(row), parent=None, workspace=None, patch=False), properties, {"schedule": row.key, "chain": list(event.chain if event else ())})
    except MlflowError as error:  # somebody made a run of that id
        raise conflict(error.message, "name", "JobAlreadyExists") from None


def run_as(row: Row) -> Caller:
    """Who wrote the action."""
    return Caller(**row.doc[PRIVATE]["runAs"])


async def refusal(authority: Any, db: Database, row: Row) -> ArmError | None:
    """Why the schedule may run nothing now: its action is not built; or in whose name it does, may not submit jobs, or not read a registry that the job names (S5).
    authority: orchestration.authority.Authority."""
    if row.properties["action"]["actionType"] != "CreateJob":
        return not_implemented(f"A schedule with the action '{row.properties['action']['actionType']}'")
    who = run_as(row)
    if not await authority.allowed(who, RIGHT, row.scope):
        return _not_allowed(row, RIGHT, row.scope)
    named = registries_in(_definition(row))
    for registry in await db.read(resources.every, REGISTRIES) if named else ():
        if registry.name.lower() in named and not await authority.allowed(who, registries.RIGHT, registry.id):
            return _not_allowed(row, registries.RIGHT, registry.id)
    return None


def _not_allowed(row: Row, right: str, scope: str) -> ArmError:
    who = run_as(row)
    return ArmError(
        403, "AuthorizationFailed",
        f"The jobs of the schedule '{row.name}' run in the name of '{who.name or who.id}', who is disabled or gone, or does not have the right "
        f"'{right}' at {scope}. Somebody who has it can write the schedule's action anew.",
    )


def _definition(row: Row) -> Doc:
    return row.doc[PRIVATE].get("definition") or row.properties["action"]["jobDefinition"]


# ---- the tasks -------------------------------------------------------------------------------------------------------------


def _failed(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    """A fault of ours at one time is no reason to miss the next."""
    row = resources.get(tx, task.subject)
    if row is not None and is_on(row):
        note(tx, row, error, now)
        _set_task(tx, row, now, now)


@handler(RUN, on_failure=_failed)
async def run_schedule(work: Work) -> Outcome:
    runtime: Runtime = work.services
    row = await runtime.db.read(resources.get, work.subject)
    if row is None:
        return Outcome()
    refused = await refusal(runtime.tokens, runtime.db, row)
    now = work.now()
    return Outcome(also=lambda tx: _turn(tx, runtime, work.subject, work.state["after"], now, refused))


def _turn(tx: Tx, runtime: Runtime, key: str, after: float, now: float, refused: ArmError | None) -> None:
    """What is due is submitted (of several times that were missed, the last), and the next time is set. Runs with the end of the task,
    which is refused when somebody else has set another."""
    row = resources.get(tx, key)
    if row is None or not is_on(row):
        return
    trigger = read_trigger(row.properties["trigger"], row.doc[PRIVATE]["anchor"])
    moment = last_between(trigger, after, now)
    if moment is not None:
        first, late = next_after(trigger, after), now - moment
        tags = {}
        if first is not None and first < moment:
            tags["lazward.missedSince"] = timestamp(first)
        if late > ON_TIME_S:
            tags["lazward.lateSeconds"] = str(round(late))
        try:
            if late > max(runtime.settings.schedule_catch_up, ON_TIME_S):
                raise ArmError(409, "RunMissed", f"The server was not running then, and it is longer ago than schedule_catch_up ({runtime.settings.schedule_catch_up} s).")
            if refused:
                raise refused
            submit_run(tx, row, moment, context_of(parse(row.id), run_as(row), runtime.settings, now), tags=tags)
            clear_note(tx, row, now)
        except ArmError as error:
            log.warning("schedule %s: no run for %s: %s", key, timestamp(moment), error)
            note(tx, row, error, now, moment)
        after = moment
    _set_task(tx, row, after, now)


def is_on(row: Row) -> bool:
    return bool(row.properties["isEnabled"]) and row.properties.get("provisioningState") != "Deleting"


def note(tx: Tx, row: Row, error: ArmError, now: float, moment: float | None = None) -> None:
    """Where `az ml schedule show` and the SDK show it."""
    when = f"run of {timestamp(moment)}" if moment is not None else f"at {timestamp(now)}"
    row.properties["properties"][NOTE] = f"{when}: ({error.code}) {error.message}"[:2000]
    resources.update(tx, row, now)


def clear_note(tx: Tx, row: Row, now: float) -> None:
    if row.properties["properties"].pop(NOTE, None) is not None:
        resources.update(tx, row, now)


@handler("schedule.apply")
async def apply_schedule(work: Work) -> Outcome:
    """The operation that clients poll; what they asked for holds since its transaction."""
    now = work.now()
    return Outcome(also=lambda tx: succeeded(tx, work.subject, now))


@handler("schedule.delete")
async def delete_schedule(work: Work) -> Outcome:
    now = work.now()
    return Outcome(also=lambda tx: remove(tx, work.subject, now))
