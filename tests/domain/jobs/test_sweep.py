from __future__ import annotations

import copy

import pytest

from lazward.domain.jobs.sweep import KIND
from lazward.domain.sweeps.plan import read_sweep
from lazward.domain.sweeps.trial import command_of, trial_properties

GOOD = {
    "jobType": "Sweep", "displayName": "s", "searchSpace": {"lr": ["uniform", [0, 1]]}, "samplingAlgorithm": {"samplingAlgorithmType": "Random"},
    "objective": {"goal": "Minimize", "primaryMetric": "loss"}, "limits": {"maxTotalTrials": 4, "maxConcurrentTrials": 2, "timeout": "PT1H"},
    "inputs": {"data": {"jobInputType": "uri_file", "uri": "https://x/y"}}, "outputs": {"model": None},
    "trial": {"command": "run ${{inputs.data}} ${{search_space.lr}} ${{inputs.lr}} ${{outputs.model}}", "environmentId": "azureml:e:1"},
}


def faults(**changes) -> dict[str, str]:
    """Place -> message, of GOOD with members (a.b = path) changed."""
    doc = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *above, last = path.split("__")
        inner = doc
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return {f.target: f.message for f in KIND.problems(doc)}


def test_a_good_one_has_none():
    assert faults() == {}


@pytest.mark.parametrize(("change", "place", "words"), [
    ({"searchSpace": {}}, "searchSpace", "at least one parameter"),
    ({"searchSpace": None}, "searchSpace", "at least one parameter"),
    ({"samplingAlgorithm": None}, "samplingAlgorithm.samplingAlgorithmType", "one of Random, Grid, Bayesian"),
    ({"samplingAlgorithm__samplingAlgorithmType": "Annealing"}, "samplingAlgorithm.samplingAlgorithmType", "annealing"),
    ({"samplingAlgorithm__rule": "halton"}, "samplingAlgorithm.rule", "random or sobol"),
    ({"samplingAlgorithm__seed": 1.5}, "samplingAlgorithm.seed", "whole number"),
    ({"samplingAlgorithm__logbase": "x"}, "samplingAlgorithm.logbase", "positive number"),
    ({"samplingAlgorithm__logbase": 1}, "samplingAlgorithm.logbase", "other than 1"),
    ({"samplingAlgorithm__samplingAlgorithmType": "Grid"}, "searchSpace.lr", "Grid sampling goes through lists of values: every parameter is a choice. 'lr' is uniform"),
    ({"objective": None}, "objective.goal", "Minimize or Maximize"),
    ({"objective__goal": "best"}, "objective.goal", "'best'"),
    ({"objective__primaryMetric": ""}, "objective.primaryMetric", "name of the metric"),
    ({"earlyTermination__policyType": "Hope"}, "earlyTermination.policyType", "MedianStopping"),
    ({"earlyTermination": {"policyType": "Bandit", "slackFactor": 0.1, "slackAmount": 0.1}}, "earlyTermination", "not both"),
    ({"earlyTermination": {"policyType": "Bandit", "slackFactor": -1}}, "earlyTermination.slackFactor", "from 0 on"),
    ({"earlyTermination": {"policyType": "MedianStopping", "evaluationInterval": -1}}, "earlyTermination.evaluationInterval", "whole number"),
    ({"earlyTermination": {"policyType": "TruncationSelection"}}, "earlyTermination.truncationPercentage", "between 1 and 99"),
    ({"limits__maxTotalTrials": 0}, "limits.maxTotalTrials", "between 1 and"),
    ({"limits__maxConcurrentTrials": -1}, "limits.maxConcurrentTrials", "between 1 and"),
    ({"limits__timeout": "soon"}, "limits.timeout", "ISO 8601"),
    ({"limits__trialTimeout": "PT0S"}, "limits.trialTimeout", "longer than nothing"),
    ({"trial": None}, "trial", "needs a trial"),
    ({"trial__command": " "}, "trial.command", "needs a command"),
    ({"trial__command": "run ${{search_space.rate}}"}, "trial.command", "no such parameter in its search space"),
    ({"trial__command": "run ${{inputs.rate}}"}, "trial.command", "no such input"),
    ({"trial__command": "run ${{search_space.data}}"}, "trial.command", "no such parameter"),
    ({"trial__environmentId": None}, "trial.environmentId", "needs an environment"),
    ({"trial__environmentVariables": {"A B": "1"}}, "trial.environmentVariables.A B", "not a valid name"),
    ({"trial__resources": {"instanceCount": 0}}, "trial.resources.instanceCount", "between 1 and 1000"),
    ({"trial__distribution": {"distributionType": "magic"}}, "trial.distribution.distributionType", "PyTorch"),
])
def test_faults(change, place, words):
    found = faults(**change)
    assert words in found[f"properties.{place}"], found


def test_all_at_once():
    found = faults(searchSpace={"lr": ["uniform", [1, 0]]}, objective=None, limits={"maxTotalTrials": 0}, trial={"command": "${{search_space.x}} ${{inputs.y}}"}, samplingAlgorithm__rule="x")
    assert set(found) == {f"properties.{p}" for p in (
        "searchSpace.lr.min_value", "objective.goal", "objective.primaryMetric", "limits.maxTotalTrials", "trial.command", "trial.environmentId", "samplingAlgorithm.rule")}


def test_what_only_some_trials_have_stands_in_an_optional_piece():
    space = {"m": ["choice", [[{"depth": ["randint", [3]]}, {"width": 4}]]]}
    assert "no such parameter" in faults(searchSpace=space, trial__command="run ${{search_space.depth}}")["properties.trial.command"]
    assert faults(searchSpace=space, trial__command="run ${{search_space.m}} $[[--depth ${{search_space.depth}}]]") == {}


def test_more_at_once_than_in_all_means_all():
    sweep, found = read_sweep({**GOOD, "limits": {"maxTotalTrials": 2, "maxConcurrentTrials": 10}})
    assert not found and (sweep.plan.total, sweep.plan.concurrent) == (2, 2)


def test_a_grid_has_no_more_trials_than_points():
    sweep, found = read_sweep({**GOOD, "limits": {}, "samplingAlgorithm": {"samplingAlgorithmType": "grid"}, "searchSpace": {"a": ["choice", [[1, 2, 3]]]}})
    assert not found and sweep.plan.total == 3


def test_a_trial_is_a_command_job_with_its_parameters_as_inputs():
    doc = {**GOOD, "computeId": "/c", "limits": {"trialTimeout": "PT9S"}, "inputs": {**GOOD["inputs"], "lr": {"jobInputType": "literal", "value": "9"}}, "outputs": {"model": {"jobOutputType": "mlflow_model", "uri": "azureml://mine", "assetName": "m"}, "default": {}}}
    job = trial_properties(doc, 3, {"lr": 0.5})
    assert job["command"] == "run ${{inputs.data}} ${{inputs.lr}} ${{inputs.lr}} ${{outputs.model}}"
    assert job["inputs"] == {"data": GOOD["inputs"]["data"], "lr": {"jobInputType": "literal", "value": 0.5}}
    assert job["outputs"] == {"model": {"jobOutputType": "mlflow_model"}}  # a place of its own, nothing registered
    assert (job["jobType"], job["computeId"], job["limits"]["timeout"], job["environmentId"]) == ("Command", "/c", "PT9S", "azureml:e:1")
    assert command_of("${{ search_space.a }} ${{inputs.b}}") == "${{inputs.a}} ${{inputs.b}}"
