"""Jobs with real processes and a real store; the worker lives in the test's process and is replaced by others as it may die at any point."""

from __future__ import annotations

import asyncio
import json
import os
import time

import msgspec
import pytest

from lazward.contract.errors import ArmError
from lazward.domain.ports import LaunchSpec, ProcessSpec
from lazward.domain.queue.order import Ask
from lazward.execution.runtime import records
from lazward.orchestration import jobs
from lazward.orchestration.job_queue import restore_admissions
from lazward.orchestration.jobs import FINISH_TRIES, request_cancel
from lazward.orchestration.runtime import launch_name
from lazward.storage import resources, runs, tasks
from tests.orchestration.place import HOME

LINES = "for i in $(seq 20); do echo line $i; done"
ALL = "".join(f"line {i}\n" for i in range(1, 21))


def keeper_of(place, key: str, attempt: int = 1) -> dict:
    return json.loads((place.runtime.executor.root / place.runtime.executor.folder(launch_name(key, attempt)) / records.KEEPER).read_text())


def cleaned(place) -> bool:
    return place.launches() == [] and place.folders("jobs") == []


async def status(place, name: str, wanted: str) -> None:
    await place.until(lambda: place.facts(f"jobs/{name}")["status"] == wanted, lambda: place.facts(f"jobs/{name}"))


async def begun(place, key: str) -> None:
    """Until the job has said something: "Running" is written a moment before it does."""
    log = place.runtime.folder("jobs", key) / "user_logs" / "std_log.txt"
    await place.until(lambda: log.exists() and log.stat().st_size)


class TestRun:
    async def test_ends_with_status_log_run_and_artifacts_and_leaves_nothing_behind(self, place):
        key = place.job("a", f"{LINES}; echo kept > outputs/x.txt")
        await place.start()
        facts = await place.over("a")
        assert (facts["status"], facts["exit"]["code"]) == ("Completed", 0)
        assert facts["startTimeUtc"] <= facts["endTimeUtc"]
        assert await place.log("a") == ALL
        assert await place.log("a", "outputs/x.txt") == "kept\n"
        assert "starting 1 process(es)" in await place.log("a", "system_logs/lazward.log")
        assert place.db.read_now(runs.get, HOME.lower(), "a").status == "FINISHED"
        assert cleaned(place)
        assert place.db.read_now(tasks.open_for, key, "job.run") is None

    async def test_a_failure_says_code_and_last_lines(self, place):
        place.job("a", "echo oops; exit 3")
        await place.start()
        facts = await place.over("a")
        assert (facts["status"], facts["error"]["code"], facts["exit"]["code"]) == ("Failed", "UserError", 3)
        assert "exit code 3" in facts["error"]["message"] and "oops" in facts["error"]["message"]

    async def test_an_environment_that_cannot_be_is_the_jobs_error_and_leaves_nothing_behind(self, place):
        place.environments.error = ArmError(400, "EnvironmentBuildFailed", "no such package", "six==99")
        place.job("a", "echo never")
        await place.start()
        facts = await place.over("a")
        assert (facts["status"], facts["error"]["code"], facts["error"]["target"]) == ("Failed", "EnvironmentBuildFailed", "six==99")
        assert "no such package" in await place.log("a", "system_logs/lazward.log")
        assert cleaned(place)

    async def test_versions_other_than_those_asked_for_are_a_property_of_the_job(self, place):
        place.environments.environment = msgspec.structs.replace(place.environments.environment, loosened=("python 3.8 -> 3.11.7", "numpy 1.21.2 -> 1.23.2"))
        place.job("a", "echo fine", properties={"mine": "1"})
        await place.start()
        facts = await place.over("a")
        assert (facts["properties"]["lazward.environment.loosened"], facts["properties"]["mine"]) == ("python 3.8 -> 3.11.7; numpy 1.21.2 -> 1.23.2", "1")

    async def test_a_named_output_is_registered_once_whoever_finishes(self, place):
        key = place.job("a", "echo data > ${{outputs.o}}/f.txt", outputs={"o": {"jobOutputType": "uri_folder", "assetName": "made"}})
        await place.start()
        await place.over("a")
        assert place.facts("data/made/versions/1")["dataUri"].endswith("/azureml/a/o/")
        # As if the worker had died after the end was written and before the task ended.
        await place.db.write(tasks.enqueue, "job.run", key, {"phase": "ended", "attempt": 1}, time.time())
        await place.over("a")
        assert place.get("data/made/versions/2") is None

    async def test_a_waiting_job_says_what_for_and_starts_when_there_is_room(self, place, tmp_path):
        go = tmp_path / "go"
        place.job("a", f"while [ ! -e {go} ]; do sleep 0.02; done", resources={"properties": {"cores": "2"}})
        await place.start()
        await status(place, "a", "Running")
        place.job("b", "echo b")
        await place.until(lambda: "place 1 in the queue" in (place.facts("jobs/b").get("waitingFor") or ""))
        go.touch()
        assert (await place.over("b"))["status"] == "Completed"
        assert "waitingFor" not in place.facts("jobs/b")

    async def test_more_than_the_machine_has_is_refused(self, place):
        place.job("a", "echo a", resources={"properties": {"memory": "900Gi"}})
        await place.start()
        assert (await place.over("a"))["error"]["code"] == "ImpossibleResources"


class TestCancel:
    async def cancel(self, place, name: str) -> None:
        await place.db.write(request_cancel, f"{HOME}/jobs/{name}".lower(), time.time())

    async def test_while_it_waits(self, place):
        place.job("a", "sleep 600", resources={"properties": {"cores": "2"}})
        await place.start()
        await status(place, "a", "Running")
        place.job("b", "echo never")
        await place.until(lambda: place.facts("jobs/b").get("waitingFor"))
        await self.cancel(place, "b")
        facts = await place.over("b")
        assert facts["status"] == "Canceled" and "waitingFor" not in facts
        await self.cancel(place, "a")
        assert (await place.over("a"))["status"] == "Canceled"
        assert cleaned(place)

    async def test_while_its_environment_is_built(self, place):
        place.environments.open.clear()
        place.job("a", "echo never")
        await place.start()
        await status(place, "a", "Preparing")
        await self.cancel(place, "a")
        assert (await place.over("a"))["status"] == "Canceled"
        assert cleaned(place)

    async def test_asked_for_while_no_worker_lives(self, place):
        place.job("a", "sleep 600")
        await place.start()
        await status(place, "a", "Running")
        await place.stop()
        await self.cancel(place, "a")
        await place.start()
        assert (await place.over("a"))["status"] == "Canceled"

    async def test_twice_is_once_and_of_one_that_is_over_nothing(self, place):
        place.job("a", "sleep 600")
        await place.start()
        await status(place, "a", "Running")
        await self.cancel(place, "a")
        await self.cancel(place, "a")
        await place.over("a")
        assert await place.db.write(request_cancel, f"{HOME}/jobs/a".lower(), time.time()) is None

    async def test_deleting_a_running_job_stops_it_first(self, place, tmp_path):
        place.job("a", f"echo $$ > {tmp_path}/pid; sleep 600")
        await place.start()
        await place.until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        place.delete("jobs/a")
        await place.until(lambda: place.get("jobs/a") is None)
        await place.until(lambda: cleaned(place))
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


class TestAnotherWorkerTakesOver:
    @pytest.mark.parametrize("phase", ["queued", "preparing", "launched"])
    async def test_at_a_phase_that_was_written_and_not_begun(self, place, tmp_path, phase):
        """The worker dies right after its checkpoint. Whatever the phase, the job then runs once."""
        key = place.job("a", f"{LINES}; echo ran >> {tmp_path}/witness")
        task = await place.db.read(tasks.open_for, key, "job.run")
        await self.rewrite(place, task, phase)
        await place.start()
        assert (await place.over("a"))["status"] == "Completed"
        assert (tmp_path / "witness").read_text() == "ran\n"
        assert await place.log("a") == ALL
        assert cleaned(place)

    async def rewrite(self, place, task, phase):
        """Claims, checkpoints and lets go, as a worker that is killed does."""
        (mine,) = await place.db.write(tasks.claim, "worker", 1, time.time(), 30)
        assert mine.id == task.id
        assert await place.db.write(tasks.checkpoint, mine, {**mine.state, "phase": phase, **({"processes": 1} if phase == "launched" else {})})

    async def test_an_order_that_comes_late_starts_nothing_beside_the_next_attempt(self, place, tmp_path):
        key = place.job("a", f"echo new >> {tmp_path}/witness; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
        await self.rewrite(place, await place.db.read(tasks.open_for, key, "job.run"), "launched")
        await place.start()
        await place.until(lambda: (tmp_path / "witness").exists())
        late = LaunchSpec(launch_name(key, 1), (ProcessSpec(("sh", "-c", f"echo late >> {tmp_path}/witness"), {}, str(tmp_path / "log")),), str(tmp_path))
        assert (await place.executor.start(late)).reason == "canceled"
        (tmp_path / "go").touch()
        assert (await place.over("a"))["status"] == "Completed"
        assert (tmp_path / "witness").read_text() == "new\n"

    async def test_while_it_runs_nothing_is_lost_or_said_twice(self, place, tmp_path):
        place.job("a", f"for i in $(seq 20); do echo line $i; sleep 0.05; done; echo ran >> {tmp_path}/witness")
        for _ in range(4):
            await place.start()
            await status(place, "a", "Running")
            await asyncio.sleep(0.1)
            await place.stop()
        await place.start()
        assert (await place.over("a"))["status"] == "Completed"
        assert await place.log("a") == ALL
        assert (tmp_path / "witness").read_text() == "ran\n"

    async def test_after_the_end_and_before_it_was_written(self, place):
        key = place.job("a", f"{LINES}; echo kept > outputs/x.txt")
        await place.start()
        await status(place, "a", "Running")
        await place.stop()
        await place.executor.wait(launch_name(key, 1), 20)
        await place.start()
        assert (await place.over("a"))["status"] == "Completed"
        assert await place.log("a") == ALL
        assert await place.log("a", "outputs/x.txt") == "kept\n"

    async def test_what_the_running_jobs_hold_is_known_before_the_first_is_admitted(self, place, tmp_path):
        key = place.job("a", f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done", resources={"properties": {"cores": "2"}})
        await place.start()
        await status(place, "a", "Running")
        await place.stop()
        assert [(job.key, job.ask) for job in place.db.read_now(restore_admissions)] == [(key, Ask(2.0, 0, 0))]
        place.job("b", "echo b")
        await place.start()
        await place.until(lambda: place.facts("jobs/b").get("waitingFor"))
        (tmp_path / "go").touch()
        assert (await place.over("b"))["status"] == "Completed"

    async def test_what_a_job_held_that_was_over_already_is_free_again(self, place, monkeypatch):
        """The worker dies between the last checkpoint of the job and the end of its task."""
        key = place.job("a", "echo a", resources={"properties": {"cores": "2"}})
        cleared = asyncio.Event()

        async def die(*_):
            cleared.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(jobs, "_clear", die)
            await place.start()
            await asyncio.wait_for(cleared.wait(), 20)
            await place.stop()
        assert [(job.key, job.ask) for job in place.db.read_now(restore_admissions)] == [(key, Ask(2.0, 0, 0))]
        await place.start()
        assert (await place.over("a"))["status"] == "Completed"
        place.job("b", "echo b", resources={"properties": {"cores": "2"}})
        assert (await place.over("b"))["status"] == "Completed"

    async def test_the_records_of_a_running_job_are_removed(self, place):
        """Somebody cleans up too much. The keeper stops what nobody can watch; the job does not stay Running."""
        key = place.job("a", "echo before; sleep 600")
        await place.start()
        async with asyncio.timeout(20):  # the worker watches it
            while await place.blobs.info(place.account, "azureml", "ExperimentRun/dcid.a/user_logs/std_log.txt") is None:
                await asyncio.sleep(0.01)
        folder = place.executor.root / place.executor.folder(launch_name(key, 1))
        folder.rename(place.folder / "removed")
        facts = await place.over("a")
        assert (facts["status"], facts["error"]["code"]) == ("Failed", "JobLost")

    async def test_a_job_whose_record_is_gone_leaves_no_process(self, place, tmp_path):
        key = place.job("a", f"echo $$ > {tmp_path}/pid; sleep 600")
        await place.start()
        await place.until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        await place.stop()
        await place.db.write(lambda tx: resources.delete(tx, key) and None)
        await place.start()
        await place.until(lambda: not place.open_tasks(key) and cleaned(place))
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


class TestFinish:
    @pytest.mark.parametrize("method", ["put_file", "append"])
    @pytest.mark.parametrize("problem", [OSError("no route"), ArmError(507, "InsufficientStorage", "full")], ids=["away", "full"])
    async def test_a_store_that_is_away_for_a_moment_does_not_fail_the_job(self, place, monkeypatch, tmp_path, method, problem):
        whole, left = getattr(place.blobs, method), [problem] * 4
        place.job("a", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo said; echo kept > outputs/x.txt")
        await place.start()
        await status(place, "a", "Running")

        async def moody(*args, **kwargs):
            if left:
                raise left.pop()
            return await whole(*args, **kwargs)

        monkeypatch.setattr(place.blobs, method, moody)
        monkeypatch.setattr("lazward.orchestration.jobs.FINISH_PAUSE_S", 0.01)
        (tmp_path / "go").touch()
        assert (await place.over("a"))["status"] == "Completed"
        assert left == []
        assert await place.log("a") == "said\n"
        assert await place.log("a", "outputs/x.txt") == "kept\n"

    async def test_a_store_that_stays_away_does(self, place, monkeypatch):
        async def broken(*args, **kwargs):
            raise OSError("no route")

        monkeypatch.setattr(place.blobs, "put_file", broken)
        monkeypatch.setattr("lazward.orchestration.jobs.FINISH_PAUSE_S", 0.001)
        place.job("a", "echo kept > outputs/x.txt")
        await place.start()
        facts = await place.over("a")
        assert facts["status"] == "Failed" and "no route" in facts["error"]["message"]
        assert FINISH_TRIES > 3
        assert cleaned(place)
