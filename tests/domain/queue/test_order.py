"""The order of the queue, by plays of random jobs that come, run and end."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.domain.ports import Capacity
from lazward.domain.queue.order import RANK_S, Ask, Block, Job, Limits, fitted, free, position, startable, survey
from lazward.domain.queue.priority import RANKS

MACHINE = Capacity(4, 8, 1)
NONE = Limits()


def job(key: str, cores: float = 1, *, rank: int = 7, arrived: float = 0.0, sequence: int = 0, workspace: str = "w", user: str = "u", memory: int = 0, gpus: int = 0) -> Job:
    return Job(key, Ask(cores, memory, gpus), rank, arrived, sequence, workspace, user)


def starts(queue: list[Job], held: list[Job] | None = None, limits: Limits = NONE) -> list[str]:
    return [j.key for j in startable(sorted(queue, key=position), held or [], MACHINE, limits)]


def blocks(queue: list[Job], held: list[Job] | None = None, limits: Limits = NONE) -> dict[str, Block | None]:
    return {j.key: block for j, block in survey(sorted(queue, key=position), held or [], MACHINE, limits)}


class TestOrder:
    def test_of_equals_the_first_comes_first(self):
        assert starts([job("b", 2, arrived=2.0), job("a", 3, arrived=1.0)]) == ["a"]
        assert starts([job("b", 3, sequence=2), job("a", 3, sequence=1)]) == ["a"]

    def test_higher_ranks_pass(self):
        assert starts([job("low", 3, rank=0, arrived=0.0), job("high", 3, rank=11, arrived=60.0)]) == ["high"]

    def test_but_not_those_that_have_waited_for_long(self):
        assert starts([job("old", 3, rank=7, arrived=0.0), job("new", 3, rank=8, arrived=RANK_S + 1)]) == ["old"]

    def test_a_big_one_at_the_head_is_not_passed(self):
        assert starts([job("big", 4), job("small", 1, sequence=1)], [job("running", 2)]) == []

    @pytest.mark.parametrize("ask", [{"cores": 4}, {"memory": 8}, {"gpus": 1}])
    def test_each_kind_of_resource_counts(self, ask):
        assert starts([job("a", **ask), job("b", sequence=1, **ask)]) == ["a"]

    def test_an_ask_for_more_cores_than_there_can_be_runs_alone(self):
        assert fitted(Ask(64), MACHINE, NONE).cores == 4
        assert fitted(Ask(64), MACHINE, Limits(workspace_cores=3, user_cores=2)).cores == 2


class TestLimits:
    def test_a_neighbour_gets_on_while_one_waits_for_its_own_limit(self):
        queue = [job("a1"), job("a2", sequence=1), job("b", sequence=2, workspace="other")]
        assert starts(queue, [job("a0")], Limits(workspace_jobs=1)) == ["b"]
        assert blocks(queue, [job("a0")], Limits(workspace_jobs=1)) == {"a1": Block("workspace jobs", 1, 1), "a2": Block("workspace jobs", 2, 1), "b": None}

    def test_cores(self):
        assert starts([job("a", 2), job("b", 2, sequence=1)], limits=Limits(workspace_cores=3)) == ["a"]

    def test_a_small_one_does_not_pass_a_big_one_that_waits_for_the_same_limit(self):
        assert starts([job("big", 3), job("small", 1, sequence=1)], [job("running", 1)], Limits(workspace_cores=3)) == []

    def test_another_user_of_the_workspace_gets_on(self):
        queue = [job("mine"), job("mine too", sequence=1), job("yours", sequence=2, user="v")]
        assert starts(queue, [job("running")], Limits(user_jobs=1)) == ["yours"]
        assert starts(queue, [job("running")], Limits(user_cores=1)) == ["yours"]

    def test_a_user_has_a_share_in_each_workspace(self):
        assert starts([job("a", workspace="other")], [job("running")], Limits(user_jobs=1)) == ["a"]

    def test_what_was_there_before_the_limit_counts(self):
        assert starts([job("a")], [job("x"), job("y")], Limits(workspace_jobs=1)) == []


@dataclass
class Play:
    """What happens to a queue: jobs come and end; the rules say who starts."""

    limits: Limits
    queue: list[Job] = field(default_factory=list)
    held: dict[str, Job] = field(default_factory=dict)
    started: list[Job] = field(default_factory=list)
    waiting_when: dict[str, list[Job]] = field(default_factory=dict)  # who waited when a job started

    def come(self, new: Job) -> None:
        self.queue.append(Job(new.key, fitted(new.ask, MACHINE, self.limits), new.rank, new.arrived, new.sequence, new.workspace, new.user))
        self.queue.sort(key=position)
        self.go()

    def end(self, which: int) -> None:
        if self.held:
            self.held.pop(list(self.held)[which % len(self.held)])
            self.go()

    def go(self) -> None:
        for one in startable(self.queue, self.held.values(), MACHINE, self.limits):
            self.queue.remove(one)
            self.held[one.key] = one
            self.started.append(one)
            self.waiting_when[one.key] = list(self.queue)
            self.check()

    def check(self) -> None:
        left = free(self.held.values(), MACHINE)
        assert left.cores >= -1e-6 and left.memory_bytes >= 0 and left.gpus >= 0
        for whose, jobs, cores in ((lambda j: j.workspace, self.limits.workspace_jobs, self.limits.workspace_cores), (lambda j: (j.workspace, j.user), self.limits.user_jobs, self.limits.user_cores)):
            for group in {whose(j) for j in self.held.values()}:
                mine = [j for j in self.held.values() if whose(j) == group]
                assert not jobs or len(mine) <= jobs
                assert not cores or sum(j.ask.cores for j in mine) <= cores + 1e-6


COMES = st.tuples(
    st.just("come"), st.floats(0, 6), st.integers(0, RANKS - 1), st.integers(0, 8), st.integers(0, 1), st.sampled_from("ab"), st.sampled_from("uv"), st.floats(0, 8 * RANK_S),
)
STEPS = st.lists(st.one_of(COMES, st.tuples(st.just("end"), st.integers(0, 9))), max_size=60)
LIMITS = st.builds(Limits, *[st.integers(0, 3)] * 4)


def played(steps, limits: Limits) -> Play:
    play, now = Play(limits), 0.0
    for number, (kind, *facts) in enumerate(steps):
        if kind == "end":
            play.end(facts[0])
        else:
            cores, rank, memory, gpus, workspace, user, later = facts
            now += later
            play.come(job(f"j{number}", cores, rank=rank, arrived=now, sequence=number, workspace=workspace, user=user, memory=memory, gpus=gpus))
    return play


@settings(max_examples=150, deadline=None)
@given(STEPS, LIMITS)
def test_nothing_is_given_twice_and_everybody_has_a_turn(steps, limits):
    play = played(steps, limits)
    while play.queue or play.held:
        assert play.held, "nothing runs, and nobody may start"
        play.end(0)
    assert len(play.started) == sum(kind == "come" for kind, *_ in steps)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_without_limits_whoever_starts_is_the_first_of_those_that_wait(steps):
    play = played(steps, NONE)
    for one in play.started:
        assert all(position(one) < position(other) for other in play.waiting_when[one.key])


@settings(max_examples=150, deadline=None)
@given(STEPS, LIMITS)
def test_nobody_is_passed_by_his_own(steps, limits):
    """Whatever the limits, jobs of one user in one workspace start in order."""
    play = played(steps, limits)
    for one in play.started:
        assert all(position(one) < position(other) for other in play.waiting_when[one.key] if (other.workspace, other.user) == (one.workspace, one.user))


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_nobody_is_passed_by_one_who_came_long_after_him_whatever_his_rank(steps):
    play = played(steps, NONE)
    for one in play.started:
        assert all(one.arrived - other.arrived <= RANKS * RANK_S for other in play.waiting_when[one.key])
        assert all(one.arrived <= other.arrived for other in play.waiting_when[one.key] if other.rank == one.rank)
