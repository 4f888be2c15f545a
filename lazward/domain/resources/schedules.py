"""Schedules: what is done (a job, submitted again and again) and when."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from lazward.contract.errors import bad_request, not_implemented
from lazward.domain.resource import PRIVATE, Doc, WriteContext, resource
from lazward.domain.schedules.events import check_trigger, lookup_of
from lazward.domain.schedules.trigger import read_trigger

ACTIONS = ("CreateJob", "InvokeBatchEndpoint", "CreateMonitor", "ImportData")
TRIGGERS = ("Cron", "Recurrence", "Event")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")  # the time of a run is added to it and makes the name of a job
OURS = "lazward."  # start of the names in properties.properties that only the server sets
NOTE = OURS + "lastRefusal"


class Pattern(msgspec.Struct, rename="camel"):
    hours: list[int] | None = None
    minutes: list[int] | None = None
    week_days: list[str] | None = None
    month_days: list[int] | None = None


class Trigger(msgspec.Struct, rename="camel"):
    trigger_type: str
    time_zone: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    expression: str | None = None
    frequency: str | None = None
    interval: int | None = None
    schedule: Pattern | None = None
    event_type: str | None = None
    name: str | None = None
    experiment_name: str | None = None


class Action(msgspec.Struct, rename="camel"):
    action_type: str
    job_definition: dict[str, Any] | None = None


class Schedule(msgspec.Struct, rename="camel"):
    action: Action
    trigger: Trigger
    display_name: str | None = None
    description: str | None = None
    is_enabled: bool | None = None
    tags: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None


def fill_schedule(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    """Checks and defaults. Private: `anchor`, when the trigger was written (unix seconds), and `runAs`, who wrote the action: the jobs
    run in that name, so that nobody can have a job of theirs run in the name of another."""
    properties = new["properties"]
    before, kept = (old["properties"], old.get(PRIVATE) or {}) if old else ({}, {})
    if not _NAME.fullmatch(ctx.rid.name):
        raise bad_request("The name of a schedule has up to 200 letters, digits, '-', '_' and '.' and starts with a letter or digit.", "name")
    if properties.get("isEnabled") is None:
        properties["isEnabled"] = before.get("isEnabled", True)
    properties.setdefault("displayName", None)
    properties.setdefault("description", None)
    properties["tags"] = properties.get("tags") or {}
    facts = {name: value for name, value in (properties.get("properties") or {}).items() if not name.startswith(OURS)}
    properties["properties"] = facts | {name: value for name, value in (before.get("properties") or {}).items() if name.startswith(OURS)}

    trigger, action = properties["trigger"], properties["action"]
    trigger["triggerType"] = _one_of(TRIGGERS, trigger["triggerType"], "properties.trigger.triggerType")
    trigger["timeZone"] = trigger.get("timeZone") or "UTC"
    same_trigger = old is not None and said(trigger) == said(before["trigger"])
    anchor = kept["anchor"] if same_trigger else math.floor(ctx.now)
    if trigger["triggerType"] == "Event":
        check_trigger(trigger)
    else:
        read_trigger(trigger, anchor)
    _check_action(action, properties["isEnabled"])
    private: Doc = {"anchor": anchor}
    if old is not None and said(action) == said(before["action"]):
        private |= {name: kept[name] for name in ("runAs", "definition") if name in kept}
    else:
        caller = ctx.caller
        private["runAs"] = {"id": caller.id, "name": caller.name, "kind": caller.kind, "tenant": caller.tenant}
    new[PRIVATE] = private


def said(value: Any) -> Any:
    """What a client says with a value: it may leave out, or spell out, what is empty."""
    if isinstance(value, dict):
        return {name: inner for name, inner in ((n, said(v)) for n, v in value.items()) if inner not in (None, "", {}, [])}
    return [said(inner) for inner in value] if isinstance(value, list) else value


def _check_action(action: Doc, enabled: bool) -> None:
    kind = action["actionType"] = _one_of(ACTIONS, action["actionType"], "properties.action.actionType")
    if kind != "CreateJob":
        if enabled:
            raise not_implemented(f"A schedule with the action '{kind}' (one with isEnabled: false can be stored)")
        return
    definition = action.get("jobDefinition")
    if not definition:
        raise bad_request("A schedule that creates jobs needs a jobDefinition.", "properties.action.jobDefinition")
    if not isinstance(definition.get("jobType"), str):
        raise bad_request("A jobDefinition needs a jobType.", "properties.action.jobDefinition.jobType")
    source = definition.get("sourceJobId")
    if source is not None and not isinstance(source, str):
        raise bad_request("sourceJobId is the id of a job.", "properties.action.jobDefinition.sourceJobId")


def _one_of(known: tuple[str, ...], given: str, target: str) -> str:
    for name in known:
        if name.lower() == given.lower():
            return name
    raise bad_request(f"{target.rsplit('.', 1)[1]} is one of {', '.join(known)}, not '{given[:40]}'.", target)


VIEWS = {
    "EnabledOnly": lambda doc: doc["properties"]["isEnabled"], "DisabledOnly": lambda doc: not doc["properties"]["isEnabled"], "All": lambda doc: True,
}

SCHEDULES = resource(
    "workspaces/schedules", Schedule, before_write=fill_schedule, views=VIEWS, lookup=lookup_of, provision="schedule.apply", deprovision="schedule.delete",
    actions=frozenset({"trigger"}),
)
