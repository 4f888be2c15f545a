# ruff: noqa: DTZ001 - what wall clocks show has no zone

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from azure.ai.ml.constants import TimeZone
from azure.ai.ml.entities import CronTrigger, RecurrencePattern, RecurrenceTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.schedules.trigger import last_between, next_after, read_trigger

NOW = 1_800_000_000.25  # 2027-01-15 08:00:00 UTC


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def sent(trigger) -> dict:
    """As the SDK puts it on the wire."""
    from azure.ai.ml._restclient.arm_ml_service._utils.model_base import SdkJSONEncoder

    return json.loads(json.dumps(trigger._to_rest_object(), cls=SdkJSONEncoder, exclude_readonly=True))


def cron(expression: str = "0 * * * *", **more) -> dict:
    return {"triggerType": "Cron", "expression": expression, **more}


def recurring(frequency: str = "Day", interval: int = 1, **more) -> dict:
    return {"triggerType": "Recurrence", "frequency": frequency, "interval": interval, **more}


class TestAsTheSdkSends:
    def test_cron_with_a_windows_zone_and_datetimes(self):
        doc = sent(CronTrigger(expression="15 10 * * *", start_time=datetime(2027, 2, 1), end_time=datetime(2027, 2, 1, 12), time_zone="Eastern Standard Time"))
        trigger = read_trigger(doc, NOW)
        assert next_after(trigger, NOW) == at("2027-02-01T15:15:00")
        assert next_after(trigger, at("2027-02-01T15:15:00")) is None

    def test_a_recurrence_with_a_pattern(self):
        pattern = RecurrencePattern(hours=10, minutes=[0, 1], week_days=["monday"])
        trigger = read_trigger(sent(RecurrenceTrigger(frequency="week", interval=1, schedule=pattern, time_zone=TimeZone.UTC)), NOW)
        first = next_after(trigger, NOW)
        assert [first, next_after(trigger, first)] == [at("2027-01-18T10:00:00"), at("2027-01-18T10:01:00")]

    def test_a_recurrence_without_start_and_pattern_begins_at_once(self):
        trigger = read_trigger(sent(RecurrenceTrigger(frequency="minute", interval=5)), NOW)
        assert next_after(trigger, NOW - 1) == 1_800_000_000
        assert next_after(trigger, NOW) == 1_800_000_300

    def test_a_start_in_the_past_counts_on_from_there(self):
        trigger = read_trigger(sent(RecurrenceTrigger(frequency="hour", interval=5, start_time="2027-01-15T00:30:00")), NOW)
        assert next_after(trigger, NOW) == at("2027-01-15T10:30:00")


class TestTimes:
    @pytest.mark.parametrize("text", ["2027-02-01T10:00:00", "2027-02-01 10:00:00", "2027-02-01T10:00:00.75", "2027-02-01T18:00:00Z", "2027-02-01T19:00:00+01:00"])
    def test_spellings(self, text):
        assert read_trigger(cron(startTime=text, timeZone="Pacific Standard Time"), NOW).begin == at("2027-02-01T18:00:00")

    @pytest.mark.parametrize(("doc", "target"), [
        (cron(startTime="tomorrow"), "startTime"), (cron(endTime="2027-13-01T00:00:00"), "endTime"), (cron(startTime="0001-01-01T00:00:00"), "startTime"),
        (cron(endTime="9999-12-31T23:59:59"), "endTime"), (cron(startTime="2027-02-02T00:00:00", endTime="2027-02-01T00:00:00"), "endTime"), (cron(endTime="2026-01-01T00:00:00"), "endTime"),
        (cron(timeZone="Nowhere"), "timeZone"), (cron("61 * * * *"), "expression"), ({"triggerType": "Cron"}, "expression"), ({"triggerType": "Once"}, "triggerType"),
        (recurring("Year"), "frequency"), (recurring(interval=0), "interval"), (recurring(interval=None), "interval"), (recurring(interval=10**9), "interval"),
        (recurring(schedule={"hours": [24]}), "schedule.hours"), (recurring(schedule={"minutes": [-1]}), "schedule.minutes"), (recurring(schedule={"monthDays": [0]}), "schedule.monthDays"),
        (recurring(schedule={"weekDays": ["Someday"]}), "schedule.weekDays"),
    ])
    def test_faults_name_the_member(self, doc, target):
        with pytest.raises(ArmError) as raised:
            read_trigger(doc, NOW)
        assert (raised.value.status, raised.value.target) == (400, f"properties.trigger.{target}")


DOCS = st.one_of(
    st.sampled_from(["0 * * * *", "*/7 3 * * *", "30 2 * * *", "0 0 29 2 *", "5 4 * * 1-5"]).map(cron),
    st.builds(recurring, st.sampled_from(["Minute", "Hour", "Day", "Week", "Month"]), st.integers(1, 9)),
    st.builds(lambda f, h, m: recurring(f, 1, schedule={"hours": h, "minutes": m}), st.sampled_from(["Minute", "Hour", "Day", "Week", "Month"]),
              st.lists(st.integers(0, 23), max_size=2), st.lists(st.integers(0, 59), max_size=2)),
)


class TestTheLastOne:
    @settings(max_examples=100, deadline=None)
    @given(DOCS, st.integers(1_600_000_000, 1_900_000_000), st.integers(0, 300_000), st.sampled_from(["UTC", "W. Europe Standard Time", "Lord Howe Standard Time"]))
    def test_is_that_before_the_next(self, doc, after, seconds, zone):
        trigger = read_trigger({**doc, "timeZone": zone, "startTime": "2020-01-01T00:00:00"}, after)
        expected, moment, seen = None, next_after(trigger, after), 0
        while moment is not None and moment <= after + seconds and seen < 400:
            expected, moment, seen = moment, next_after(trigger, moment), seen + 1
        if seen < 400:
            assert last_between(trigger, after, after + seconds) == expected

    def test_of_years_is_found_at_once(self):
        trigger = read_trigger(recurring("Minute", startTime="1990-01-01T00:00:00"), NOW)
        assert last_between(trigger, 700_000_000, NOW) == 1_800_000_000
