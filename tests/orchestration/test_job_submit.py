"""What a run says of where its job comes from, from the moment it is submitted."""

from __future__ import annotations

from lazward.orchestration import children
from tests.orchestration.place import HOME
from tests.orchestration.test_pipelines import component, node, pipeline, steps
from tests.orchestration.test_sweeps import sweep, trials

GIT = {"mlflow.source.git.commit": "c0ffee", "mlflow.source.git.branch": "main", "azureml.git.dirty": "True"}
TOLD = {"mlflow.source.git.commit": "c0ffee", "mlflow.source.git.branch": "main", "mlflow.source.git.dirty": "true"}


def picked(place, run: str) -> dict[str, str]:
    return {name: value for name, value in place.tags(run).items() if name in TOLD}


async def test_a_run_names_its_script_its_code_and_its_commit(place):
    code = await place.code("c", {"train.py": "print(1)"})
    place.job("a", "python train.py", codeId=code, properties=GIT, tags={"mine": "1", "mlflow.source.git.branch": "what I say"})
    found = place.tags("a")
    assert found["lazward.code"] == code
    assert (found["mlflow.source.type"], found["mlflow.source.name"]) == ("JOB", "train.py")
    assert picked(place, "a") == TOLD | {"mlflow.source.git.branch": "what I say"}
    assert place.facts("jobs/a")["properties"].items() >= GIT.items()


async def test_trials_have_the_git_facts_of_their_sweep(place):
    sweep(place, total=1, properties=GIT)
    await place.start()
    await place.over("s")
    [trial] = trials(place)
    assert picked(place, trial.name) == picked(place, "s") == TOLD
    assert trial.properties["properties"]["mlflow.source.git.commit"] == "c0ffee"


async def test_steps_of_registered_components_have_not(place):
    anonymous, registered = component(place, "azureml_anonymous", "echo"), component(place, "train", "echo 2")
    key = pipeline(place, "p", {"a": node(anonymous), "b": node(registered)}, properties=GIT)
    await place.start()
    await place.over("p")
    found = {name: picked(place, rows[0].name) for name, rows in steps(place, key).items()}
    assert found == {"a": TOLD, "b": {}}
    assert picked(place, "p") == TOLD
    assert len(place.db.read_now(children.of, key)) == 2


async def test_what_was_in_the_environment_is_kept_with_the_run(place):
    place.job("a", "true")
    await place.start()
    await place.over("a")
    environment = place.environments.environment
    assert await place.log("a", "system_logs/environment_lock.txt") == f"# Python {environment.python_version}, environment {environment.key}\n{environment.lock}"
    assert place.tags("a")["mlflow.source.name"] == "true"
    assert HOME in place.facts("jobs/a")["environmentId"]
