import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.domain.ports import Capacity
from lazward.orchestration.admission import NEAR, Admission, Ask

GIB = 2**30


class Job:
    """One that waits for its place. said: the reasons it was told."""

    def __init__(self, admission: Admission, key: str, ask: Ask):
        self.said: list[str] = []
        self.key = key

        async def say(reason: str) -> None:
            self.said.append(reason)

        self.task = asyncio.create_task(admission.acquire(key, ask, say))

    @property
    def admitted(self) -> bool:
        return self.task.done() and not self.task.cancelled()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def admission() -> Admission:
    return Admission(Capacity(4, 8 * GIB, 1))


class TestAdmission:
    async def test_gives_what_is_free_and_no_more(self, admission):
        jobs = [Job(admission, f"j{i}", Ask(cores=1.5)) for i in range(3)]
        await settle()
        assert [j.admitted for j in jobs] == [True, True, False]
        await admission.release("j0")
        await settle()
        assert jobs[2].admitted

    @pytest.mark.parametrize("ask", [Ask(cores=4), Ask(memory_bytes=7 * GIB), Ask(gpus=1)])
    async def test_each_kind_of_resource_is_counted(self, admission, ask):
        first, second = Job(admission, "a", ask), Job(admission, "b", ask)
        await settle()
        assert first.admitted and not second.admitted
        await admission.release("a")
        await settle()
        assert second.admitted

    async def test_a_big_job_at_the_head_is_not_passed_by_small_ones(self, admission):
        Job(admission, "running", Ask(cores=2))
        big, small = Job(admission, "big", Ask(cores=4)), Job(admission, "small", Ask(cores=1))
        await settle()
        assert not big.admitted and not small.admitted
        await admission.release("running")
        await settle()
        assert big.admitted and not small.admitted

    async def test_one_that_asks_for_more_cores_than_there_are_runs_alone(self, admission):
        huge = Job(admission, "huge", Ask(cores=64))
        await settle()
        assert huge.admitted and admission.free().cores == 0

    async def test_the_reason_says_what_and_where(self, admission):
        Job(admission, "a", Ask(cores=3, memory_bytes=6 * GIB, gpus=1))
        waiting = Job(admission, "b", Ask(cores=2, memory_bytes=4 * GIB, gpus=1))
        await settle()
        assert waiting.said == ["Waiting for 2 of 4 cores (1 free), 4.0 GiB of memory (2.0 free), 1 GPUs (0 free); place 1 in the queue."]

    async def test_a_long_queue_is_not_told_anew_at_each_step(self, admission):
        jobs = [Job(admission, f"j{i}", Ask(cores=4)) for i in range(120)]
        await settle()
        assert jobs[-1].said == ["Waiting for 4 of 4 cores; at least 100 jobs are before it."]
        for i in range(60):
            await admission.release(f"j{i}")
            await settle()
        assert jobs[60].admitted
        assert len(jobs[-1].said) < 10
        assert sum(len(j.said) for j in jobs) < 60 * (NEAR + 10)

    async def test_one_that_gives_up_makes_room_for_those_behind(self, admission):
        Job(admission, "a", Ask(cores=3))
        big, small = Job(admission, "b", Ask(cores=4)), Job(admission, "c", Ask(cores=1))
        await settle()
        big.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await big.task
        await settle()
        assert small.admitted

    async def test_what_ran_before_a_restart_counts_even_beyond_what_there_is(self, admission):
        for i in range(3):
            admission.hold(f"old{i}", Ask(cores=2))
        new = Job(admission, "new", Ask(cores=1))
        await settle()
        assert not new.admitted
        for i in range(2):
            await admission.release(f"old{i}")
        await settle()
        assert new.admitted

    async def test_one_that_holds_already_goes_on_at_once(self, admission):
        admission.hold("a", Ask(cores=4))
        again = Job(admission, "a", Ask(cores=4))
        await settle()
        assert again.admitted and admission.free().cores == 0

    async def test_releasing_twice_frees_once(self, admission):
        Job(admission, "a", Ask(cores=4))
        await settle()
        await admission.release("a")
        await admission.release("a")
        assert admission.free() == Ask(4, 8 * GIB, 1)


STEPS = st.lists(st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 6), st.integers(0, 10)), st.tuples(st.just("end"), st.integers(0, 30), st.just(0)), st.tuples(st.just("give up"), st.integers(0, 30), st.just(0)),
), max_size=40)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_nothing_is_given_twice_and_the_order_is_kept(steps):
    """Jobs come, end and give up in any order: what is held never exceeds what there is, whoever is admitted is so in order of
    arrival among those that stayed, and at the end everybody has had a turn."""

    async def play() -> None:
        admission = Admission(Capacity(4, 8 * GIB, 0))
        jobs: list[Job] = []
        gone: set[str] = set()
        for kind, number, memory in steps:
            if kind == "ask":
                jobs.append(Job(admission, f"j{len(jobs)}", Ask(cores=number, memory_bytes=min(memory, 8) * GIB)))
            elif jobs:
                job = jobs[number % len(jobs)]
                if kind == "end" and job.admitted and job.key not in gone:
                    gone.add(job.key)
                    await admission.release(job.key)
                elif kind == "give up" and not job.admitted and job.key not in gone:
                    gone.add(job.key)
                    job.task.cancel()
            await settle()
            free = admission.free()
            assert free.cores >= 0 and free.memory_bytes >= 0
            stayed = [j for j in jobs if j.admitted or j.key not in gone]
            assert [j.admitted for j in stayed] == sorted((j.admitted for j in stayed), reverse=True)
        for job in jobs:
            if job.key not in gone:
                await asyncio.wait_for(job.task, 5)
                await admission.release(job.key)
        assert admission.free() == Ask(4, 8 * GIB, 0)

    asyncio.run(play())
