"""Schedules over ARM: lists, history, trigger. What their clock does is tests/orchestration/test_schedules.py."""

from __future__ import annotations

import pytest

from lazward.contract.ids import ML
from tests.control_plane import Plane, versioned
from tests.make import CURATED, KINDS

BODY = KINDS["workspaces/schedules"].body


def names(plane: Plane, path: str) -> list[str]:
    return [doc["name"] for doc in plane.get(path)["value"]]


@pytest.fixture
def home(plane: Plane) -> str:
    return plane.workspace()


def schedule(plane: Plane, home: str, name: str = "s", **properties) -> dict:
    body = BODY(home)
    made = plane.put(f"{home}/schedules/{name}", {"properties": {**body["properties"], **properties}})
    plane.settle()
    return made


def trigger(plane: Plane, home: str, name: str = "s", body: dict | None = None, **more):
    return plane.send("POST", versioned(f"{home}/schedules/{name}/trigger"), {} if body is None else body, **more)


class TestLists:
    def test_views(self, plane: Plane, home: str):
        schedule(plane, home, "on")
        schedule(plane, home, "off", isEnabled=False)
        for query, expected in (
            ("", ["on"]), ("?listViewType=EnabledOnly", ["on"]), ("?listViewType=disabledonly", ["off"]), ("?listViewType=All", ["on", "off"]), ("?listViewType=All&$top=1", ["on"]),
        ):
            assert names(plane, f"{home}/schedules{query}") == expected, query
        answer = plane.send("GET", versioned(f"{home}/schedules?listViewType=ActiveOnly"))
        assert answer.status == 400 and answer.error["target"] == "listViewType" and "EnabledOnly, DisabledOnly, All" in answer.error["message"]

    def test_history(self, plane: Plane, home: str):
        plane.put(f"{home}/jobs/byhand", {"properties": {"jobType": "Command", "command": "x", "environmentId": CURATED}})
        for name in ("one", "two"):
            schedule(plane, home, name)
        first, second = (trigger(plane, home, name).json["submissionId"] for name in ("one", "two"))
        for query, expected in (
            ("scheduled=true", [second, first]), ("scheduleId=one", [first]), ("scheduled=true&scheduleId=TWO", [second]), ("scheduleId=none", []),
            (f"scheduleId={home}/schedules/one", [first]), ("properties=azureml.scheduleName=two", [second]),
        ):
            assert names(plane, f"{home}/jobs?{query}") == expected, query


class TestTrigger:
    def test_answers_as_the_sdk_reads(self, plane: Plane, home: str):
        schedule(plane, home)
        answer = trigger(plane, home, body={"scheduleTime": "2027-01-15T08:00:00.250000+00:00"})
        assert (answer.status, answer.json) == (200, {"submissionId": "s-20270115T080000250000Z", "jobName": "s-20270115T080000250000Z", "scheduleActionType": "CreateJob"})
        assert plane.get(f"{home}/jobs/s-20270115T080000250000Z")["properties"]["properties"]["lazward.triggeredBy"] == "owner"

    def test_said_again_it_is_the_same_run(self, plane: Plane, home: str):
        schedule(plane, home)
        both = [trigger(plane, home, body={"scheduleTime": "2027-01-15T09:00:00Z"}).json for _ in range(2)]
        assert both[0] == both[1] and names(plane, f"{home}/jobs") == [both[0]["submissionId"]]

    def test_a_disabled_one_too(self, plane: Plane, home: str):
        schedule(plane, home, isEnabled=False)
        assert trigger(plane, home).status == 200

    def test_what_cannot_run_yet(self, plane: Plane, home: str):
        schedule(plane, home, isEnabled=False, action={"actionType": "CreateMonitor", "monitorDefinition": {}})
        assert trigger(plane, home).status == 501

    @pytest.mark.parametrize("time", ["soon", "", 5, "0001-01-01T00:00:00Z", ["x"]])
    def test_a_time_that_is_none(self, plane: Plane, home: str, time):
        schedule(plane, home)
        answer = trigger(plane, home, body={"scheduleTime": time})
        assert answer.status == 400 and answer.error["target"] == "scheduleTime"
        assert names(plane, f"{home}/jobs") == []

    def test_takes_the_right_to_write_schedules(self, plane: Plane, home: str):
        schedule(plane, home)
        plane.authority.rights["reader"] = [(f"{ML}/workspaces/*/read", "/")]
        plane.authority.rights["writer"] = [(f"{ML}/workspaces/*/read", "/"), (f"{ML}/workspaces/schedules/write", "/")]
        assert trigger(plane, home, token="reader").status == 403
        answer = trigger(plane, home, token="writer")
        assert answer.status == 200
        assert plane.get(f"{home}/jobs/{answer.json['jobName']}")["systemData"]["createdBy"] == "owner"

    def test_who_lost_the_right_to_submit_lends_no_name(self, plane: Plane, home: str):
        plane.authority.rights["passing"] = [("*", "/")]
        plane.put(f"{home}/schedules/s", BODY(home), token="passing")
        plane.authority.rights["passing"] = [(f"{ML}/workspaces/*/read", "/")]
        answer = trigger(plane, home)
        assert answer.status == 403 and "'passing'" in answer.error["message"]
        assert names(plane, f"{home}/jobs") == []


def test_what_was_refused_left_nothing(plane: Plane, home: str):
    body = BODY(home)
    body["properties"]["action"]["jobDefinition"]["environmentId"] = f"{home}/environments/none/versions/1"
    answer = plane.send("PUT", versioned(f"{home}/schedules/s"), body)
    assert (answer.status, answer.error["target"]) == (400, "properties.action.jobDefinition.environmentId")
    assert names(plane, f"{home}/schedules?listViewType=All") == [] and names(plane, f"{home}/jobs") == []
