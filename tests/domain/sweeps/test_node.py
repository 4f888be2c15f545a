from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.sweeps.node import from_node
from lazward.domain.sweeps.plan import read_sweep


def test_a_node_as_the_sdk_sends_it():
    found = from_node({
        "type": "sweep", "limits": {"max_concurrent_trials": 3, "max_total_trials": 5, "timeout": 7200, "trial_timeout": 90.5}, "sampling_algorithm": "random",
        "objective": {"goal": "minimize", "primary_metric": "f1"},
        "early_termination": {"policy_type": "Bandit", "delay_evaluation": 5, "evaluation_interval": 1, "slack_factor": 0.2, "slack_amount": 0},
        "search_space": {
            "c": {"type": "uniform", "min_value": 0.5, "max_value": 0.9}, "k": {"type": "choice", "values": ["rbf", 3, {"d": {"type": "randint", "upper": 4}, "e": 1}]},
            "q": {"type": "qlognormal", "mu": 1, "sigma": 2, "q": 3},
        },
    })
    assert found == {
        "searchSpace": {"c": ["uniform", [0.5, 0.9]], "k": ["choice", [["rbf", 3, {"d": ["randint", [4]], "e": 1}]]], "q": ["qlognormal", [1, 2, 3]]},
        "samplingAlgorithm": {"samplingAlgorithmType": "random"}, "objective": {"goal": "minimize", "primaryMetric": "f1"},
        "earlyTermination": {"policyType": "Bandit", "delayEvaluation": 5, "evaluationInterval": 1, "slackFactor": 0.2, "slackAmount": 0},
        "limits": {"maxConcurrentTrials": 3, "maxTotalTrials": 5, "timeout": "PT7200S", "trialTimeout": "PT90.5S", "jobLimitsType": "Sweep"},
    }
    sweep, faults = read_sweep(found)
    assert not faults and sweep.timeout == 7200 and sweep.policy.slack_factor == 0.2 and sweep.plan.total == 5


def test_the_forms_of_the_yaml_schema():
    found = from_node({
        "sampling_algorithm": {"type": "random", "rule": "sobol", "seed": 1, "logbase": "e"}, "early_termination": {"type": "median_stopping", "delay_evaluation": 1},
        "search_space": {"x": {"type": "uniform", "min_value": 0, "max_value": 1}}, "objective": {"goal": "maximize", "primary_metric": "m"},
    })
    sweep, faults = read_sweep(found)
    assert not faults and (sweep.algorithm, sweep.seed, sweep.policy.kind) == ("sobol", 1, "median_stopping")


def test_what_is_missing_or_wrong_is_left_to_the_checks():
    assert from_node({}) == {}
    found = from_node({"search_space": {"x": {"type": "uniform", "min_value": 0}, "y": 3, "z": {"type": "nope"}}})
    _, faults = read_sweep(found)
    assert {f.target for f in faults} >= {"properties.searchSpace.x.max_value", "properties.searchSpace.y", "properties.searchSpace.z"}


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=4), c, max_size=3), max_leaves=8)


@given(st.dictionaries(st.sampled_from(["search_space", "sampling_algorithm", "objective", "early_termination", "limits"]), JSON | st.fixed_dictionaries({"type": JSON, "values": JSON})))
def test_never_raises(node):
    from_node(node)
