"""The job that one run of a schedule is: its name, its definition, and how it is found again."""

from __future__ import annotations

import copy
import datetime as dt
import json
from typing import Any

from lazward.domain.jobs.again import like
from lazward.domain.resource import Doc
from lazward.domain.schedules.events import Event, said_of, values_of

SCHEDULE_ID, SCHEDULE_NAME, SCHEDULED_TIME = "azureml.scheduleId", "azureml.scheduleName", "azureml.scheduledTime"
EVENT = "lazward.event"  # property of a job that was run for an event

_MERGED = frozenset({"inputs", "outputs", "settings", "tags", "properties", "environmentVariables"})


def stamp(moment: float) -> str:
    """20270115T080000Z, as Azure ends the names of such jobs; with microseconds where there are any."""
    at = dt.datetime.fromtimestamp(moment, dt.UTC)
    return at.strftime("%Y%m%dT%H%M%S") + (f"{at.microsecond:06d}" if at.microsecond else "") + "Z"


def copied(source: Doc, source_name: str, changes: Doc) -> Doc:
    """The definition of a job like `source` (properties of a submitted job), with what `changes` says otherwise."""
    out = like(source, source_name)
    out.pop("displayName", None)  # each run is called by its own name
    for name, value in changes.items():
        if name in ("jobType", "sourceJobId", "isArchived") or value in (None, "", {}, []):
            continue
        merged = name in _MERGED and isinstance(value, dict) and isinstance(out.get(name), dict)
        out[name] = {**out[name], **value} if merged else copy.deepcopy(value)
    return out


def job_properties(definition: Doc, name: str, schedule: tuple[str, str], moment: float, tags: dict[str, str], event: Event | None = None) -> Doc:
    """What is submitted for the time `moment`. schedule: its id and name. In values and places of inputs and outputs,
    ${{name}} and ${{creation_context.trigger_time}} stand for the job's name and that time, ${{event.name}} and its like for the event."""
    out = copy.deepcopy({k: v for k, v in definition.items() if k not in ("sourceJobId", "isArchived")})
    when = dt.datetime.fromtimestamp(moment, dt.UTC).isoformat().replace("+00:00", "Z")
    values = {"${{name}}": name, "${{creation_context.trigger_time}}": when, **values_of(event)}
    for member in ("inputs", "outputs"):
        for facts in (out.get(member) or {}).values():
            for part in ("value", "uri"):
                if isinstance(facts, dict) and isinstance(facts.get(part), str):
                    facts[part] = _filled(facts[part], values)
    out["displayName"] = name
    out["tags"] = {**(out.get("tags") or {}), **tags}
    out["properties"] = {**(out.get("properties") or {}), SCHEDULE_ID: schedule[0], SCHEDULE_NAME: schedule[1], SCHEDULED_TIME: when}
    if event:
        out["properties"][EVENT] = json.dumps(said_of(event))
    return out


def _filled(text: str, values: dict[str, Any]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text
