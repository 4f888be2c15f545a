from __future__ import annotations

import copy

import pytest

from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.contract.ids import parse
from lazward.domain.resource import PRIVATE, WriteContext
from lazward.domain.resources.schedules import fill_schedule, said

CRON = {"triggerType": "Cron", "expression": "0 * * * *"}
JOB = {"actionType": "CreateJob", "jobDefinition": {"jobType": "Command"}}


def filled(properties: dict, old: dict | None = None, *, name: str = "s", who: str = "a", now: float = 1_800_000_000.5) -> dict:
    rid = parse(f"/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/schedules/{name}")
    new = {"properties": {"trigger": CRON, "action": JOB, **copy.deepcopy(properties)}}
    new["properties"] = copy.deepcopy(new["properties"])
    fill_schedule(new, old, WriteContext(rid, Caller(id=who, name=who), now, "https://h", "https://g", "local", lambda: "guid"))
    return new


class TestFaultsNameTheMember:
    @pytest.mark.parametrize(("properties", "status", "target"), [
        ({"trigger": {"triggerType": "Once"}}, 400, "properties.trigger.triggerType"), ({"trigger": {**CRON, "timeZone": "Mars"}}, 400, "properties.trigger.timeZone"),
        ({"trigger": {**CRON, "expression": "x"}}, 400, "properties.trigger.expression"), ({"action": {"actionType": "Dance"}}, 400, "properties.action.actionType"),
        ({"action": {"actionType": "CreateJob"}}, 400, "properties.action.jobDefinition"), ({"action": {"actionType": "CreateJob", "jobDefinition": {"x": 1}}}, 400, "properties.action.jobDefinition.jobType"),
        ({"action": {"actionType": "CreateJob", "jobDefinition": {"jobType": "Pipeline", "sourceJobId": 5}}}, 400, "properties.action.jobDefinition.sourceJobId"),
        ({"action": {"actionType": "CreateMonitor"}}, 501, None), ({"action": {"actionType": "ImportData"}, "isEnabled": True}, 501, None), ({"action": {"actionType": "invokeBatchEndpoint"}}, 501, None),
    ])
    def test_it(self, properties, status, target):
        with pytest.raises(ArmError) as raised:
            filled(properties)
        assert (raised.value.status, raised.value.target) == (status, target)

    @pytest.mark.parametrize("name", ["", "-a", "a b", "a" * 201, "ä"])
    def test_name(self, name):
        with pytest.raises(ArmError) as raised:
            filled({}, name=name or "%")
        assert raised.value.target == "name"


def test_what_cannot_run_yet_can_be_stored_disabled():
    assert filled({"action": {"actionType": "createmonitor", "monitorDefinition": {}}, "isEnabled": False})["properties"]["action"]["actionType"] == "CreateMonitor"


def test_defaults_and_spelling():
    properties = filled({"trigger": {"triggerType": "cron", "expression": "0 * * * *"}, "properties": {"a": "b", "lazward.lastRefusal": "made up"}})["properties"]
    assert properties["isEnabled"] is True and properties["trigger"]["timeZone"] == "UTC" and properties["trigger"]["triggerType"] == "Cron"
    assert properties["properties"] == {"a": "b"}


def test_the_servers_notes_stay_whatever_a_client_sends_back():
    old = filled({})
    old["properties"]["properties"]["lazward.lastRefusal"] = "real"
    assert filled({"properties": {}}, old)["properties"]["properties"] == {"lazward.lastRefusal": "real"}


class TestPrivate:
    def test_an_equal_trigger_and_action_keep_anchor_and_name(self):
        old = filled({})
        again = filled({"description": "new", "trigger": {**CRON, "startTime": None, "timeZone": "UTC"}}, old, who="b", now=1_900_000_000)
        assert again[PRIVATE] == old[PRIVATE] == {"anchor": 1_800_000_000, "runAs": {"id": "a", "name": "a", "kind": "ServicePrincipal", "tenant": ""}}

    def test_others_do_not(self):
        old = filled({})
        assert filled({"trigger": {**CRON, "expression": "1 * * * *"}}, old, now=1_900_000_000)[PRIVATE]["anchor"] == 1_900_000_000
        assert filled({"action": {"actionType": "CreateJob", "jobDefinition": {"jobType": "Command", "command": "x"}}}, old, who="b")[PRIVATE]["runAs"]["id"] == "b"


def test_said():
    assert said({"a": None, "b": "", "c": {}, "d": [], "e": {"f": None}, "g": 0, "h": False, "i": [{"j": None}]}) == {"g": 0, "h": False, "i": [{}]}
