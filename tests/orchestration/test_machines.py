"""What no machine has is refused at submit, once a machine has told what it has."""

from __future__ import annotations

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.ports import Capacity
from lazward.orchestration import machines
from tests.orchestration.place import HOME
from tests.orchestration.test_pipelines import component, node, pipeline

GIB = 1 << 30
LARGE, GPUS = {"properties": {"memory": "900Gi"}}, {"properties": {"gpus": 2}}
SWEEP = {"searchSpace": {"x": ["choice", [[1]]]}, "samplingAlgorithm": {"samplingAlgorithmType": "Random"}, "objective": {"goal": "Minimize", "primaryMetric": "x"}, "limits": {"maxTotalTrials": 1}}


@pytest.fixture
def told(place):
    place.db.write_now(machines.announce, "worker", Capacity(2, 8 * GIB, 0), 1.0)
    return place


def refusal(fn) -> list[tuple[str, str]]:
    with pytest.raises(ArmError) as caught:
        fn()
    return [(e.code, e.target) for e in caught.value.details or [caught.value]]


def test_nothing_is_refused_before_a_machine_has_told(place):
    place.job("a", "echo", resources=LARGE)


def test_commands_and_sweeps(told):
    assert refusal(lambda: told.job("a", "echo", resources=LARGE)) == [("ImpossibleResources", "properties.resources")]
    assert refusal(lambda: told.job("a", "echo", resources=GPUS)) == [("ImpossibleResources", "properties.resources")]
    trial = {"command": "echo ${{search_space.x}}", "environmentId": f"{HOME}/environments/plain/versions/1", "resources": LARGE}
    assert refusal(lambda: told.put("jobs/s", {"jobType": "Sweep", **SWEEP, "trial": trial})) == [("ImpossibleResources", "properties.trial.resources")]
    told.job("a", "echo", resources={"instanceCount": 64})  # more cores than there are: it runs alone


def test_steps_of_a_pipeline_all_at_once(told):
    plain, large = component(told, "plain", "echo"), component(told, "large", "echo", resources={"properties": {"memory": "900Gi"}})
    jobs = {"a": node(plain), "b": node(large), "c": node(plain, resources=GPUS)}
    assert refusal(lambda: pipeline(told, "p", jobs)) == [("ImpossibleResources", f"properties.jobs.{name}.resources") for name in "bc"]


def test_a_machine_that_changes_and_one_beside_it(told):
    told.db.write_now(machines.announce, "worker", Capacity(2, 8 * GIB, 2), 2.0)
    told.job("a", "echo", resources=GPUS)
    told.db.write_now(machines.announce, "worker", Capacity(2, 8 * GIB, 0), 3.0)
    told.db.write_now(machines.announce, "other", Capacity(2, 8 * GIB, 4), 3.0)
    told.job("b", "echo", resources=GPUS)
