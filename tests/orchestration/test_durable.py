import asyncio

import pytest

from lazward.contract.errors import ArmError
from lazward.orchestration import durable
from lazward.orchestration.durable import Outcome, Worker
from lazward.storage import tasks


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch):
    monkeypatch.setattr(durable, "HANDLERS", {})
    monkeypatch.setattr(durable, "ON_FAILURE", {})
    monkeypatch.setattr(durable, "TRIES", {})


async def run_until(db, clock, done: asyncio.Event, name="w", *, cut_short: bool = False):
    worker = Worker(db, None, clock, name)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    await asyncio.wait_for(done.wait(), 10)
    if not cut_short:  # to stop would cancel what it writes
        await asyncio.wait_for(asyncio.gather(*(held.run for held in list(worker._running.values()))), 10)
    stop.set()
    await running
    return worker


async def run_until_ended(db, clock, task_id):
    stop, worker = asyncio.Event(), Worker(db, None, clock, "w")
    loop = asyncio.get_running_loop()
    db.on_tasks = lambda: loop.call_soon_threadsafe(worker.wake.set)
    running = asyncio.create_task(worker.run(stop))
    ended = await wait_ended(db, task_id)
    stop.set()
    await running
    db.on_tasks = None
    return ended


async def wait_ended(db, task_id):
    async def poll():
        while (task := await db.read(tasks.get, task_id)).status == "InProgress":
            await asyncio.sleep(0.005)
        return task

    return await asyncio.wait_for(poll(), 10)


class TestWorker:
    async def test_runs_a_task_and_keeps_its_outcome(self, db, clock):
        async def work(w):
            return Outcome(also=lambda tx: tasks.enqueue(tx, "next", w.subject, {}, clock(), due=clock() + 999) and None)

        durable.HANDLERS["k"] = work
        task_id = await db.write(tasks.enqueue, "k", "s", {}, clock())
        assert (await run_until_ended(db, clock, task_id)).status == "Succeeded"
        assert await db.read(tasks.open_for, "s", "next")

    async def test_a_failure_is_worded_in_task_and_resource(self, db, clock):
        seen = []

        async def work(w):
            raise ArmError(400, "Bad", "no good", "field")

        def worded(tx, task, error, now):
            seen.append((task.subject, error.code))

        durable.HANDLERS["k"] = work
        durable.ON_FAILURE["k"] = worded
        task_id = await db.write(tasks.enqueue, "k", "s", {}, clock())
        ended = await run_until_ended(db, clock, task_id)
        assert (ended.status, ended.error["code"], ended.error["target"]) == ("Failed", "Bad", "field")
        assert seen == [("s", "Bad")]

    async def test_checkpoints_survive_the_worker(self, db, clock):
        """A worker dies after a checkpoint; the next one goes on from there."""
        phases = []
        first, second = asyncio.Event(), asyncio.Event()

        async def work(w):
            phases.append(w.state.get("phase", "start"))
            if len(phases) == 1:
                await w.checkpoint(phase="middle")
                first.set()
                await asyncio.Event().wait()
            second.set()
            return Outcome()

        durable.HANDLERS["k"] = work
        await db.write(tasks.enqueue, "k", "s", {}, clock())
        await run_until(db, clock, first, cut_short=True)
        clock.forward(1)
        await run_until(db, clock, second)
        assert phases == ["start", "middle"]

    async def test_the_loser_of_a_lease_writes_nothing(self, db, clock):
        taken, done = asyncio.Event(), asyncio.Event()
        wrote = []

        async def work(w):
            # Somebody else claims the task while this handler is at it, before this worker can say that it still is.
            await db.write(lambda tx: tasks.claim(tx, "thief", 1, clock() + durable.LEASE_S + 1, 3600))
            taken.set()
            try:
                await w.checkpoint(lambda tx: wrote.append(1), phase="x")
            finally:
                done.set()
            return Outcome()

        durable.HANDLERS["k"] = work
        task_id = await db.write(tasks.enqueue, "k", "s", {}, clock())
        await run_until(db, clock, done)
        assert wrote == []
        assert (await db.read(tasks.get, task_id)).state == {}

    async def test_work_that_waits_is_put_back_for_its_time(self, db, clock):
        runs, done = [], asyncio.Event()

        async def work(w):
            runs.append(clock())
            if len(runs) == 1:
                done.set()
                return Outcome("InProgress", delay=60)
            return Outcome()

        durable.HANDLERS["k"] = work
        task_id = await db.write(tasks.enqueue, "k", "s", {}, clock())
        await run_until(db, clock, done)
        assert (await db.read(tasks.get, task_id)).due == clock() + 60
        assert len(runs) == 1

    async def test_a_kind_without_handler_fails_with_a_reason(self, db, clock):
        task_id = await db.write(tasks.enqueue, "unknown", "s", {}, clock())
        ended = await run_until_ended(db, clock, task_id)
        assert ended.error["code"] == "NotImplemented"


class TestFaults:
    """What a handler with tries meets that is nobody's fault but ours."""

    async def run(self, db, clock, monkeypatch, raised: list, tries: int = 3):
        """raised: what each run raises; None: it succeeds. The task as it ended, and what each run found in the state."""
        seen = []

        async def work(w):
            seen.append(w.state.get("phase"))
            await w.checkpoint(phase=f"run {len(seen)}")
            if problem := raised[len(seen) - 1]:
                raise problem
            return Outcome()

        monkeypatch.setattr(durable, "PAUSE_S", 0.0)
        durable.HANDLERS["k"], durable.TRIES["k"] = work, tries
        return await run_until_ended(db, clock, await db.write(tasks.enqueue, "k", "s", {}, clock())), seen

    async def test_it_goes_on_from_its_checkpoint(self, db, clock, monkeypatch):
        ended, seen = await self.run(db, clock, monkeypatch, [OSError("away"), ArmError(503, "Away", "still"), None])
        assert (ended.status, seen) == ("Succeeded", [None, "run 1", "run 2"])

    async def test_not_for_ever(self, db, clock, monkeypatch):
        ended, seen = await self.run(db, clock, monkeypatch, [OSError("away")] * 3)
        assert (ended.status, ended.error["message"], len(seen)) == ("Failed", "OSError: away", 3)

    async def test_the_users_faults_are_final(self, db, clock, monkeypatch):
        ended, seen = await self.run(db, clock, monkeypatch, [ArmError(400, "Bad", "no good")])
        assert (ended.error["code"], len(seen)) == ("Bad", 1)

    async def test_only_those_in_a_row_count(self, db, clock, monkeypatch):
        monkeypatch.setattr(durable, "FORGET_S", -1.0)
        ended, seen = await self.run(db, clock, monkeypatch, [*[OSError("away")] * 9, None], tries=2)
        assert (ended.status, len(seen)) == ("Succeeded", 10)


class TestLeases:
    async def test_a_machine_that_slept_does_not_run_its_work_twice(self, db, clock):
        """The lease of what this process works on ran out while it was suspended; it is still its own."""
        runs, woken, go = [], asyncio.Event(), asyncio.Event()

        async def work(w):
            runs.append(1)
            woken.set()
            await go.wait()
            return Outcome()

        async def other(w):
            go.set()
            return Outcome()

        durable.HANDLERS |= {"k": work, "other": other}
        task_id = await db.write(tasks.enqueue, "k", "s", {}, clock())
        worker = Worker(db, None, clock, "w")
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        await asyncio.wait_for(woken.wait(), 10)
        clock.forward(durable.LEASE_S * 10)
        await db.write(tasks.enqueue, "other", "s", {}, clock())
        worker.wake.set()
        assert (await wait_ended(db, task_id)).status == "Succeeded"
        stop.set()
        await running
        assert runs == [1]

    async def test_work_that_kills_its_workers_is_given_up_and_the_resource_says_so(self, db, clock):
        said = []
        durable.HANDLERS["k"] = lambda w: asyncio.sleep(3600)
        durable.ON_FAILURE["k"] = lambda tx, task, error, now: said.append(error.code)
        task_id = await db.write(tasks.enqueue, "k", "s", {}, clock())
        for _ in range(durable.MAX_ATTEMPTS):  # each claimed it and died before its first heartbeat
            assert await db.write(tasks.claim, "w", 1, clock(), durable.LEASE_S)
            await db.write(tasks.release_worker, "w", died=True)
        worker = Worker(db, None, clock, "w")
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        clock.forward(1)
        worker.wake.set()
        ended = await wait_ended(db, task_id)
        stop.set()
        await running
        assert ended.error["code"] == "RepeatedCrash" and said == ["RepeatedCrash"]

    async def test_what_was_asked_for_again_while_it_ran_runs_again(self, db, clock):
        """From its beginning, and the resource hears of the second run only."""
        runs, told = [], []

        async def work(w):
            runs.append(w.state.get("phase"))
            await w.checkpoint(phase="switched")
            if len(runs) == 1:
                await db.write(tasks.enqueue, "k", "s", {}, clock())
            count = len(runs)
            return Outcome(also=lambda tx: told.append(count))

        durable.HANDLERS["k"] = work
        task_id = await db.write(tasks.enqueue, "k", "s", {}, clock())
        assert (await run_until_ended(db, clock, task_id)).status == "Succeeded"
        assert (runs, told) == ([None, None], [2])
