"""Recurrences: every n-th minute, hour, day, week or month, with a pattern of hours, minutes, days.

Without a pattern, minutes and hours are elapsed time from the start on, whatever clocks do. All else is the wall clock of the zone:
the frequency and interval choose minutes, hours, days, weeks (from Monday on) or months, counted from the start; weekDays and monthDays
keep some of their days; hours and minutes say when on these. What the pattern leaves out comes from the start.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from lazward.domain.schedules.zones import moment_of, wall_clock

FREQUENCIES = ("Minute", "Hour", "Day", "Week", "Month")
WEEK_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SECONDS = {"Minute": 60, "Hour": 3600}
HORIZON_DAYS = 50 * 366  # what has no time within fifty years has none


@dataclass(frozen=True)
class Recurrence:
    """frequency: one of FREQUENCIES. week_days: 0 is Monday. An empty tuple: not given."""

    frequency: str
    interval: int
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    week_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()

    @property
    def has_pattern(self) -> bool:
        return bool(self.hours or self.minutes or self.week_days or self.month_days)

    @property
    def elapsed(self) -> int:
        """Seconds between runs when it counts elapsed time, else 0."""
        return 0 if self.has_pattern else SECONDS.get(self.frequency, 0) * self.interval


def next_time(rule: Recurrence, zone: ZoneInfo, begin: int, floor: int) -> int | None:
    """The first moment after `floor` and not before `begin`, the start; all in unix seconds. None when there is none for fifty years."""
    if rule.elapsed:
        return begin + max(0, (floor - begin) // rule.elapsed + 1) * rule.elapsed
    start = wall_clock(begin, zone)
    floor = max(floor, begin - 1)
    times = _times(rule, start)
    day = max(wall_clock(floor, zone).date() - timedelta(days=1), start.date())  # one back: a whole day may be skipped (Samoa, 2011)
    for _ in range(HORIZON_DAYS):
        if _is_day(rule, start.date(), day):
            for at in times.on(day):
                moment = moment_of(datetime.combine(day, at), zone)
                if moment > floor:
                    return moment
        if day == date.max:
            return None
        day += timedelta(days=1)
    return None


@dataclass(frozen=True)
class _Times:
    """Times of day by the remainder that their minute (or hour) leaves when counted in intervals; one entry, 0, when days count."""

    first: date
    interval: int
    units: int  # minutes or hours a day; 0 when days count
    offset: int  # of the start in its day, in units
    by_rest: dict[int, tuple[time, ...]]

    def on(self, day: date) -> tuple[time, ...]:
        rest = (self.offset - (day - self.first).days * self.units) % self.interval if self.units else 0
        return self.by_rest.get(rest, ())


def _times(rule: Recurrence, start: datetime) -> _Times:
    every_hour, every_minute = rule.frequency in SECONDS, rule.frequency == "Minute"
    hours = rule.hours or (tuple(range(24)) if every_hour else (start.hour,))
    minutes = rule.minutes or (tuple(range(60)) if every_minute else (start.minute,))
    second = 0 if rule.hours or rule.minutes else start.second
    found = [time(hour, minute, second) for hour in sorted(set(hours)) for minute in sorted(set(minutes))]
    if not every_hour:
        return _Times(start.date(), rule.interval, 0, 0, {0: tuple(found)})

    def unit(at: time | datetime) -> int:
        return at.hour * 60 + at.minute if every_minute else at.hour

    by_rest: dict[int, list[time]] = {}
    for at in found:
        by_rest.setdefault(unit(at) % rule.interval, []).append(at)
    return _Times(start.date(), rule.interval, 1440 if every_minute else 24, unit(start), {rest: tuple(some) for rest, some in by_rest.items()})


def _is_day(rule: Recurrence, first: date, day: date) -> bool:
    if rule.week_days and day.weekday() not in rule.week_days:
        return False
    if rule.month_days and day.day not in rule.month_days:
        return False
    if rule.frequency == "Day":
        return (day - first).days % rule.interval == 0
    if rule.frequency == "Week":
        weeks = (_monday(day) - _monday(first)).days // 7
        return weeks % rule.interval == 0 and (bool(rule.week_days) or bool(rule.month_days) or day.weekday() == first.weekday())
    if rule.frequency == "Month":
        if ((day.year - first.year) * 12 + day.month - first.month) % rule.interval:
            return False
        # Started on the 31st: on the last day of shorter months.
        return bool(rule.week_days or rule.month_days) or day.day == min(first.day, calendar.monthrange(day.year, day.month)[1])
    return True


def _monday(day: date) -> date:
    return date.fromordinal(max(1, day.toordinal() - day.weekday()))
