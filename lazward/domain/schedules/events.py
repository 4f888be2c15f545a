"""Triggers of schedules by what happens in the workspace: an addition of Lazward's.

    {"triggerType": "Event", "eventType": "ModelRegistered", "name": "churn-*"}

The names of the events are those of Azure ML's in Event Grid where it has them.
"""

from __future__ import annotations

import fnmatch
from typing import Any

import msgspec

from lazward.contract.errors import bad_request

RUNS = {"RunCompleted": "Completed", "RunFailed": "Failed", "RunCanceled": "Canceled"}  # of jobs that are no part of another; by their status
EVENTS = (*RUNS, "ModelRegistered", "DataVersionAdded")
TARGET = "properties.trigger"


class Event(msgspec.Struct, frozen=True):
    """type: one of EVENTS. id: of the job or version. name, version: of the asset; of a run, its id and "". experiment: of a run.
    chain: keys of the schedules whose jobs led to it, the first first."""

    type: str
    id: str
    name: str
    version: str = ""
    experiment: str = ""
    chain: tuple[str, ...] = ()


def check_trigger(doc: dict[str, Any]) -> None:
    """doc: a trigger of the type Event; its eventType gets the spelling of EVENTS. ArmError 400 naming the member that is wrong."""
    given = str(doc.get("eventType") or "")
    kind = next((name for name in EVENTS if name.lower() == given.lower()), None)
    if kind is None:
        raise bad_request(f"eventType is one of {', '.join(EVENTS)}, not '{given[:40]}'.", f"{TARGET}.eventType")
    doc["eventType"] = kind
    for member in ("expression", "frequency", "interval", "schedule", "startTime", "endTime"):
        if doc.get(member) not in (None, {}):
            raise bad_request(f"A trigger by an event has no {member}.", f"{TARGET}.{member}")
    if doc.get("experimentName") and kind not in RUNS:
        raise bad_request(f"experimentName goes with the events of runs ({', '.join(RUNS)}), not with {kind}.", f"{TARGET}.experimentName")


def matches(doc: dict[str, Any], event: Event) -> bool:
    """name: a pattern with * and ? for the name of the model or data, or the id of the run; experimentName: of the run. Case counts not."""
    if doc.get("eventType") != event.type:
        return False
    wanted = str(doc.get("experimentName") or "").lower()
    return fnmatch.fnmatchcase(event.name.lower(), str(doc.get("name") or "*").lower()) and wanted in ("", event.experiment.lower())


def values_of(event: Event | None) -> dict[str, str]:
    """What stands for what in the job that is run."""
    if event is None:
        return {}
    return {f"${{{{event.{name}}}}}": getattr(event, name) for name in ("type", "id", "name", "version", "experiment")}


def said_of(event: Event) -> dict[str, str]:
    """As a job tells which event it was run for."""
    return {name: value for name in ("type", "id", "name", "version", "experiment") if (value := getattr(event, name))}


def lookup_of(doc: dict[str, Any]) -> str | None:
    """By which the schedules are found that wait for an event."""
    properties = doc["properties"]
    trigger = properties["trigger"]
    return f"event:{trigger['eventType']}" if trigger["triggerType"] == "Event" and properties["isEnabled"] else None
