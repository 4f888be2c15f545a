from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.jobs.again import like, merged, new_name, relaunched

STORE = "azureml://datastores/workspaceblobstore/paths"
COMMAND = {
    "jobType": "Command", "command": "python train.py --lr ${{inputs.lr}}", "environmentId": "/e/1", "codeId": "/c/1", "computeId": "cpu", "displayName": "first", "experimentName": "exp",
    "status": "Failed", "error": {"code": "x"}, "exit": {"code": 1}, "attempts": [{"attempt": 1}], "startTimeUtc": "t", "endTimeUtc": "t", "isArchived": True, "parameters": {"lr": "0.1"},
    "waitingFor": "x", "provisioningState": "Succeeded",
    "inputs": {"lr": {"jobInputType": "literal", "value": "0.1"}, "data": {"jobInputType": "uri_folder", "uri": "azureml:d:1", "mode": "Download"}},
    "outputs": {
        "default": {"uri": "x"}, "o": {"jobOutputType": "uri_folder", "uri": f"{STORE}/azureml/first/o/", "mode": "Upload"},
        "of_its_pipeline": {"jobOutputType": "uri_folder", "uri": f"{STORE}/azureml/p/final/"}, "chosen": {"uri": f"{STORE}/mine/here/"},
        "made": {"assetName": "model", "assetVersion": "4", "uri": f"{STORE}/azureml/first/made"},
    },
    "services": {"Tracking": {"endpoint": "e"}, "nb": {"jobServiceType": "JupyterLab", "port": 1, "status": "Stopped", "endpoint": "gone"}},
    "properties": {"mine": "1", "mlflow.source.git.commit": "c0ffee", "ContentSnapshotId": "c", "azureml.nodeid": "n", "azureml.pipeline.control.x": "{}", "lazward.relaunchedFrom": "zeroth", "hyperparameters": "{}"},
    "tags": {"team": "a", "early_terminated": "true"}, "environmentVariables": {"A": "1", "B": "2"}, "resources": {"instanceCount": 1, "properties": {"cores": "1"}}, "limits": {"jobLimitsType": "Command", "timeout": "PT1H"},
}
SWEEP = {
    "jobType": "Sweep", "trial": {"command": "echo", "environmentId": "/e/1", "environmentVariables": {"A": "1"}}, "searchSpace": {"lr": ["uniform", [0, 1]]}, "limits": {"maxTotalTrials": 4},
    "inputs": {"n": {"jobInputType": "literal", "value": "1"}}, "properties": {"best_child_run_id": "t", "score": "1", "lazward.paretoFront": "[]"},
}
PIPELINE = {
    "jobType": "Pipeline", "inputs": {}, "settings": {"force_rerun": False},
    "jobs": {"train": {"componentId": "/x", "inputs": {"lr": {"job_input_type": "literal", "value": "${{parent.inputs.lr}}"}, "n": {"job_input_type": "literal", "value": "3"}}}},
}


def refusal(source: dict, changes: object) -> ArmError:
    with pytest.raises(ArmError) as caught:
        relaunched(source, "first", changes)
    assert caught.value.status == 400
    return caught.value


class TestLike:
    def test_only_what_somebody_submitted_is_left(self):
        made = like(COMMAND, "first")
        assert made == {
            "jobType": "Command", "command": COMMAND["command"], "environmentId": "/e/1", "codeId": "/c/1", "computeId": "cpu", "experimentName": "exp", "inputs": COMMAND["inputs"],
            "outputs": {
                "o": {"jobOutputType": "uri_folder", "mode": "Upload"}, "of_its_pipeline": {"jobOutputType": "uri_folder"}, "chosen": {"uri": f"{STORE}/mine/here/"}, "made": {"assetName": "model"},
            },
            "services": {"nb": {"jobServiceType": "JupyterLab", "port": 1}}, "properties": {"mine": "1", "mlflow.source.git.commit": "c0ffee"}, "tags": {"team": "a"},
            "environmentVariables": {"A": "1", "B": "2"}, "resources": COMMAND["resources"], "limits": COMMAND["limits"],
        }

    def test_a_display_name_that_somebody_gave_stays(self):
        assert like(COMMAND | {"displayName": "mine"}, "first")["displayName"] == "mine"

    def test_the_source_is_left_as_it_was(self):
        before = copy.deepcopy(COMMAND)
        made = like(COMMAND, "first")
        made["inputs"]["lr"]["value"] = made["outputs"]["chosen"]["uri"] = "z"
        relaunched(COMMAND, "first", {"inputs": {"lr": 5}, "tags": {"team": None}, "resources": {"properties": {"cores": 2}}, "environmentVariables": {"A": None}})
        assert before == COMMAND


class TestRelaunch:
    def test_says_from_what(self):
        assert relaunched(COMMAND, "first", {})["properties"]["lazward.relaunchedFrom"] == "first"

    @pytest.mark.parametrize(("value", "text"), [(0.01, "0.01"), ("x", "x"), (True, "true"), (3, "3"), (1e-5, "1e-05")])
    def test_a_literal(self, value: object, text: str):
        assert relaunched(COMMAND, "first", {"inputs": {"lr": value}})["inputs"]["lr"] == {"jobInputType": "literal", "value": text}

    def test_data_by_its_uri_or_as_an_object(self):
        assert relaunched(COMMAND, "first", {"inputs": {"data": "azureml:d:2"}})["inputs"]["data"] == {"jobInputType": "uri_folder", "uri": "azureml:d:2", "mode": "Download"}
        assert relaunched(COMMAND, "first", {"inputs": {"data": {"mode": "Direct"}}})["inputs"]["data"]["uri"] == "azureml:d:1"
        assert "data" not in relaunched(COMMAND, "first", {"inputs": {"data": None}})["inputs"]

    def test_other_members_are_merged(self):
        made = relaunched(COMMAND, "first", {
            "displayName": "second", "experimentName": "other", "compute": "gpu", "tags": {"b": "2"}, "environmentVariables": {"A": None, "C": "3"},
            "resources": {"properties": {"memory": "4Gi"}}, "limits": {"timeout": None}, "outputs": {"o": {"uri": "u"}}, "queueSettings": {"jobTier": "Spot"}, "name": "n",
        })
        assert (made["displayName"], made["experimentName"], made["computeId"], made["tags"]) == ("second", "other", "gpu", {"team": "a", "b": "2"})
        assert made["environmentVariables"] == {"B": "2", "C": "3"}
        assert made["resources"] == {"instanceCount": 1, "properties": {"cores": "1", "memory": "4Gi"}}
        assert made["limits"] == {"jobLimitsType": "Command"}
        assert made["outputs"]["o"] == {"jobOutputType": "uri_folder", "mode": "Upload", "uri": "u"}
        assert made["queueSettings"] == {"jobTier": "Spot"} and "name" not in made

    def test_what_trials_run_is_in_the_trial(self):
        made = relaunched(SWEEP, "first", {"environmentVariables": {"B": "2"}, "command": "ls", "limits": {"maxTotalTrials": 9}, "searchSpace": {"lr": ["uniform", [0, 2]]}})
        assert made["trial"] == {"command": "ls", "environmentId": "/e/1", "environmentVariables": {"A": "1", "B": "2"}}
        assert (made["limits"], made["searchSpace"]) == ({"maxTotalTrials": 9}, {"lr": ["uniform", [0, 2]]})
        assert made["properties"] == {"lazward.relaunchedFrom": "first"}

    def test_nodes_of_a_pipeline(self):
        made = relaunched(PIPELINE, "first", {"jobs": {"train": {"inputs": {"lr": 0.5, "n": None}, "compute": "x"}}, "settings": {"force_rerun": True}})
        assert made["jobs"]["train"] == {"componentId": "/x", "compute": "x", "inputs": {"lr": {"job_input_type": "literal", "value": "0.5"}}}
        assert made["settings"] == {"force_rerun": True}

    @pytest.mark.parametrize(("source", "changes", "target", "says"), [
        (COMMAND, {"inputs": {"lrr": 1}}, "inputs.lrr", "did you mean 'lr'"),
        (COMMAND, {"inputs": {"zzzz": 1}}, "inputs.zzzz", "it has data, lr"),
        (COMMAND, {"inputs": [1]}, "inputs", "object"),
        (COMMAND, {"inputs": {"lr": [1]}}, "inputs.lr", "literal"),
        (COMMAND, {"inputs": {"data": 5}}, "inputs.data", "uri"),
        (SWEEP, {"inputs": {"lr": 1}}, "inputs.lr", "searchSpace.lr"),
        (COMMAND, {"input": {}}, "input", "did you mean 'inputs'"),
        (COMMAND, {"jobType": "Sweep"}, "jobType", "cannot change"),
        (COMMAND, {"tags": "a"}, "tags", "object"),
        (COMMAND, {"displayName": 5}, "displayName", "text"),
        (COMMAND, {"jobs": {"a": {}}}, "jobs.a", "no node 'a'"),
        (PIPELINE, {"jobs": {"tran": {}}}, "jobs.tran", "did you mean 'train'"),
        (PIPELINE, {"jobs": {"train": 5}}, "jobs.train", "object"),
        (PIPELINE, {"jobs": {"train": {"inputs": 5}}}, "jobs.train.inputs", "object"),
        (PIPELINE, {"jobs": {"train": {"inputs": {"n": [1]}}}}, "jobs.train.inputs.n", "literal"),
        (PIPELINE, {"jobs": []}, "jobs", "object"),
        (COMMAND, [], "body", "JSON object"),
    ])
    def test_what_cannot_be_names_its_member(self, source: dict, changes: object, target: str, says: str):
        error = refusal(source, changes)
        assert error.target == target
        assert says in error.message

    def test_every_fault_at_once(self):
        error = refusal(COMMAND, {"inputs": {"a": 1, "b": 2}, "tags": 5})
        assert [detail.target for detail in error.details] == ["inputs.a", "inputs.b", "tags"]


def test_the_new_name():
    assert new_name({}, "d") == new_name({"name": None}, "d") == "d"
    assert new_name({"name": "n"}, "d") == "n"
    for wrong in ("", 5):
        with pytest.raises(ArmError) as caught:
            new_name({"name": wrong}, "d")
        assert caught.value.target == "name"


values = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)


@given(values, values)
def test_a_merge_said_twice_is_said_once(old: object, change: object):
    once = merged(old, change)
    assert merged(once, change) == once
    if isinstance(once, dict):
        assert None not in once.values() or not isinstance(change, dict) or (isinstance(old, dict) and None in old.values())
