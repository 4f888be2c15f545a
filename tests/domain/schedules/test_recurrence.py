"""Against dateutil's rrule, which knows the same recurrences by other names, and against the clock."""

# ruff: noqa: DTZ001 - what wall clocks show has no zone

from __future__ import annotations

import calendar
import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil import rrule
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.domain.schedules.recurrence import Recurrence, next_time
from lazward.domain.schedules.zones import moment_of, wall_clock

UNITS = {"Minute": rrule.MINUTELY, "Hour": rrule.HOURLY, "Day": rrule.DAILY, "Week": rrule.WEEKLY, "Month": rrule.MONTHLY}
ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
BEGINS = st.integers(1_577_836_800, 1_893_456_000)  # 2020 to 2030
FEW = st.lists(st.integers(0, 23), max_size=3, unique=True).map(tuple)
RULES = st.builds(
    Recurrence, st.sampled_from(list(UNITS)), st.integers(1, 40), FEW, st.lists(st.integers(0, 59), max_size=3, unique=True).map(tuple),
    st.lists(st.integers(0, 6), max_size=3, unique=True).map(tuple), st.lists(st.integers(1, 31), max_size=3, unique=True).map(tuple),
)


def times(rule: Recurrence, begin: int, count: int, zone: ZoneInfo = ZONE, after: int | None = None) -> list[int]:
    found, floor = [], begin - 1 if after is None else after
    while len(found) < count and (moment := next_time(rule, zone, begin, floor)) is not None:
        found.append(moment)
        floor = moment
    return found


def shown(rule: Recurrence, begin: str, count: int, zone: ZoneInfo = ZONE) -> list[str]:
    start = moment_of(datetime.fromisoformat(begin), zone)
    return [wall_clock(moment, zone).isoformat(sep=" ", timespec="minutes") for moment in times(rule, start, count, zone)]


def oracle(rule: Recurrence, begin: int) -> rrule.rrule:
    start = datetime.fromtimestamp(begin, UTC).replace(tzinfo=None)
    second = 0 if rule.hours or rule.minutes else start.second
    pattern = {"byhour": rule.hours or None, "byminute": rule.minutes or None, "byweekday": rule.week_days or None, "bymonthday": rule.month_days or None, "bysecond": second}
    if rule.frequency == "Week" and rule.month_days and not rule.week_days:
        pattern["byweekday"] = range(7)
    return rrule.rrule(UNITS[rule.frequency], dtstart=start, interval=rule.interval, wkst=rrule.MO, until=start + timedelta(days=20 if rule.frequency == "Minute" else 60 if rule.frequency == "Hour" else 400), **pattern)


class TestAgainstRrule:
    @settings(max_examples=80, deadline=None)
    @given(RULES, BEGINS)
    def test_the_same_times(self, rule, begin):
        if rule.elapsed:
            begin -= begin % 60  # rrule counts from the minute
        start = datetime.fromtimestamp(begin, UTC)
        if rule.frequency == "Month" and not rule.month_days and not rule.week_days and start.day > 28:
            return  # rrule leaves short months out; see below
        try:
            expected = [calendar.timegm(at.timetuple()) for at in itertools.islice(oracle(rule, begin), 4)]
        except ValueError:  # rrule says so when its interval never meets the pattern
            assert next_time(rule, ZONE, begin, begin - 1) is None
        else:
            assert times(rule, begin, len(expected)) == expected


class TestPatterns:
    def test_weeks_begin_on_monday_and_are_counted_from_that_of_the_start(self):
        rule = Recurrence("Week", 2, (9,), (0,), (0, 6))
        assert shown(rule, "2026-03-04 00:00", 3) == ["2026-03-08 09:00", "2026-03-16 09:00", "2026-03-22 09:00"]

    def test_a_month_without_that_day(self):
        assert shown(Recurrence("Month", 1), "2026-01-31 10:00", 3) == ["2026-01-31 10:00", "2026-02-28 10:00", "2026-03-31 10:00"]
        assert shown(Recurrence("Month", 1, (10,), (0,), (), (31,)), "2026-01-31 00:00", 2) == ["2026-01-31 10:00", "2026-03-31 10:00"]

    def test_nothing_fits(self):
        assert next_time(Recurrence("Minute", 2, (), (1, 3)), ZONE, 0, 0) is None
        assert next_time(Recurrence("Day", 7, (1,), (0,), (0,)), ZONE, 86400, 0) is None  # every seventh day from a Friday, if it is a Monday


class TestClockChanges:
    def test_days_keep_to_the_wall_clock(self):
        assert shown(Recurrence("Day", 1), "2026-03-28 09:30", 3, BERLIN) == ["2026-03-28 09:30", "2026-03-29 09:30", "2026-03-30 09:30"]

    def test_what_the_change_skips_runs_when_the_clock_moved_on_and_only_once(self):
        assert shown(Recurrence("Day", 1, (2,), (0, 15, 30)), "2026-03-28 12:00", 2, BERLIN) == ["2026-03-29 03:00", "2026-03-30 02:00"]

    def test_what_the_change_repeats_runs_once(self):
        start = moment_of(datetime(2026, 10, 25), BERLIN)
        found = times(Recurrence("Day", 1, (2,), (30,)), start, 2, BERLIN)
        assert [datetime.fromtimestamp(m, UTC).isoformat() for m in found] == ["2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"]

    def test_hours_without_a_pattern_are_elapsed_time(self):
        found = times(Recurrence("Hour", 1), moment_of(datetime(2026, 10, 25), BERLIN), 5, BERLIN)
        assert [b - a for a, b in itertools.pairwise(found)] == [3600] * 4

    @settings(max_examples=150, deadline=None)
    @given(RULES, BEGINS, st.integers(0, 10**7), st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Pacific/Apia"]))
    def test_times_go_forward_fit_the_pattern_and_do_not_depend_on_where_one_looks_from(self, rule, begin, later, zone):
        place = ZoneInfo(zone)
        moment = next_time(rule, place, begin, begin + later)
        if moment is None:
            return
        assert moment > begin + later
        assert next_time(rule, place, begin, (begin + later + moment) // 2 if moment - begin - later > 1 else begin + later) == moment
        wall = wall_clock(moment, place)
        if wall_clock(moment - 1, place) == wall - timedelta(seconds=1):  # no clock change just then
            assert wall.hour in (rule.hours or (wall.hour,))
            assert wall.minute in (rule.minutes or (wall.minute,))
            assert wall.weekday() in (rule.week_days or (wall.weekday(),))
            assert wall.day in (rule.month_days or (wall.day,))
