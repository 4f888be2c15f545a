# ruff: noqa: DTZ001 - what wall clocks show has no zone
from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.schedules.cron import check_cron, next_time
from lazward.domain.schedules.zones import moment_of, wall_clock

BERLIN, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")


def shown(expression: str, after: str, count: int, zone: ZoneInfo = UTC) -> list[str]:
    moment, out = moment_of(datetime.fromisoformat(after), zone), []
    while len(out) < count and (moment := next_time(expression, zone, moment)) is not None:
        out.append(datetime.fromtimestamp(moment, zone).isoformat(sep=" ", timespec="minutes"))
    return out


class TestExpressions:
    def test_the_hour(self):
        assert shown("0 * * * *", "2026-01-01 10:30", 2) == ["2026-01-01 11:00+00:00", "2026-01-01 12:00+00:00"]

    def test_the_time_itself_is_not_after_it(self):
        assert shown("15 10 * * *", "2026-01-01 10:15", 1) == ["2026-01-02 10:15+00:00"]

    def test_both_days_must_fit(self):
        assert shown("0 0 13 * 5", "2026-01-01", 3) == ["2026-02-13 00:00+00:00", "2026-03-13 00:00+00:00", "2026-11-13 00:00+00:00"]

    def test_sunday_is_0_and_7(self):
        assert shown("0 0 * * 0", "2026-01-01", 1) == shown("0 0 * * 7", "2026-01-01", 1) == shown("0 0 * * SUN", "2026-01-01", 1) == ["2026-01-04 00:00+00:00"]

    @pytest.mark.parametrize("expression", [
        "", "* * * *", "0 * * * * *", "60 * * * *", "0 24 * * *", "0 0 30 2 *", "5-1 * * * *", "*/0 * * * *", "0 0 * * 1#2/3", "0 0 * * 1#6", "@daily", "a b c d e", "²² * * * *",
        "0 * * * *\0", "1," * 500 + "1 * * * *",
    ])
    def test_what_is_none_names_the_member(self, expression):
        with pytest.raises(ArmError) as raised:
            check_cron(expression, "properties.trigger.expression")
        assert (raised.value.status, raised.value.target) == (400, "properties.trigger.expression")

    def test_what_never_comes(self):
        assert next_time("0 0 29 2 1#5", UTC, moment_of(datetime(2026, 1, 1), UTC)) is not None
        assert next_time("0 0 28 2 1#5", UTC, moment_of(datetime(2026, 1, 1), UTC)) is None


class TestClockChanges:
    def test_what_the_change_skips_runs_when_the_clock_moved_on(self):
        assert shown("30 2 * * *", "2026-03-28 12:00", 2, BERLIN) == ["2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"]

    def test_what_the_change_repeats_runs_once(self):
        assert shown("30 2 * * *", "2026-10-24 12:00", 2, BERLIN) == ["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"]
        second = moment_of(datetime(2026, 10, 25, 2, 10), BERLIN) + 3600  # when clocks show 2:10 again
        assert wall_clock(next_time("30 2 * * *", BERLIN, second), BERLIN) == datetime(2026, 10, 26, 2, 30)

    def test_with_a_star_time_goes_on(self):
        assert shown("0 * * * *", "2026-10-25 01:30", 3, BERLIN) == ["2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"]


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "*/7", "5,35", "10-20"]), st.sampled_from(["*", "3", "*/5", "1,2", "22-23"]), st.sampled_from(["*", "1", "31", "*/10"]),
    st.sampled_from(["*", "2", "*/3"]), st.sampled_from(["*", "1", "1-5", "0,6"]),
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(FIELDS, st.integers(1_577_836_800, 1_893_456_000), st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "UTC"]))
def test_times_go_forward_and_do_not_depend_on_where_one_looks_from(expression, floor, zone):
    place = ZoneInfo(zone)
    try:
        check_cron(expression, "t")
    except ArmError:
        return
    moment = next_time(expression, place, floor)
    if moment is None:
        return
    assert moment > floor and next_time(expression, place, (floor + moment) // 2 if moment - floor > 1 else floor) == moment
    wall = wall_clock(moment, place)
    assert wall.second == 0
    if wall_clock(moment - 1, place) == wall - timedelta(seconds=1) and expression.split()[4] == "1":
        assert wall.weekday() == 0
