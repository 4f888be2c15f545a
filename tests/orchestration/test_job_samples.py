"""System metrics of jobs that really run, in the run's metrics, whoever stores them."""

from __future__ import annotations

import json

import msgspec
import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.names import Metric
from lazward.orchestration import job_samples, jobs
from lazward.orchestration.job_samples import SamplePump, next_step
from lazward.storage import metric_history, metrics, resources, run_search, runs
from lazward.storage.db import DatabaseAway
from tests.orchestration.place import HOME
from tests.orchestration.test_job_attempts import retrying

MACHINE, OWN = "system/cpu_utilization_percentage", "system/job_processes"


def often(place, interval_s: float = 0.05) -> None:
    place.settings = msgspec.structs.replace(place.settings, system_metrics_interval_s=interval_s)


def values(place, name: str = "a") -> dict[str, float]:
    return {key: value for key, value, *_ in place.db.read_now(run_search.one, HOME.lower(), name).metrics}


def steps_of(place, key: str, name: str = "a") -> list[int]:
    return [point.step for point in place.db.read_now(metric_history.history, HOME.lower(), name, key, None, None)[0]]


class TestJobs:
    async def test_the_shortest_job_has_them(self, place):
        place.job("a", "true")
        await place.start()
        await place.over("a")
        found = values(place)
        assert {"system/disk_usage_percentage", "system/job_memory_usage_megabytes", "system/job_cpu_cores"} <= found.keys()
        assert found["system/job_memory_usage_megabytes"] > 0

    async def test_a_longer_one_has_histories_while_it_runs(self, place, tmp_path):
        often(place)
        place.job("a", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
        await place.start()
        await place.until(lambda: len(steps_of(place, OWN)) >= 3)
        assert place.facts("jobs/a")["status"] == "Running"
        (tmp_path / "go").touch()
        await place.over("a")
        assert steps_of(place, OWN) == list(range(len(steps_of(place, OWN))))
        assert MACHINE in values(place)

    async def test_ranks(self, place):
        place.job("a", "sleep 0.4", distribution={"distributionType": "PyTorch", "processCountPerInstance": 2})
        often(place)
        await place.start()
        await place.over("a")
        assert {"system/rank_0/job_cpu_cores", "system/rank_1/job_memory_usage_megabytes", "system/job_processes"} <= values(place).keys()

    @pytest.mark.parametrize("more", [{"tags": {"lazward.systemMetrics": "false"}}, {"environmentVariables": {"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"}}])
    async def test_a_job_may_do_without(self, place, more):
        place.job("a", "true", **more)
        await place.start()
        await place.over("a")
        assert values(place) == {}

    async def test_a_server_may_do_without(self, place):
        often(place, 0)
        place.job("a", "true")
        await place.start()
        await place.over("a")
        assert values(place) == {}

    async def test_where_mlflow_logs_its_own_only_what_is_about_the_job_is_added(self, place):
        place.job("a", "true", environmentVariables={"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true", "MLFLOW_SYSTEM_METRICS_NODE_ID": "n1"})
        await place.start()
        await place.over("a")
        assert values(place)
        assert all(key.startswith("system/n1/job_") for key in values(place))

    async def test_steps_go_on_over_attempts(self, place, monkeypatch):
        monkeypatch.setattr(jobs, "pause_s", lambda failures: 0.01)
        place.job("a", "[ $LAZWARD_JOB_ATTEMPT = 3 ] || exit 1", **retrying(2))
        await place.start()
        await place.over("a")
        assert steps_of(place, OWN) == [0, 1, 2]

    async def test_workers_that_come_and_go_lose_and_double_nothing(self, place, tmp_path):
        often(place)
        key = place.job("a", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
        for _ in range(3):
            await place.start()
            before = len(steps_of(place, OWN))
            await place.until(lambda before=before: len(steps_of(place, OWN)) > before + 1)
            await place.stop()
        (tmp_path / "go").touch()
        launch = place.executor.root / place.executor.folder(jobs.launch_name(key, 1))
        await place.until(lambda: (launch / "exit.json").exists())
        lines = [json.loads(line) for line in (launch / "metrics").read_text().splitlines()]
        await place.start()
        await place.over("a")
        assert steps_of(place, OWN) == [line["step"] for line in lines if "job_processes" in line]
        assert steps_of(place, "system/disk_usage_megabytes") == [line["step"] for line in lines]
        assert [line["step"] for line in lines] == list(range(len(lines)))

    async def test_a_run_that_somebody_deletes_is_left_alone(self, place, tmp_path):
        often(place)
        place.job("a", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
        await place.start()
        await place.until(lambda: steps_of(place, OWN))
        place.db.write_now(runs.delete, HOME.lower(), "a", 1.0)
        (tmp_path / "go").touch()
        assert (await place.over("a"))["status"] == "Completed"


class Pump:
    """A pump over samples that a test writes."""

    def __init__(self, place):
        self.place = place
        place.job("a", "true")
        job = place.db.read_now(resources.get, f"{HOME}/jobs/a".lower())
        self.said = b""
        self.pump = SamplePump(place.db, job, self.read, 10.0)

    async def read(self, start: int, limit: int) -> bytes:
        return self.said[start : start + limit]

    def add(self, *steps: int) -> None:
        for step in steps:
            self.said += json.dumps({"at": 1000 + step, "step": step, "cpu_utilization_percentage": 1.0, "job_processes": float(step)}).encode() + b"\n"

    def steps(self, key: str = OWN) -> list[int]:
        return steps_of(self.place, key)


@pytest.fixture
def pump(place) -> Pump:
    return Pump(place)


class TestPump:
    async def test_only_whole_lines_and_what_are_samples(self, pump):
        pump.add(0)
        pump.said += b"nonsense\n" + b'{"at": 1, "step": -1, "x": 2}\n'
        pump.add(1)
        pump.said, rest = pump.said[:-5], pump.said[-5:]
        await pump.pump.drain()
        assert pump.steps() == [0]
        pump.said += rest
        await pump.pump.drain()
        assert pump.steps() == [0, 1]

    async def test_many_at_once_over_pieces_and_batches(self, pump, monkeypatch):
        monkeypatch.setattr(job_samples, "PIECE", 500)
        pump.add(*range(300))
        await pump.pump.drain()
        assert pump.steps() == pump.steps(MACHINE) == list(range(300))

    async def test_a_line_without_end_is_the_end_and_no_fault(self, pump):
        pump.add(0)
        await pump.pump.drain()
        pump.said += b"x" * 70_000
        await pump.pump.drain()
        assert pump.steps() == [0]

    @pytest.mark.parametrize("done", [False, True])
    async def test_a_database_that_is_away_costs_nothing(self, pump, monkeypatch, done):
        pump.add(0, 1)
        await pump.pump.drain()
        write = pump.place.db.write

        async def away(fn, *args):
            if done:
                await write(fn, *args)
            raise DatabaseAway("away", maybe_done=done)

        pump.add(2, 3)
        with monkeypatch.context() as patch:
            patch.setattr(pump.place.db, "write", away)
            with pytest.raises(DatabaseAway):
                await pump.pump.drain()
        pump.add(4)
        await pump.pump.drain()
        assert pump.steps() == pump.steps(MACHINE) == [0, 1, 2, 3, 4]

    async def test_what_the_jobs_own_mlflow_logs_is_not_logged_twice(self, pump):
        pump.add(*range(5))
        await pump.pump.drain()
        pump.place.db.write_now(metrics.log, HOME.lower(), "a", [Metric(MACHINE, 1004, 0, 50.0)])  # its steps begin at 0
        pump.add(5, 6)
        await pump.pump.drain()
        pump.add(7)
        await pump.pump.drain()
        assert sorted(pump.steps(MACHINE)) == [0, 0, 1, 2, 3, 4]
        assert pump.steps() == list(range(8))

    async def test_what_an_earlier_attempt_logged_is_nobody_elses(self, pump):
        pump.place.db.write_now(metrics.log, HOME.lower(), "a", [Metric(MACHINE, 999, 0, 50.0), Metric(OWN, 999, 0, 1.0)])
        assert await next_step(pump.place.db, pump.pump.job) == 1
        pump.add(1, 2)
        await pump.pump.drain()
        assert pump.steps(MACHINE) == [0, 1, 2]

    async def test_a_repeated_transaction_is_no_other_monitor(self, pump):
        pump.add(0, 1)
        samples = await pump.pump._next()
        assert [pump.place.db.write_now(pump.pump._store, samples) for _ in range(2)] == [False, False]
        assert pump.steps(MACHINE) == [0, 1]

    async def test_a_run_that_was_purged(self, pump):
        pump.place.db.write_now(runs.delete_job_run, HOME.lower(), "a", 1.0)
        pump.add(0)
        await pump.pump.drain()
        assert await next_step(pump.place.db, pump.pump.job) == 0
        with pytest.raises(MlflowError):
            pump.steps()
