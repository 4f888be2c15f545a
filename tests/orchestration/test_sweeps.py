"""Sweeps with real processes: their trials are jobs, the metrics are logged as MLflow's clients log them."""

from __future__ import annotations

import asyncio
import json
import random
import time

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.sweeps.read_space import read_space
from lazward.domain.sweeps.sampling import sobol_point
from lazward.domain.tracking.names import Metric
from lazward.orchestration import children
from lazward.orchestration.jobs import request_cancel
from lazward.storage import metrics, run_search, runs
from tests.orchestration.place import HOME

KEY = f"{HOME}/jobs/s".lower()
SPACE = {"lr": ["uniform", [0, 1]], "size": ["choice", [[1, 2, 3]]]}


def sweep(place, command: str = "echo ${{search_space.lr}} ${{inputs.size}}", space: dict | None = None, total: int = 4, at_once: int = 2, **properties) -> str:
    return place.put("jobs/s", {
        "jobType": "Sweep", "searchSpace": space or SPACE, "samplingAlgorithm": {"samplingAlgorithmType": "Random", "seed": 7},
        "objective": {"goal": "Minimize", "primaryMetric": "loss"}, "limits": {"maxTotalTrials": total, "maxConcurrentTrials": at_once},
        "trial": {"command": command, "environmentId": f"{HOME}/environments/plain/versions/1", "resources": {"properties": {"cores": 0.1}}}, **properties,
    }).key


def trials(place, key: str = KEY) -> list:
    return sorted(place.db.read_now(children.of, key), key=lambda row: row.doc["lazward"]["trial"]["number"])


def trial(row) -> dict:
    return row.doc["lazward"]["trial"]


def log(place, name: str, *values: float) -> None:
    """As a script logs them with mlflow.log_metric: steps 0, 1, ... at rising times."""
    at = int(time.time() * 1000)
    place.db.write_now(metrics.log, HOME.lower(), name, [Metric("loss", at + i, i, v) for i, v in enumerate(values)])


async def over(place) -> dict:
    return await place.over("s")


class Script:
    """Trials wait for a file that the test makes, so that it says when each goes on and what it has logged by then."""

    def __init__(self, folder):
        self.folder = folder
        self.command = f"touch {folder}/$AZUREML_RUN_ID.up; until [ -e {folder}/$AZUREML_RUN_ID.go ]; do sleep 0.02; done; exit $(cat {folder}/$AZUREML_RUN_ID.go)"

    async def up(self, place, count: int, key: str = KEY) -> list[str]:
        """Names of the first `count` trials, by number, once they run."""
        def running() -> bool:
            return len(trials(place, key)) >= count and all((self.folder / f"{r.name}.up").exists() for r in trials(place, key)[:count])

        await place.until(running, lambda: [r.properties["status"] for r in trials(place, key)])
        return [row.name for row in trials(place, key)[:count]]

    def go(self, name: str, code: int = 0) -> None:
        path = self.folder / f"{name}.go"
        path.with_suffix(".tmp").write_text(str(code))
        path.with_suffix(".tmp").rename(path)


@pytest.fixture
def script(tmp_path) -> Script:
    return Script(tmp_path)


class TestRun:
    async def test_ends_with_its_best_trial(self, place, script):
        sweep(place, script.command, total=3, at_once=3)
        await place.start()
        names = await script.up(place, 3)
        for name, values in zip(names, ([3.0, 0.5, 2.0], [1.0], [4.0]), strict=True):
            log(place, name, *values)
            script.go(name)
        facts = await over(place)
        assert facts["status"] == "Completed", facts.get("error")
        assert (facts["properties"]["best_child_run_id"], facts["properties"]["score"]) == (names[0], "0.5")
        assert facts["startTimeUtc"] <= facts["endTimeUtc"]
        run = place.db.read_now(run_search.one, HOME.lower(), "s")
        assert run.run.status == "FINISHED" and dict(run.tags)["best_child_run_id"] == names[0]
        assert [r.id for r, _ in place.db.read_now(runs.children, HOME.lower(), "s")] == names
        text = await place.log("s", "azureml-logs/hyperdrive.txt")
        assert f"best trial: {names[0]}" in text and text.count(" started: ") == 3
        await place.until(lambda: place.folders("jobs") == [], lambda: place.folders("jobs"))

    async def test_a_trial_has_its_parameters_as_inputs_variables_and_params(self, place, script):
        sweep(place, "test $AZUREML_SWEEP_size = ${{search_space.size}} && test $AZUREML_SWEEP_fixed = 5 && " + script.command, total=1, inputs={
            "fixed": {"jobInputType": "literal", "value": "5"}, "size": {"jobInputType": "literal", "value": "given by the search space"},
        })
        await place.start()
        [name] = await script.up(place, 1)
        values = trial(trials(place)[0])["values"]
        # The script logs one itself, in its own spelling, which stays.
        place.db.write_now(runs.log_param, HOME.lower(), name, "lr", "0.123")
        log(place, name, 1)
        script.go(name)
        assert (await over(place))["status"] == "Completed"
        assert dict(place.db.read_now(run_search.one, HOME.lower(), name).params) == {"lr": "0.123", "size": str(values["size"])}
        facts = place.facts(f"jobs/{name}")
        assert facts["inputs"]["size"]["value"] == values["size"] and json.loads(facts["properties"]["hyperparameters"]) == values

    async def test_never_more_at_once_than_asked_for(self, place, script):
        sweep(place, script.command, total=4, at_once=2)
        await place.start()
        for done in range(4):
            await script.up(place, min(4, done + 2))
            rows = trials(place)
            assert len(rows) == min(4, done + 2)
            assert sum(r.properties["status"] not in ("Completed",) for r in rows) <= 2
            log(place, rows[done].name, done)
            script.go(rows[done].name)
        assert (await over(place))["properties"]["score"] == "0.0"

    async def test_a_failing_trial_does_not_end_it(self, place, script):
        sweep(place, script.command, total=2)
        await place.start()
        first, second = await script.up(place, 2)
        log(place, first, 0.1)
        log(place, second, 0.2)
        script.go(first, code=1)
        script.go(second)
        facts = await over(place)
        assert (facts["status"], facts["properties"]["best_child_run_id"]) == ("Completed", second)
        assert [r.properties["status"] for r in trials(place)] == ["Failed", "Completed"]

    async def test_all_failing_end_it_with_the_last_ones_error(self, place):
        sweep(place, "echo no such luck; exit 3", total=2)
        await place.start()
        facts = await over(place)
        assert (facts["status"], facts["error"]["code"]) == ("Failed", "TrialsFailed")
        assert "exit code 3" in facts["error"]["message"] and "no such luck" in facts["error"]["message"]
        assert "best_child_run_id" not in facts["properties"]

    async def test_a_metric_that_nobody_logs_is_said(self, place, script):
        sweep(place, script.command, total=1, objective={"goal": "Maximize", "primaryMetric": "acuracy"})
        await place.start()
        [name] = await script.up(place, 1)
        log(place, name, 1)
        script.go(name)
        facts = await over(place)
        assert (facts["status"], facts["error"]["code"], facts["error"]["target"]) == ("Failed", "PrimaryMetricNotLogged", "objective.primaryMetric")
        assert "'acuracy'" in facts["error"]["message"] and "What they logged: loss." in facts["error"]["message"]

    async def test_outputs_of_the_best_trial_are_the_sweeps(self, place, script):
        made = "echo model of $AZUREML_RUN_ID > ${{outputs.model}}/m.txt; echo $AZUREML_RUN_ID > ${{outputs.one}}; "
        sweep(place, made + script.command, total=2, outputs={
            "model": {"jobOutputType": "custom_model", "assetName": "tuned"}, "one": {"jobOutputType": "uri_file", "uri": "azureml://datastores/workspaceblobstore/paths/mine/one.txt"},
        })
        await place.start()
        names = await script.up(place, 2)
        for loss, name in enumerate(names):
            log(place, name, -loss)
            script.go(name)
        facts = await over(place)
        assert facts["properties"]["best_child_run_id"] == names[1], facts.get("error")
        container = place.facts("datastores/workspaceblobstore")["containerName"]
        assert await place.blobs.read_all(place.account, container, "azureml/s/model/m.txt") == f"model of {names[1]}\n".encode()
        assert await place.blobs.read_all(place.account, container, "mine/one.txt") == f"{names[1]}\n".encode()
        assert place.facts("models/tuned/versions/1")["modelUri"].endswith("/azureml/s/model/")
        assert place.get("models/tuned/versions/2") is None


class TestSamplers:
    async def values(self, place, algorithm: dict, space: dict, total: int, name: str = "s") -> list[dict]:
        sweep(place, "true", space, total, 2, samplingAlgorithm=algorithm)
        await place.start()
        await over(place)
        await place.stop()
        return [trial(row)["values"] for row in trials(place)]

    async def test_a_seed_gives_the_same_list_again(self, place):
        algorithm = {"samplingAlgorithmType": "Random", "seed": 42}
        first = await self.values(place, algorithm, SPACE, 3)
        await place.start()
        place.delete("jobs/s")
        await place.until(lambda: place.get("jobs/s") is None)
        assert trials(place) == []  # the trials go with their sweep
        await place.stop()
        assert await self.values(place, algorithm, SPACE, 3) == first
        assert len({json.dumps(v) for v in first}) == 3

    async def test_grid_has_every_point_once(self, place):
        space = {"a": ["choice", [[1, 2]]], "b": ["choice", [["x", "y", "y"]]]}
        found = await self.values(place, {"samplingAlgorithmType": "Grid"}, space, 100)
        assert found == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]

    async def test_bayesian_asks_with_what_is_known(self, place, script):
        sweep(place, script.command, {"x": ["uniform", [-1, 1]]}, 14, 2, samplingAlgorithm={"samplingAlgorithmType": "Bayesian"})
        await place.start()
        for done in range(14):
            await script.up(place, min(14, done + 2))
            row = trials(place)[done]
            log(place, row.name, trial(row)["values"]["x"] ** 2)
            script.go(row.name)
        facts = await over(place)
        assert facts["status"] == "Completed"
        assert len({trial(r)["values"]["x"] for r in trials(place)}) == 14


class TestPolicies:
    async def test_a_trial_below_the_median_is_stopped_with_the_reason(self, place, script):
        policy = {"policyType": "MedianStopping", "evaluationInterval": 2, "delayEvaluation": 2}
        sweep(place, script.command, total=3, at_once=3, earlyTermination=policy)
        await place.start()
        good, fair, bad = await script.up(place, 3)
        log(place, good, 0.2, 0.1)
        log(place, fair, 0.3, 0.2)
        log(place, bad, 9.0, 8.0)
        await place.until(lambda: place.facts(f"jobs/{bad}")["status"] == "Canceled", lambda: place.facts(f"jobs/{bad}"))
        facts = place.facts(f"jobs/{bad}")
        assert "median stopping policy: at interval 2" in facts["properties"]["earlyTermination"]
        assert facts["tags"]["early_terminated"] == "true"
        script.go(good)
        script.go(fair)
        facts = await over(place)
        assert (facts["status"], facts["properties"]["best_child_run_id"]) == ("Completed", good)
        assert "median stopping policy" in await place.log("s", "azureml-logs/hyperdrive.txt")


class TestLimits:
    async def test_timeout_of_the_whole_stops_the_trials_and_keeps_the_best(self, place, script):
        sweep(place, script.command, total=50, at_once=1, limits={"maxTotalTrials": 50, "maxConcurrentTrials": 1, "timeout": "PT3S"})
        await place.start()
        [first] = await script.up(place, 1)
        log(place, first, 1)
        script.go(first)
        facts = await over(place)
        assert (facts["status"], facts["error"]["code"], facts["error"]["target"]) == ("Canceled", "SweepTimeout", "limits.timeout")
        assert facts["properties"]["best_child_run_id"] == first
        assert {r.properties["status"] for r in trials(place)[1:]} == {"Canceled"}
        assert "limits.timeout" in trials(place)[1].properties["properties"]["earlyTermination"]

    async def test_timeout_of_a_trial_is_that_trials_failure(self, place):
        sweep(place, "sleep 60", total=1, limits={"maxTotalTrials": 1, "trialTimeout": "PT1S"})
        await place.start()
        facts = await over(place)
        assert facts["error"]["code"] == "TrialsFailed" and "JobTimeout" in facts["error"]["message"]


class TestCancel:
    async def test_stops_the_tree(self, place, script):
        key = sweep(place, script.command, total=9)
        await place.start()
        await script.up(place, 2)
        place.db.write_now(request_cancel, key, time.time())
        facts = await over(place)
        assert facts["status"] == "Canceled" and "error" not in facts
        assert [r.properties["status"] for r in trials(place)] == ["Canceled", "Canceled"]

    async def test_before_it_began(self, place):
        key = sweep(place)
        place.db.write_now(request_cancel, key, time.time())
        await place.start()
        assert (await over(place))["status"] == "Canceled"
        assert trials(place) == []


async def test_several_objectives_end_with_the_trials_that_no_other_beats(place, script):
    sweep(place, script.command, total=4, at_once=4, samplingAlgorithm={"samplingAlgorithmType": "Bayesian"}, properties={"lazward.objectives": '[{"primary_metric": "speed", "goal": "maximize"}]'})
    await place.start()
    names = await script.up(place, 4)
    for name, losses, speed in zip(names, ((9, 1), (2,), (0, 3), (5,)), (1, 2, 3, None), strict=True):
        log(place, name, *losses)
        if speed is not None:
            place.db.write_now(metrics.log, HOME.lower(), name, [Metric("speed", 1, 0, speed)])
        script.go(name)
    facts = await over(place)
    assert facts["status"] == "Completed", facts.get("error")
    assert json.loads(facts["properties"]["lazward.paretoFront"]) == names[:3]  # by what was logged last; the fourth has no speed
    assert facts["properties"]["best_child_run_id"] == names[0]


def test_objectives_that_are_none_are_refused(place):
    with pytest.raises(ArmError) as caught:
        sweep(place, properties={"lazward.objectives": "speed"})
    assert caught.value.target == "properties.properties.lazward.objectives"


async def test_a_deleted_trial_is_over(place, script):
    sweep(place, script.command, total=2)
    await place.start()
    names = await script.up(place, 2)
    log(place, names[1], 1)
    place.delete(f"jobs/{names[0]}")
    await place.until(lambda: place.get(f"jobs/{names[0]}") is None)
    script.go(names[1])
    facts = await over(place)
    assert (facts["status"], facts["properties"]["best_child_run_id"]) == ("Completed", names[1])


class TestCrash:
    async def test_another_worker_goes_on_and_no_trial_runs_twice(self, place, script):
        sweep(place, f"echo x >> {script.folder}/$AZUREML_RUN_ID.runs; " + script.command, total=5)
        await place.start()
        for done in range(5):
            await script.up(place, min(5, done + 2))
            await place.stop()
            row = trials(place)[done]
            log(place, row.name, 5 - done)
            script.go(row.name)  # ends while nobody watches
            await place.start()
        facts = await over(place)
        assert (facts["status"], facts["properties"]["best_child_run_id"]) == ("Completed", trials(place)[4].name)
        assert len(trials(place)) == 5
        assert {path.read_text() for path in script.folder.glob("*.runs")} == {"x\n"}
        assert [trial(r)["settled"] for r in trials(place)] == [True] * 5

    @pytest.mark.parametrize("seed", range(2))
    async def test_at_any_moment(self, place, tmp_path, seed):
        """Every trial runs to its end once, and the points are those of a calm run."""
        algorithm = {"samplingAlgorithmType": "Random", "rule": "sobol", "seed": 3}
        sweep(place, f"echo ${{{{search_space.size}}}} ${{{{search_space.lr}}}} >> {tmp_path}/ended", total=8, at_once=3, samplingAlgorithm=algorithm)
        dice = random.Random(seed)
        while not place.facts("jobs/s").get("endTimeUtc"):
            await place.start()
            await asyncio.sleep(dice.uniform(0.02, 0.4))
            await place.stop()
            for row in trials(place):
                if row.properties["status"] == "Running":
                    log(place, row.name, trial(row)["values"]["lr"])
        await place.start()
        facts = await over(place)
        rows = trials(place)
        assert [trial(r)["number"] for r in rows] == list(range(8))
        assert [r.properties["status"] for r in rows] == ["Completed"] * 8, facts.get("error")
        space, _ = read_space(SPACE)
        calm = [space.values(sobol_point(space, "3", n)) for n in range(8)]
        assert [trial(r)["values"] for r in rows] == calm
        assert sorted((tmp_path / "ended").read_text().splitlines()) == sorted(f"{v['size']} {v['lr']}" for v in calm)


class TestStepOfAPipeline:
    async def test_its_best_trials_output_goes_on(self, place, script):
        """A sweep node, as the SDK sends it, tunes inputs of its component; the next step reads the best trial's output."""
        environment = f"azureml:{HOME}/environments/plain/versions/1"
        train = place.put("components/train/versions/1", {"componentSpec": {
            "type": "command", "command": "echo ${{inputs.c}} > ${{outputs.model}}/c; " + script.command, "environment": environment, "resources": {"properties": {"cores": 0.1}},
            "inputs": {"c": {"type": "number"}}, "outputs": {"model": {"type": "uri_folder"}},
        }}).id
        show = place.put("components/show/versions/1", {"componentSpec": {
            "type": "command", "command": "cat ${{inputs.model}}/c", "environment": environment, "inputs": {"model": {"type": "uri_folder"}}, "outputs": {},
        }}).id
        key = place.put("jobs/p", {"jobType": "Pipeline", "settings": {}, "jobs": {
            "tune": {
                "name": "tune", "type": "sweep", "trial": {"componentId": train}, "sampling_algorithm": "grid", "objective": {"goal": "minimize", "primary_metric": "loss"},
                "limits": {"max_concurrent_trials": 2, "max_total_trials": 2, "timeout": 7200}, "search_space": {"c": {"type": "choice", "values": [7, 8]}}, "inputs": {},
            },
            "show": {"name": "show", "type": "command", "componentId": show, "inputs": {"model": {"job_input_type": "literal", "value": "${{parent.jobs.tune.outputs.model}}"}}},
        }}).key
        await place.start()
        await place.until(lambda: place.db.read_now(children.of, key), lambda: place.facts("jobs/p"))
        [tune] = place.db.read_now(children.of, key)
        names = await script.up(place, 2, tune.key)
        for loss, name in zip((1, 0), names, strict=True):
            log(place, name, loss)
            script.go(name)
        facts = await place.over("p")
        assert facts["status"] == "Completed", facts.get("error")
        [shown] = [row for row in place.db.read_now(children.of, key) if row.key != tune.key]
        assert await place.log(shown.name) == "8\n"


class TestRefusals:
    def test_all_faults_at_once_with_their_places(self, place):
        with pytest.raises(ArmError) as caught:
            sweep(place, "run ${{search_space.nope}} ${{inputs.gone}}", {"a": ["uniform", [2, 1]], "b": ["poisson", [1]]}, total=0, samplingAlgorithm={"samplingAlgorithmType": "Grid"})
        places = {error.target for error in caught.value.details}
        assert places == {"properties.searchSpace.a.min_value", "properties.searchSpace.b", "properties.limits.maxTotalTrials", "properties.trial.command"}
        assert place.get("jobs/s") is None

    def test_put_again_with_another_space_is_refused_and_with_other_tags_is_not(self, place):
        sweep(place)
        sweep(place, tags={"seen": "yes"})
        assert place.facts("jobs/s")["tags"] == {"seen": "yes"}
        with pytest.raises(ArmError, match="another searchSpace") as caught:
            sweep(place, space={**SPACE, "lr": ["uniform", [0, 2]]})
        assert caught.value.target == "properties.searchSpace"

    def test_an_environment_that_is_not_there_is_the_trials(self, place):
        with pytest.raises(ArmError) as caught:
            sweep(place, trial={"command": "true", "environmentId": f"{HOME}/environments/nowhere/versions/1"})
        assert caught.value.target == "properties.trial.environmentId"
