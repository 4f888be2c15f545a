# ruff: noqa: DTZ001 - what wall clocks show has no zone
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from azure.ai.ml.constants import TimeZone
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.schedules.zones import moment_of, wall_clock, zone_of

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Asia/Kathmandu", "UTC"]
WALLS = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1)).map(lambda d: d.replace(microsecond=0))


def at(text: str, zone: str) -> str:
    return datetime.fromtimestamp(moment_of(datetime.fromisoformat(text), ZoneInfo(zone)), UTC).isoformat()


class TestNames:
    @pytest.mark.parametrize("name", [zone.value for zone in TimeZone])
    def test_every_name_of_the_sdk_is_known(self, name):
        assert zone_of(name, "t")

    @pytest.mark.parametrize(("name", "iana"), [
        ("Pacific Standard Time", "America/Los_Angeles"), ("pacific standard time", "America/Los_Angeles"), ("UTC", "Etc/UTC"), ("Europe/Berlin", "Europe/Berlin"), ("UTC-11", "Etc/GMT+11"),
    ])
    def test_windows_and_iana(self, name, iana):
        assert zone_of(name, "t").key == iana

    @pytest.mark.parametrize("name", ["Pacific Standard Tim", "Europe", "../../etc/passwd", "/etc/localtime", "", "x" * 5000, "Mars\0", "posix/../UTC", "\ud800"])
    def test_what_is_none_names_the_member(self, name):
        with pytest.raises(ArmError) as raised:
            zone_of(name, "properties.trigger.timeZone")
        assert (raised.value.status, raised.value.target) == (400, "properties.trigger.timeZone")

    def test_a_near_name_is_offered(self):
        with pytest.raises(ArmError, match="Did you mean 'Pacific Standard Time'"):
            zone_of("Pacific Standart Time", "t")


class TestMoments:
    def test_a_repeated_hour_is_the_first(self):
        assert at("2026-10-25T02:30:00", "Europe/Berlin") == "2026-10-25T00:30:00+00:00"

    def test_a_skipped_time_is_when_the_clock_moves_on(self):
        assert at("2026-03-29T02:00:00", "Europe/Berlin") == at("2026-03-29T02:30:00", "Europe/Berlin") == at("2026-03-29T03:00:00", "Europe/Berlin") == "2026-03-29T01:00:00+00:00"

    def test_a_skipped_day(self):
        assert at("2011-12-30T12:00:00", "Pacific/Apia") == at("2011-12-31T00:00:00", "Pacific/Apia")

    @given(WALLS, st.sampled_from(ZONES))
    def test_clocks_show_it_then_unless_they_skip_it(self, wall, zone):
        moment, place = moment_of(wall, ZoneInfo(zone)), ZoneInfo(zone)
        shown = wall_clock(moment, place)
        assert shown >= wall
        if shown != wall:  # skipped: a second before, clocks show less than what was asked for
            assert wall_clock(moment - 1, place) < wall
        assert all(wall_clock(moment - back, place) != wall for back in (1800, 3600, 7200))

    @given(WALLS, st.integers(0, 200_000), st.sampled_from(ZONES))
    def test_what_is_later_on_the_clock_is_not_earlier(self, wall, seconds, zone):
        place = ZoneInfo(zone)
        assert moment_of(wall, place) <= moment_of(wall + timedelta(seconds=seconds), place)
