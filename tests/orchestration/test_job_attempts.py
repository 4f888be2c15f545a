"""Jobs that are tried again: every attempt runs once, with its own log, whoever dies in between; and the reasons that jobs end for."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.tracking.names import Metric
from lazward.orchestration import job_attempts, jobs
from lazward.orchestration.admission import Admission
from lazward.orchestration.jobs import request_cancel
from lazward.storage import metric_history, metrics, runs
from tests.orchestration.place import HOME
from tests.orchestration.test_jobs import begun, keeper_of
from tests.orchestration.test_pipelines import component, node, pipeline, steps


def retrying(count: int, **more) -> dict:
    return {"resources": {"properties": {"max_retries": count, **more}}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(jobs, "pause_s", lambda failures: 0.01)


@pytest.fixture
def flaky(tmp_path) -> str:
    """Fails twice, then ends well; what each attempt says is told apart."""
    return f"echo $LAZWARD_JOB_ATTEMPT >> {tmp_path}/witness; echo attempt $LAZWARD_JOB_ATTEMPT speaks; [ $(wc -l < {tmp_path}/witness) -ge 3 ] || exit 7"


def witness(folder) -> list[str]:
    return (folder / "witness").read_text().split()


async def logs(place, job: str) -> list[str]:
    page = await place.blobs.list(place.account, "azureml", prefix=f"ExperimentRun/dcid.{job}/user_logs/")
    return [blob.name.partition("/user_logs/")[2] for blob in page.blobs]


WHOLE = """attempt 1 speaks

----- attempt 2 -----
attempt 2 speaks

----- attempt 3 -----
attempt 3 speaks
"""


class TestRetries:
    async def test_until_it_ends_well_with_a_log_for_each_attempt(self, place, flaky, tmp_path):
        place.job("a", flaky, **retrying(5))
        await place.start()
        facts = await place.over("a")
        assert (facts["status"], facts["exit"]["code"]) == ("Completed", 0) and "error" not in facts and "waitingFor" not in facts
        assert witness(tmp_path) == ["1", "2", "3"]
        assert [(one["attempt"], one["status"], one["exit"]["reason"], one["exit"]["code"], one["logs"]) for one in facts["attempts"]] == [
            (1, "Failed", "exit", 7, "user_logs/attempt_1"), (2, "Failed", "exit", 7, "user_logs/attempt_2"), (3, "Completed", "exit", 0, "user_logs/attempt_3"),
        ]
        assert facts["attempts"][0]["error"]["code"] == "UserError" and "exit code 7" in facts["attempts"][0]["error"]["message"]
        assert all(one["startTimeUtc"] <= one["endTimeUtc"] for one in facts["attempts"])
        assert facts["startTimeUtc"] == facts["attempts"][0]["startTimeUtc"] and facts["endTimeUtc"] == facts["attempts"][2]["endTimeUtc"]
        assert await place.log("a") == WHOLE
        assert [await place.log("a", f"user_logs/attempt_{n}/std_log.txt") for n in (1, 2, 3)] == [f"attempt {n} speaks\n" for n in (1, 2, 3)]
        assert place.db.read_now(runs.get, HOME.lower(), "a").status == "FINISHED"
        assert place.launches() == [] and place.folders("jobs") == []

    async def test_the_sdk_streams_the_one_log_of_all_attempts(self, place, flaky):
        from azure.ai.ml.operations._job_ops_helper import _get_sorted_filtered_logs

        place.job("a", flaky, **retrying(5))
        await place.start()
        await place.over("a")
        names = [f"user_logs/{name}" for name in await logs(place, "a")]
        assert len(names) == 4
        assert _get_sorted_filtered_logs(names, "command") == ["user_logs/std_log.txt"]

    async def test_no_more_often_than_asked_for(self, place, tmp_path):
        place.job("a", f"echo x >> {tmp_path}/witness; exit 4", **retrying(2))
        await place.start()
        facts = await place.over("a")
        assert (facts["status"], facts["error"]["code"], facts["exit"]["code"]) == ("Failed", "UserError", 4)
        assert len(witness(tmp_path)) == len(facts["attempts"]) == 3

    async def test_without_a_retry_there_is_one_attempt_and_one_log(self, place):
        place.job("a", "echo once; exit 4")
        await place.start()
        facts = await place.over("a")
        (only,) = facts["attempts"]
        assert (only["attempt"], only["status"], only["logs"]) == (1, "Failed", "user_logs")
        assert await logs(place, "a") == ["std_log.txt"]

    async def test_only_for_the_reasons_it_names(self, place, tmp_path):
        place.job("a", f"echo x >> {tmp_path}/witness; exit 4", **retrying(2, retry_on="timeout,memory"))
        await place.start()
        await place.over("a")
        assert len(witness(tmp_path)) == 1

    async def test_a_limit_of_time_holds_for_each_attempt(self, place, tmp_path):
        place.job("a", f"echo x >> {tmp_path}/witness; [ $(wc -l < {tmp_path}/witness) -ge 2 ] || sleep 600", limits={"jobLimitsType": "Command", "timeout": "PT1S"}, **retrying(1, retry_on="timeout"))
        await place.start()
        facts = await place.over("a")
        assert facts["status"] == "Completed"
        assert [one["exit"]["reason"] for one in facts["attempts"]] == ["timeout", "exit"]

    async def test_metrics_of_earlier_attempts_stay(self, place, tmp_path):
        place.job("a", f"echo x >> {tmp_path}/witness; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; [ $(wc -l < {tmp_path}/witness) -ge 2 ]", **retrying(1))
        await place.start()
        await place.until(lambda: (tmp_path / "witness").exists())
        place.db.write_now(metrics.log, HOME.lower(), "a", [Metric("loss", 1000, 0, 0.5)])
        (tmp_path / "go").touch()
        assert (await place.over("a"))["status"] == "Completed"
        points, _ = place.db.read_now(metric_history.history, HOME.lower(), "a", "loss", None, None)
        assert [p.value for p in points] == [0.5]

    async def test_each_rank_has_its_logs(self, place, tmp_path):
        place.job(
            "a", f"echo rank $RANK; mkdir {tmp_path}/$RANK.$LAZWARD_JOB_ATTEMPT; [ $LAZWARD_JOB_ATTEMPT = 2 ] || {{ until [ -d {tmp_path}/0.1 -a -d {tmp_path}/1.1 ]; do sleep 0.02; done; exit 3; }}",
            distribution={"distributionType": "PyTorch", "processCountPerInstance": 2}, **retrying(1),
        )
        await place.start()
        assert (await place.over("a"))["status"] == "Completed"
        assert await logs(place, "a") == [*(f"attempt_{n}/std_log_process_{r}.txt" for n in (1, 2) for r in (0, 1)), "std_log_process_0.txt", "std_log_process_1.txt"]
        assert (await place.log("a", "user_logs/std_log_process_1.txt")).count("rank 1\n") == 2
        assert await place.log("a", "user_logs/attempt_2/std_log_process_1.txt") == "rank 1\n"

    async def test_a_cancel_between_two_attempts_is_the_end(self, place, monkeypatch, tmp_path):
        monkeypatch.setattr(jobs, "pause_s", lambda failures: 600.0)
        key = place.job("a", f"echo x >> {tmp_path}/witness; exit 4", **retrying(9))
        await place.start()
        await place.until(lambda: "before attempt 2 (8 more after it): The command ended with exit code 4" in (place.facts("jobs/a").get("waitingFor") or ""))
        assert place.facts("jobs/a")["status"] == "Queued"
        await place.until(lambda: place.runtime.admission.free().cores == 2)  # it holds nothing while it waits
        await place.db.write(request_cancel, key, time.time())
        assert (await place.over("a"))["status"] == "Canceled"
        assert len(witness(tmp_path)) == 1

    async def test_a_step_of_a_pipeline_says_it_in_its_component_or_its_node(self, place):
        once = "[ $LAZWARD_JOB_ATTEMPT = 2 ]"
        asked = component(place, "asked", once, resources={"properties": {"max_retries": 1}})
        plain = component(place, "plain", once)
        key = pipeline(place, "p", {"a": node(asked), "b": node(plain, resources={"properties": {"max_retries": "1"}})})
        await place.start()
        assert (await place.over("p"))["status"] == "Completed"
        assert {name: len(rows[0].properties["attempts"]) for name, rows in steps(place, key).items()} == {"a": 2, "b": 2}

    async def test_what_is_no_count_is_refused(self, place):
        with pytest.raises(ArmError) as told:
            place.job("a", "echo a", **retrying("many"))
        assert told.value.target == "properties.resources.properties.max_retries"


class TestTheWorkerDiesInBetween:
    @pytest.mark.parametrize("at", ["keep_logs", "release"])
    async def test_before_and_after_the_next_attempt_is_written(self, place, flaky, tmp_path, monkeypatch, at):
        reached = asyncio.Event()

        async def die(*_, **__):
            reached.set()
            await asyncio.Event().wait()

        place.job("a", flaky, **retrying(5))
        with monkeypatch.context() as patch:
            patch.setattr(*((job_attempts, "keep_logs") if at == "keep_logs" else (Admission, "release")), die)
            await place.start()
            await asyncio.wait_for(reached.wait(), 20)
        await place.stop()
        await place.start()
        assert (await place.over("a"))["status"] == "Completed"
        assert witness(tmp_path) == ["1", "2", "3"]
        assert await place.log("a") == WHOLE
        assert await place.log("a", "user_logs/attempt_1/std_log.txt") == "attempt 1 speaks\n"

    async def test_at_any_moment(self, place, flaky, tmp_path):
        chance = random.Random(7)
        place.job("a", flaky, **retrying(5))
        while True:
            await place.start()
            await asyncio.sleep(chance.uniform(0, 0.15))
            await place.stop()
            if place.facts("jobs/a")["status"] in ("Completed", "Failed"):
                break
        await place.start()
        facts = await place.over("a")
        # An attempt whose launch was written and not begun is given up for the next; it has not run.
        ran = [one["attempt"] for one in facts["attempts"] if one["exit"]["reason"] != "lost"]
        assert facts["status"] == "Completed" and witness(tmp_path) == [str(n) for n in ran]
        assert [line for line in (await place.log("a")).splitlines() if line.endswith("speaks")] == [f"attempt {n} speaks" for n in ran]
        assert place.launches() == [] and place.folders("jobs") == []


class TestWhyItEnded:
    """One reason for each way to end, in the document and in the list of attempts."""

    @pytest.mark.parametrize(
        ("reason", "code", "command", "facts"),
        [
            ("exit", "UserError", "exit 3", {}),
            ("signal", "KilledBySignal", "kill -SEGV $$", {}),
            ("timeout", "JobTimeout", "sleep 600", {"limits": {"jobLimitsType": "Command", "timeout": "PT0.3S"}}),
            ("memory", "OutOfMemory", "exec python -c 'x = bytearray(400 * 2**20); import time; time.sleep(600)'", {"resources": {"properties": {"memory": "100Mi"}}}),
            ("resources", "ImpossibleResources", "echo a", {"resources": {"properties": {"gpus": 7}}}),
            ("inputs", "DataNotFound", "echo ${{inputs.d}}", {"inputs": {"d": {"jobInputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/nothing/there/"}}}),
        ],
    )
    async def test_reason_and_code(self, place, reason, code, command, facts):
        place.job("a", command, **facts)
        await place.start()
        found = await place.over("a")
        assert (found["status"], found["error"]["code"], found["exit"]["reason"]) == ("Failed", code, reason), found
        assert [(one["status"], one["exit"]["reason"], one["error"]["code"]) for one in found["attempts"]] == [("Failed", reason, code)]

    async def test_the_environment(self, place):
        place.environments.error = ArmError(400, "EnvironmentBuildFailed", "no such package")
        place.job("a", "echo a", **retrying(3))
        await place.start()
        found = await place.over("a")
        assert (found["error"]["code"], found["exit"], len(found["attempts"])) == ("EnvironmentBuildFailed", {"reason": "environment"}, 1)

    async def test_the_environment_is_tried_again_when_that_is_asked_for(self, place):
        place.environments.error = ArmError(400, "EnvironmentBuildFailed", "the index is away")
        place.job("a", "echo a", **retrying(100, retry_on="environment"))
        await place.start()
        await place.until(lambda: len(place.facts("jobs/a")["attempts"]) >= 2)
        place.environments.error = None
        found = await place.over("a")
        assert found["status"] == "Completed" and found["attempts"][0] | {"endTimeUtc": ""} == {
            "attempt": 1, "status": "Failed", "endTimeUtc": "", "exit": {"reason": "environment"}, "error": {"code": "EnvironmentBuildFailed", "message": "the index is away"},
        }
        assert await place.log("a") == "a\n"

    async def test_an_attempt_that_never_ran_adds_nothing_to_the_log(self, place, flaky, tmp_path, monkeypatch):
        """What the one before has left on the disk is not its."""
        failed = place.environments.ensure

        async def ensure(*args, **kwargs):
            if (tmp_path / "witness").exists() and len(place.facts("jobs/a")["attempts"]) == 1:
                raise ArmError(400, "EnvironmentBuildFailed", "the index is away")
            return await failed(*args, **kwargs)

        monkeypatch.setattr(place.environments, "ensure", ensure)
        place.job("a", flaky, **retrying(9, retry_on="exit,environment"))
        await place.start()
        found = await place.over("a")
        assert [one["exit"]["reason"] for one in found["attempts"]] == ["exit", "environment", "exit", "exit"]
        assert await place.log("a") == "attempt 1 speaks\n\n----- attempt 3 -----\nattempt 3 speaks\n\n----- attempt 4 -----\nattempt 4 speaks\n"

    async def test_the_user(self, place):
        key = place.job("a", "sleep 600", **retrying(3))
        await place.start()
        await place.until(lambda: place.facts("jobs/a")["status"] == "Running")
        await place.db.write(request_cancel, key, time.time())
        found = await place.over("a")
        assert (found["status"], found["exit"]["reason"], [one["status"] for one in found["attempts"]]) == ("Canceled", "canceled", ["Canceled"])

    async def test_what_was_lost_is_told_and_begun_again_when_asked_for(self, place, tmp_path):
        key = place.job("a", f"echo x >> {tmp_path}/witness; echo said; [ $(wc -l < {tmp_path}/witness) -ge 2 ] || sleep 600", **retrying(1))
        await place.start()
        await begun(place, key)
        os.kill(keeper_of(place, key)["pid"], signal.SIGKILL)
        found = await place.over("a")
        assert found["status"] == "Completed"
        assert [one["exit"]["reason"] for one in found["attempts"]] == ["lost", "exit"]
        assert found["attempts"][0]["error"]["code"] == "JobLost"
