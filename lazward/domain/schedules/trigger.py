"""A schedule's trigger, as the wire spells it, and its next time.

    trigger = read_trigger({"triggerType": "Cron", "expression": "0 6 * * 1", "timeZone": "Pacific Standard Time"}, anchor)
    next_after(trigger, now)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from lazward.contract.errors import bad_request
from lazward.domain.schedules import cron, recurrence
from lazward.domain.schedules.recurrence import FREQUENCIES, WEEK_DAYS, Recurrence
from lazward.domain.schedules.zones import moment_of, zone_of

TARGET = "properties.trigger"
MAX_INTERVAL = 1000
YEARS = (1980, 9000)  # of a start or end: what every clock can count


@dataclass(frozen=True)
class Trigger:
    """rule: a cron expression, or a recurrence. begin, end: unix seconds; nothing runs before or after. at_once: it names neither a start
    nor times of day, so its first run is when it is written."""

    rule: str | Recurrence
    zone: ZoneInfo
    begin: int
    end: int | None
    at_once: bool = False


def read_trigger(doc: dict[str, Any], anchor: float) -> Trigger:
    """doc: a trigger of the type Cron or Recurrence. anchor: when it was written (unix seconds), which is its start when it names none.
    Raises ArmError 400 naming the member that is wrong."""
    zone = zone_of(doc.get("timeZone") or "UTC", f"{TARGET}.timeZone")
    start, end = (_read_time(doc.get(name), zone, f"{TARGET}.{name}") for name in ("startTime", "endTime"))
    begin = math.floor(anchor) if start is None else start
    if end is not None and end < begin:
        after = f"the startTime '{doc['startTime']}'" if start is not None else "now"
        raise bad_request(f"The endTime '{doc['endTime']}' lies before {after}: the schedule would never run.", f"{TARGET}.endTime")
    kind = str(doc.get("triggerType"))
    if kind == "Cron":
        expression = doc.get("expression") or ""
        cron.check_cron(expression, f"{TARGET}.expression")
        return Trigger(expression, zone, begin, end)
    if kind == "Recurrence":
        rule = _read_recurrence(doc)
        return Trigger(rule, zone, begin, end, at_once=start is None and not rule.has_pattern)
    raise bad_request(f"triggerType is Cron or Recurrence, not '{kind[:40]}'.", f"{TARGET}.triggerType")


def next_after(trigger: Trigger, moment: float) -> int | None:
    """The first time of the trigger after a moment; both in unix seconds. None when there is none any more."""
    floor = max(math.floor(moment), trigger.begin - 1)
    if isinstance(trigger.rule, str):
        found = cron.next_time(trigger.rule, trigger.zone, floor)
    else:
        found = recurrence.next_time(trigger.rule, trigger.zone, trigger.begin, floor)
    return None if found is None or (trigger.end is not None and found > trigger.end) else found


def last_between(trigger: Trigger, after: float, until: float) -> int | None:
    """The last time of the trigger in (after, until], None when there is none. However many there are, it looks some thirty times."""
    found = next_after(trigger, after)
    if found is None or found > until:
        return None
    beyond = math.floor(until)  # nothing in (beyond, until]; `found` is a time, and the last one is not before it
    while beyond > found:
        middle = (found + beyond) // 2
        later = next_after(trigger, middle)
        if later is not None and later <= until:
            found = later
        else:
            beyond = middle
    return found


def _read_time(text: str | None, zone: ZoneInfo, target: str) -> int | None:
    """A time as clients write it, "2022-07-10T10:00:00" or "2022-07-10 10:00:00", on the clock of the zone; with an offset or Z, by that.
    Parts of a second are dropped."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise bad_request(f"'{text[:40]}' is not a time such as 2026-03-01T08:00:00.", target) from None
    if not YEARS[0] <= read.year <= YEARS[1]:
        raise bad_request(f"The year {read.year} is not between {YEARS[0]} and {YEARS[1]}.", target)
    read = read.replace(microsecond=0)
    return moment_of(read, zone) if read.tzinfo is None else int(read.timestamp())


def _read_recurrence(doc: dict[str, Any]) -> Recurrence:
    frequency = str(doc.get("frequency") or "").capitalize()
    if frequency not in FREQUENCIES:
        raise bad_request(f"frequency is one of {', '.join(FREQUENCIES)}, not '{str(doc.get('frequency'))[:40]}'.", f"{TARGET}.frequency")
    interval = doc.get("interval")
    if interval is None or not 1 <= interval <= MAX_INTERVAL:
        raise bad_request(f"interval is a number between 1 and {MAX_INTERVAL}, not {interval}.", f"{TARGET}.interval")
    pattern = doc.get("schedule") or {}
    numbers = {name: _numbers(pattern, name, low, high) for name, low, high in (("hours", 0, 23), ("minutes", 0, 59), ("monthDays", 1, 31))}
    days = []
    for name in pattern.get("weekDays") or ():
        if name.capitalize() not in WEEK_DAYS:
            raise bad_request(f"'{name[:40]}' is not a day of the week (Monday ... Sunday).", f"{TARGET}.schedule.weekDays")
        days.append(WEEK_DAYS.index(name.capitalize()))
    return Recurrence(frequency, interval, numbers["hours"], numbers["minutes"], tuple(sorted(set(days))), numbers["monthDays"])


def _numbers(pattern: dict[str, Any], name: str, low: int, high: int) -> tuple[int, ...]:
    given = pattern.get(name) or ()
    for number in given:
        if not low <= number <= high:
            raise bad_request(f"{name} lie between {low} and {high}; {number} does not.", f"{TARGET}.schedule.{name}")
    return tuple(sorted(set(given)))
