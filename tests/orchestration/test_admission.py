import asyncio
import contextlib

import pytest

from lazward.domain.ports import Capacity
from lazward.domain.queue.order import NEAR, Ask, Job, Limits
from lazward.orchestration.admission import Admission

GIB = 2**30


class Told:
    """What jobs are told, by key. broken: how many tellings fail before one does not. more: how often it asks to be called again."""

    def __init__(self) -> None:
        self.reasons: dict[str, list[str]] = {}
        self.calls: list[int] = []
        self.broken = self.more = 0

    async def __call__(self, reasons: dict[str, str]) -> bool:
        self.calls.append(len(reasons))
        if self.broken:
            self.broken -= 1
            raise OSError("away")
        for key, reason in reasons.items():
            self.reasons.setdefault(key, []).append(reason)
        self.more -= 1
        return self.more >= 0


class Applicant:
    """One that waits for its place."""

    def __init__(self, admission: Admission, key: str, cores: float = 1, **facts):
        self.key = key
        facts.setdefault("sequence", len(admission._queue) + len(admission._held))
        self.task = asyncio.create_task(admission.acquire(Job(key, Ask(cores), **facts)))

    @property
    def admitted(self) -> bool:
        return self.task.done() and not self.task.cancelled()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def admission(told) -> Admission:
    return Admission(Capacity(4, 8 * GIB, 1), tell=told, tell_every_s=0)


async def several(admission: Admission, count: int, cores: float) -> list[Applicant]:
    jobs = []
    for i in range(count):
        jobs.append(Applicant(admission, f"j{i}", cores, sequence=i))
    await settle()
    return jobs


class TestAdmission:
    async def test_gives_what_is_free_and_no_more(self, admission):
        jobs = await several(admission, 3, 1.5)
        assert [j.admitted for j in jobs] == [True, True, False]
        await admission.release("j0")
        await settle()
        assert jobs[2].admitted

    async def test_a_higher_rank_goes_first_whenever_it_came(self, admission):
        Applicant(admission, "running", 4)
        await settle()
        low, high = Applicant(admission, "low", 4, rank=1, sequence=1), Applicant(admission, "high", 4, rank=9, sequence=2)
        await settle()
        await admission.release("running")
        await settle()
        assert high.admitted and not low.admitted

    async def test_a_limit_stops_a_workspace_and_not_its_neighbour(self, told):
        admission = Admission(Capacity(4, GIB, 0), Limits(workspace_jobs=1), told, 0)
        jobs = [Applicant(admission, key, workspace=key[0], sequence=n) for n, key in enumerate(("a1", "a2", "b1"))]
        await settle()
        assert [j.admitted for j in jobs] == [True, False, True]
        assert "max_workspace_jobs" in told.reasons["a2"][-1]
        await admission.release("a1")
        await settle()
        assert jobs[1].admitted

    async def test_one_that_asks_for_more_cores_than_there_are_runs_alone(self, admission):
        huge = Applicant(admission, "huge", 64)
        await settle()
        assert huge.admitted and admission.free().cores == 0

    async def test_what_one_job_can_have_is_bounded_by_the_limits_too(self, admission):
        assert admission.most_cores() == 4
        assert Admission(Capacity(4, GIB, 0), Limits(user_cores=3)).most_cores() == 3

    async def test_one_that_gives_up_makes_room_for_those_behind(self, admission):
        Applicant(admission, "a", 3)
        big, small = Applicant(admission, "b", 4, sequence=1), Applicant(admission, "c", 1, sequence=2)
        await settle()
        big.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await big.task
        await settle()
        assert small.admitted

    async def test_what_ran_before_a_restart_counts_even_beyond_what_there_is(self, admission):
        for i in range(3):
            admission.hold(Job(f"old{i}", Ask(2)))
        new = Applicant(admission, "new", 1)
        await settle()
        assert not new.admitted
        for i in range(2):
            await admission.release(f"old{i}")
        await settle()
        assert new.admitted

    async def test_one_that_holds_already_goes_on_at_once(self, admission):
        admission.hold(Job("a", Ask(4)))
        again = Applicant(admission, "a", 4)
        await settle()
        assert again.admitted and admission.free().cores == 0

    async def test_releasing_twice_frees_once(self, admission):
        Applicant(admission, "a", 4)
        await settle()
        await admission.release("a")
        await admission.release("a")
        assert admission.free() == Ask(4, 8 * GIB, 1)


class TestTelling:
    async def test_the_reason_as_it_changes(self, admission, told):
        await several(admission, 3, 4)
        assert told.reasons == {f"j{i}": [f"Waiting for 4 of 4 cores (0 free); place {i} in the queue."] for i in (1, 2)}
        await admission.release("j0")
        await settle()
        assert told.reasons["j2"][-1] == "Waiting for 4 of 4 cores (0 free); place 1 in the queue."

    async def test_who_is_admitted_before_the_next_telling_is_not_told(self, admission, told):
        Applicant(admission, "a", 4)
        Applicant(admission, "b", 4, sequence=1)
        await asyncio.sleep(0)  # both have asked, nobody is told yet
        assert not told.calls
        await admission.release("a")
        await settle()
        assert not told.calls

    async def test_a_long_queue_is_told_as_a_whole_and_not_anew_at_each_step(self, admission, told):
        jobs = await several(admission, 1001, 4)
        assert told.calls == [1000]
        assert told.reasons["j1000"] == ["Waiting for 4 of 4 cores; at least 900 jobs are before it."]
        for i in range(60):
            await admission.release(f"j{i}")
            await settle()
        assert jobs[60].admitted
        assert len(told.reasons["j1000"]) == 1
        assert sum(told.calls) <= 1000 + 60 * (NEAR + 18)  # the near ones, and those that cross 10, 20, ..., 900

    async def test_who_comes_back_is_told_again(self, admission, told):
        Applicant(admission, "a", 4)
        for _ in range(2):
            waiting = Applicant(admission, "b", 4, sequence=1)
            await settle()
            waiting.task.cancel()
            await settle()
        assert len(told.reasons["b"]) == 2

    async def test_a_telling_that_fails_is_repeated(self, admission, told):
        told.broken = 2
        await several(admission, 2, 4)
        assert told.calls == [1, 1, 1] and len(told.reasons["j1"]) == 1

    async def test_a_teller_with_more_to_do_is_called_again(self, admission, told):
        told.more = 2
        await several(admission, 2, 4)
        assert told.calls == [1, 0, 0]
