import pytest

from lazward.contract.errors import ArmError
from lazward.domain.schedules.events import Event, check_trigger, lookup_of, matches, said_of, values_of

MODEL = Event("ModelRegistered", "/x/models/Churn-eu/versions/3", "Churn-eu", "3")


class TestTrigger:
    def test_is_spelled_as_we_do(self):
        doc = {"triggerType": "Event", "eventType": "modelregistered", "name": "churn-*", "schedule": None, "startTime": None}
        check_trigger(doc)
        assert doc["eventType"] == "ModelRegistered"

    @pytest.mark.parametrize(("doc", "member"), [
        ({}, "eventType"), ({"eventType": "Rain"}, "eventType"), ({"eventType": "RunCompleted", "expression": "0 * * * *"}, "expression"),
        ({"eventType": "RunCompleted", "endTime": "2027-01-01"}, "endTime"), ({"eventType": "ModelRegistered", "experimentName": "e"}, "experimentName"),
    ])
    def test_faults(self, doc, member):
        with pytest.raises(ArmError) as told:
            check_trigger(doc)
        assert told.value.target == f"properties.trigger.{member}"

    @pytest.mark.parametrize(("enabled", "kind", "expected"), [(True, "Event", "event:RunFailed"), (False, "Event", None), (True, "Cron", None)])
    def test_is_found_while_it_is_enabled(self, enabled, kind, expected):
        assert lookup_of({"properties": {"isEnabled": enabled, "trigger": {"triggerType": kind, "eventType": "RunFailed"}}}) == expected


@pytest.mark.parametrize(("wanted", "fits"), [
    ({}, True), ({"name": "*"}, True), ({"name": "churn-*"}, True), ({"name": "churn-??"}, True), ({"name": "churn"}, False), ({"name": "[c]hurn-eu"}, True), ({"eventType": "DataVersionAdded"}, False),
    ({"experimentName": "e"}, False),
])
def test_whether_it_is_meant(wanted, fits):
    assert matches({"eventType": "ModelRegistered", **wanted}, MODEL) is fits


def test_an_experiment_is_meant_whatever_its_case():
    assert matches({"eventType": "RunCompleted", "experimentName": "Train"}, Event("RunCompleted", "/j", "j", experiment="train"))


def test_what_is_said_of_it():
    assert said_of(MODEL) == {"type": "ModelRegistered", "id": MODEL.id, "name": "Churn-eu", "version": "3"}
    assert values_of(MODEL)["${{event.name}}"] == "Churn-eu"
    assert values_of(None) == {}
