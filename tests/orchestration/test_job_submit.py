"""What a run says of where its job comes from, from the moment it is submitted."""

from __future__ import annotations

from lazward.domain.jobs.again import relaunched
from lazward.orchestration import children
from tests.orchestration.place import HOME
from tests.orchestration.test_pipelines import component, node, pipeline, place_guid, steps
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


class TestRelaunch:
    async def again(self, place, source, changes: dict | None = None) -> dict:
        """Puts what a relaunch of that job would, and runs it."""
        place.put("jobs/again", relaunched(source.properties, source.name, changes or {}))
        return await place.over("again")

    async def test_a_step_runs_by_itself_and_leaves_what_its_pipeline_made_alone(self, place):
        make = component(place, "make", "echo ${{inputs.n}} > ${{outputs.o}}/n", {"n": {"type": "integer"}}, {"o": {"type": "uri_folder"}})
        key = pipeline(place, "p", {"a": node(make, {"n": 1}, outputs={"o": {"value": "${{parent.outputs.final}}", "type": "literal"}})}, outputs={"final": {"jobOutputType": "uri_folder"}})
        await place.start()
        await place.over("p")
        step = steps(place, key)["a"][0]
        facts = await self.again(place, step, {"inputs": {"n": 2}})
        assert facts["status"] == "Completed", facts
        assert facts["properties"].keys() & {"azureml.pipelinerunid", "azureml.nodeid", "azureml.reuse"} == set()
        container = "azureml-blobstore-" + place_guid(place)
        assert await place.blobs.read_all(place.account, container, "azureml/p/final/n") == b"1\n"
        assert await place.blobs.read_all(place.account, container, "azureml/again/o/n") == b"2\n"
        assert place.get("jobs/again").parent == HOME.lower()

    async def test_a_trial_runs_by_itself_at_its_point(self, place):
        sweep(place, "echo lr is ${{search_space.lr}}", space={"lr": ["choice", [[0.25]]]}, total=1)
        await place.start()
        await place.over("s")
        [trial] = trials(place)
        facts = await self.again(place, trial)
        assert facts["status"] == "Completed"
        assert await place.log("again") == "lr is 0.25\n"
        assert place.tags("again")["lazward.relaunchedFrom"] == trial.name
        assert facts["properties"].keys() & {"hyperparameters", "trialNumber"} == set()

    async def test_a_registered_output_gets_a_version_of_its_own(self, place):
        place.job("a", "echo x > ${{outputs.o}}/x", outputs={"o": {"jobOutputType": "uri_folder", "assetName": "made"}})
        await place.start()
        await place.over("a")
        facts = await self.again(place, place.get("jobs/a"))
        assert facts["outputs"]["o"]["assetVersion"] == "2"
        assert place.facts("data/made/versions/2")["dataUri"].endswith("/azureml/again/o/")

    async def test_sweeps_and_pipelines_run_again(self, place):
        sweep(place, total=2)
        pipeline(place, "p", {"a": node(component(place, "c", "echo ${{inputs.n}}", {"n": {"type": "integer"}}), {"n": 1})})
        await place.start()
        await place.over("s")
        await place.over("p")
        for name, changes in (("s", {"limits": {"maxTotalTrials": 1}}), ("p", {"jobs": {"a": {"inputs": {"n": 5}}}})):
            source = place.get(f"jobs/{name}")
            place.put(f"jobs/{name}2", relaunched(source.properties, name, changes))
            assert (await place.over(f"{name}2"))["status"] == (await place.over(name))["status"]
        assert len(trials(place, f"{HOME}/jobs/s2".lower())) == 1
        [step] = steps(place, f"{HOME}/jobs/p2".lower())["a"]
        assert await place.log(step.name) == "5\n"
