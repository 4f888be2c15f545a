"""The queue as jobs see it: real jobs on a machine of two cores, a worker that is replaced, and a thousand that wait."""

from __future__ import annotations

import asyncio
import time

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.queue.order import Limits
from lazward.orchestration import children
from lazward.orchestration.job_queue import TOGETHER, WAITING_LOG, note_waiting
from lazward.orchestration.jobs import request_cancel
from lazward.storage import resources
from tests.orchestration.place import HOME
from tests.orchestration.test_pipelines import component, node, pipeline, steps

ALL_CORES = {"properties": {"cores": "2"}}


class Blocker:
    """A job that holds the whole machine until it is let go."""

    def __init__(self, place, folder, name: str = "blocker"):
        self.place = place
        self.name = name
        self.gate = folder / "go"
        place.job(name, f"while [ ! -e {self.gate} ]; do sleep 0.02; done", resources=ALL_CORES)

    async def runs(self) -> None:
        await self.place.until(lambda: self.place.facts(f"jobs/{self.name}")["status"] == "Running")

    def go(self) -> None:
        self.gate.touch()


@pytest.fixture
async def blocker(place, tmp_path) -> Blocker:
    made = Blocker(place, tmp_path)
    await place.start()
    await made.runs()
    return made


def waits(place, name: str) -> str:
    return place.facts(f"jobs/{name}").get("waitingFor") or ""


def ran(folder) -> list[str]:
    return (folder / "order").read_text().split()


class TestPriorities:
    async def test_higher_tiers_and_priorities_go_first_after_a_restart_too(self, place, blocker, tmp_path):
        for name, asked in (("spot", {"jobTier": "Spot"}), ("plain", None), ("low", {"priority": 1}), ("high", {"priority": "High"}), ("premium", {"jobTier": "premium", "priority": 2})):
            place.job(name, f"echo {name} >> {tmp_path}/order", resources=ALL_CORES, **({"queueSettings": asked} if asked else {}))
        assert place.facts("jobs/premium")["queueSettings"] == {"jobTier": "Premium", "priority": 2}  # as the SDK reads it
        await place.until(lambda: "place 5 in the queue" in waits(place, "spot"), lambda: waits(place, "spot"))
        assert "place 1 in the queue" in waits(place, "premium")
        await place.stop()
        await place.start()
        blocker.go()
        await place.over("spot")
        assert ran(tmp_path) == ["premium", "high", "plain", "low", "spot"]

    async def test_what_is_no_tier_is_refused(self, place):
        with pytest.raises(ArmError) as told:
            place.job("a", "echo a", queueSettings={"jobTier": "Gold"})
        assert told.value.target == "properties.queueSettings.jobTier"

    async def test_a_step_has_its_own_or_its_pipelines_and_says_why_it_waits(self, place, blocker):
        echo = component(place, "echo", "echo x", resources={"properties": {"cores": 2}})
        inner = place.put("components/inner/versions/1", {"componentSpec": {"type": "pipeline", "inputs": {}, "outputs": {}, "jobs": {"deep": node(echo)}}}).id
        key = pipeline(place, "p", {
            "own": node(echo, queue_settings={"job_tier": "Basic", "priority": 1}), "parents": node(echo), "nested": {"type": "pipeline", "componentId": inner},
        }, queueSettings={"jobTier": "Premium"})
        await place.until(lambda: len(steps(place, key)) == 3 and steps(place, steps(place, key)["nested"][0].key))
        found = {name: rows[0] for name, rows in steps(place, key).items()}
        assert found["own"].properties["queueSettings"] == {"jobTier": "Basic", "priority": 1}
        assert found["parents"].properties["queueSettings"] == {"jobTier": "Premium"}
        (deep,) = steps(place, found["nested"].key)["deep"]
        assert deep.properties["queueSettings"] == {"jobTier": "Premium"}
        await place.until(lambda: "place 3 in the queue" in waits(place, found["own"].name))
        blocker.go()
        assert (await place.over("p"))["status"] == "Completed"
        assert all("waitingFor" not in place.facts(f"jobs/{row.name}") for row in [*found.values(), deep])

    async def test_a_fault_in_a_step_is_told_at_submission(self, place):
        echo = component(place, "echo", "echo x")
        with pytest.raises(ArmError) as told:
            pipeline(place, "p", {"a": node(echo, queue_settings={"job_tier": "gold"})})
        assert "jobs.a" in told.value.target and "jobTier is one of" in told.value.message

    async def test_trials_have_their_sweeps(self, place, blocker):
        key = place.put("jobs/s", {
            "jobType": "Sweep", "searchSpace": {"lr": ["uniform", [0, 1]]}, "samplingAlgorithm": {"samplingAlgorithmType": "Random"}, "queueSettings": {"jobTier": "Spot", "priority": 1},
            "objective": {"goal": "Minimize", "primaryMetric": "loss"}, "limits": {"maxTotalTrials": 1, "maxConcurrentTrials": 1},
            "trial": {"command": "echo ${{search_space.lr}}", "environmentId": f"{HOME}/environments/plain/versions/1"},
        }).key
        (trial,) = await place.until(lambda: place.db.read_now(children.of, key))
        assert trial.properties["queueSettings"] == {"jobTier": "Spot", "priority": 1}
        await place.db.write(request_cancel, key, time.time())
        await place.over("s")


class TestLimits:
    async def test_the_reason_names_the_limit_and_the_job_runs_when_its_share_is_free(self, place, tmp_path):
        place.limits = Limits(workspace_jobs=1)
        place.job("a", f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done", resources={"properties": {"cores": "0.1"}})
        await place.start()
        await place.until(lambda: place.facts("jobs/a")["status"] == "Running")
        place.job("b", "echo b", resources={"properties": {"cores": "0.1"}})
        await place.until(lambda: "max_workspace_jobs = 1" in waits(place, "b"))
        (tmp_path / "go").touch()
        assert (await place.over("b"))["status"] == "Completed"


class TestWhyItWaits:
    async def test_who_streams_the_log_of_a_waiting_job_reads_it(self, place, blocker):
        place.job("b", "echo b")
        async with asyncio.timeout(20):
            while await place.blobs.info(place.account, "azureml", f"ExperimentRun/dcid.b/{WAITING_LOG}") is None:
                await asyncio.sleep(0.01)
        assert "Waiting for 1 of 2 cores (0 free); place 1 in the queue." in await place.log("b", WAITING_LOG)
        blocker.go()
        await place.over("b")

    @pytest.mark.parametrize(("step", "reason"), [("build", "Waiting for its environment plain:1 to be built"), ("prepare", "Waiting for its code and inputs to be fetched")])
    async def test_a_slow_preparation_is_a_reason_too(self, place, monkeypatch, step, reason):
        monkeypatch.setattr("lazward.orchestration.job_queue.SLOW_S", 0.01)
        place.environments.open.clear()
        if step == "prepare":  # held there instead
            from lazward.orchestration import job_ready

            place.environments.open.set()
            whole, going = job_ready.prepare, place.environments.open

            async def slow(*args, **kwargs):
                await going.wait()
                return await whole(*args, **kwargs)

            built = job_ready.environments.build

            async def build(*args, **kwargs):
                made = await built(*args, **kwargs)
                going.clear()
                return made

            monkeypatch.setattr(job_ready, "prepare", slow)
            monkeypatch.setattr(job_ready.environments, "build", build)
        place.job("a", "echo a")
        await place.start()
        await place.until(lambda: reason in waits(place, "a"), lambda: place.facts("jobs/a"))
        assert place.facts("jobs/a")["status"] == "Preparing"
        place.environments.open.set()
        assert (await place.over("a"))["status"] == "Completed"
        assert "waitingFor" not in place.facts("jobs/a")

    async def test_one_that_waits_no_more_is_not_told(self, place):
        key = place.job("a", "echo a")
        await place.start()
        await place.over("a")
        assert place.db.write_now(note_waiting, {key: "Waiting for Godot."}, "Queued", time.time()) == []
        assert "waitingFor" not in place.facts("jobs/a")


class TestAThousandWait:
    async def test_they_cost_few_writes_and_move_on(self, place, blocker, monkeypatch):
        monkeypatch.setattr("lazward.orchestration.job_queue.LINES_AT_ONCE", 1)  # the documents are what is counted here
        await place.stop()
        # Documents as PUT leaves them, and their tasks; the requests themselves are measured by bench/orchestration/queue.py.
        first = place.job("j0000", "echo a", resources=ALL_CORES)
        for number in range(1, 1000):
            place.job(f"j{number:04}", "echo a", resources=ALL_CORES)
        writes: list[int] = []
        real = note_waiting

        def counted(tx, reasons, status, now):
            told = real(tx, reasons, status, now)
            writes.append(len(told))
            return told

        monkeypatch.setattr("lazward.orchestration.job_queue.note_waiting", counted)
        await place.start()
        await place.until(lambda: waits(place, "j0999") and sum(writes) >= 1000, lambda: (waits(place, "j0999"), sum(writes)))
        assert waits(place, "j0999") == "Waiting for 2 of 2 cores; at least 900 jobs are before it."
        assert max(writes) <= TOGETHER
        told = sum(writes)
        etag = place.db.read_now(resources.get, f"{HOME}/jobs/j0999").etag
        blocker.go()
        await place.until(lambda: place.facts("jobs/j0003")["status"] == "Completed")
        assert place.db.read_now(resources.get, f"{HOME}/jobs/j0999").etag == etag  # it was not written anew each time one started
        assert sum(writes) - told < 1000  # those near the head and those that cross a mark
        assert place.db.read_now(resources.get, first).properties["status"] == "Completed"
