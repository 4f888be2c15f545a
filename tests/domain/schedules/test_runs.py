from __future__ import annotations

import pytest

from lazward.domain.schedules.runs import copied, job_properties, stamp


@pytest.mark.parametrize(("moment", "text"), [(1_800_000_000, "20270115T080000Z"), (1_800_000_000.0, "20270115T080000Z"), (1_800_000_000.25, "20270115T080000250000Z")])
def test_the_time_in_a_name(moment, text):
    assert stamp(moment) == text


SUBMITTED = {
    "jobType": "Command", "command": "echo", "status": "Failed", "error": {"code": "x"}, "exit": {"code": 1}, "isArchived": True, "displayName": "first", "startTimeUtc": "t", "parameters": {},
    "outputs": {"default": {"uri": "azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.first"}, "a": {"uri": "azureml://datastores/workspaceblobstore/paths/azureml/first/a/", "mode": "Upload"}},
    "services": {"Tracking": {"endpoint": "e"}, "Studio": {"endpoint": "e"}, "nb": {"jobServiceType": "JupyterLab", "port": 1, "status": "Stopped", "endpoint": "gone"}},
    "properties": {"x": "y", "azureml.scheduleId": "old", "azureml.scheduleName": "old", "azureml.scheduledTime": "old"}, "tags": {"a": "1"}, "settings": {"force_rerun": True},
}


class TestCopied:
    def test_what_the_run_added_is_left_behind(self):
        assert copied(SUBMITTED, "first", {}) == {
            "jobType": "Command", "command": "echo", "outputs": {"a": {"mode": "Upload"}}, "services": {"nb": {"jobServiceType": "JupyterLab", "port": 1}},
            "properties": {"x": "y"}, "tags": {"a": "1"}, "settings": {"force_rerun": True},
        }

    def test_changes_are_merged_by_name_and_what_is_empty_says_nothing(self):
        said = {"jobType": "Pipeline", "sourceJobId": "first", "experimentName": "", "tags": {"b": "2"}, "settings": {"force_rerun": False}, "command": None, "computeId": "c", "inputs": {"i": {"value": 1}}}
        made = copied(SUBMITTED, "first", said)
        assert (made["jobType"], made["command"], made["computeId"]) == ("Command", "echo", "c")
        assert (made["tags"], made["settings"], made["inputs"]) == ({"a": "1", "b": "2"}, {"force_rerun": False}, {"i": {"value": 1}})
        assert "experimentName" not in made and "sourceJobId" not in made

    def test_the_source_is_left_as_it_was(self):
        made = copied(SUBMITTED, "first", {})
        made["tags"]["z"] = "z"
        assert "z" not in SUBMITTED["tags"]


def test_a_run_has_name_time_and_tags_of_its_own():
    definition = {"jobType": "Command", "sourceJobId": "x", "displayName": "d", "inputs": {"i": {"value": "${{name}}"}, "n": {"value": 5}}, "outputs": {"o": {"uri": "p/${{creation_context.trigger_time}}/"}, "q": None}}
    made = job_properties(definition, "s-1", ("/ID", "s"), 1_800_000_000, {"t": "1"})
    assert made == {
        "jobType": "Command", "displayName": "s-1", "inputs": {"i": {"value": "s-1"}, "n": {"value": 5}}, "outputs": {"o": {"uri": "p/2027-01-15T08:00:00Z/"}, "q": None}, "tags": {"t": "1"},
        "properties": {"azureml.scheduleId": "/ID", "azureml.scheduleName": "s", "azureml.scheduledTime": "2027-01-15T08:00:00Z"},
    }
    assert definition["displayName"] == "d"
