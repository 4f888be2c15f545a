"""kill -9 of any process of a job, and of the machine: the job ends with the status and the reason that are true, and nothing of it
is left. The worker lives in the test's process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lazward.execution import processes
from lazward.execution.runtime import records
from lazward.orchestration.jobs import request_cancel
from lazward.orchestration.runtime import launch_name

TREE = "echo before; sleep 600 & (sleep 600; true) & wait"  # a shell with a child and a grandchild


def record_of(place, key: str) -> Path:
    return Path(place.executor.folder(launch_name(key, 1))) / records.KEEPER


def keeper_of(place, key: str) -> int:
    return json.loads(record_of(place, key).read_text())["pid"]


def tree_of(place, key: str) -> list[processes.Process]:
    return processes.descendants(keeper_of(place, key))


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def none_lives(tree: list[processes.Process]) -> bool:
    return not any((now := processes.look_at(p.pid)) and now.start == p.start for p in tree)


async def running(place, name: str, command: str, count: int, logs: int = 1, **facts) -> str:
    """A job that runs, with that many processes below its keeper and something said in each log; its key."""
    key = place.job(name, command, **facts)
    await place.start()
    folder = place.runtime.folder("jobs", key) / "user_logs"
    await place.until(lambda: sum(path.stat().st_size > 0 for path in folder.glob("*.txt")) == logs)
    await place.until(lambda: len(tree_of(place, key)) == count, lambda: [vars(p) for p in tree_of(place, key)])
    return key


async def ended(place, name: str, tree: list[processes.Process], code: str) -> dict:
    """Its document, once it is over: Failed with that code, its run as well, and nothing left of it."""
    facts = await place.over(name)
    assert (facts["status"], facts["error"]["code"]) == ("Failed", code), facts
    said = place.tags(name)
    assert said["lazward.error"] == f"{code}: {facts['error']['message']}"[:4000]
    assert said["lazward.endReason"] == facts["exit"]["reason"]
    assert none_lives(tree)
    assert place.launches() == [] and place.folders("jobs") == []
    return facts


class TestTheProcessesOfAJob:
    async def test_its_leader(self, place):
        key = await running(place, "a", TREE, 4)
        tree = tree_of(place, key)
        kill(next(p.pid for p in tree if p.parent == keeper_of(place, key)))
        facts = await ended(place, "a", tree, "KilledBySignal")
        assert facts["exit"] | {"peakMemoryBytes": 0} == {"reason": "signal", "code": None, "signal": 9, "peakMemoryBytes": 0}
        assert "SIGKILL" in facts["error"]["message"] and "before" in facts["error"]["message"]
        assert await place.log("a") == "before\n"

    async def test_all_of_them(self, place):
        key = await running(place, "a", TREE, 4)
        tree = tree_of(place, key)
        kill(*(p.pid for p in tree))
        facts = await ended(place, "a", tree, "KilledBySignal")
        assert facts["exit"]["signal"] == 9
        assert await place.log("a") == "before\n"

    async def test_one_rank_ends_the_others_and_is_named(self, place):
        key = await running(place, "a", "echo $RANK; exec sleep 600", 3, 3, distribution={"distributionType": "PyTorch", "processCountPerInstance": 3})
        tree = tree_of(place, key)
        logs = place.runtime.folder("jobs", key) / "user_logs"
        second = next(p for p in tree if os.path.samefile(f"/proc/{p.pid}/fd/1", logs / "std_log_process_1.txt"))
        kill(second.pid)
        facts = await ended(place, "a", tree, "KilledBySignal")
        assert facts["error"]["target"] == "user_logs/std_log_process_1.txt"
        assert "Process 1 of 3" in facts["error"]["message"]


class TestItsKeeper:
    async def test_alone(self, place):
        key = await running(place, "a", TREE, 4)
        tree = tree_of(place, key)
        kill(keeper_of(place, key))
        facts = await ended(place, "a", tree, "JobLost")
        assert "kept the launch was killed" in facts["error"]["message"]
        assert await place.log("a") == "before\n"

    @pytest.mark.parametrize("whole", [False, True], ids=["the processes live", "with all processes"])
    async def test_while_no_worker_lives(self, place, whole):
        key = await running(place, "a", TREE, 4)
        tree = tree_of(place, key)
        await place.stop()
        kill(keeper_of(place, key), *((p.pid for p in tree) if whole else ()))
        await place.start()
        await ended(place, "a", tree, "JobLost")
        assert await place.log("a") == "before\n"


class TestTheMachine:
    @pytest.fixture
    def bystander(self) -> Iterator[subprocess.Popen]:
        """A process of somebody else, which leads a session."""
        made = subprocess.Popen(["sleep", "600"], start_new_session=True)
        yield made
        made.kill()
        made.wait()

    @pytest.mark.parametrize("same_start", [False, True])
    async def test_is_restarted_and_the_keepers_id_belongs_to_another(self, place, bystander, same_start):
        """Start times are counted from the machine's start, so even they may agree. The boot id does not."""
        key = await running(place, "a", TREE, 4)
        tree = tree_of(place, key)
        await place.stop()
        kill(keeper_of(place, key), *(p.pid for p in tree))
        seen = processes.look_at(bystander.pid)
        assert seen is not None
        record = json.loads(record_of(place, key).read_text())
        record_of(place, key).write_text(json.dumps(record | {"boot": "another", "pid": seen.pid, "start": seen.start if same_start else seen.start - 5}))
        await place.start()
        facts = await ended(place, "a", tree, "JobLost")
        assert "machine was restarted" in facts["error"]["message"]
        assert bystander.poll() is None
        assert await place.log("a") == "before\n"

    async def test_ends_a_job_that_was_canceled_as_canceled(self, place):
        key = await running(place, "a", "trap '' TERM; echo before; while true; do sleep 600; done", 2)
        tree = tree_of(place, key)
        await place.stop()
        place.db.write_now(request_cancel, key, time.time())
        await place.executor.cancel(launch_name(key, 1))
        kill(keeper_of(place, key), *(p.pid for p in tree))
        await place.start()
        assert (await place.over("a"))["status"] == "Canceled"
        assert none_lives(tree)
