"""The machine, driven through random orders of events. The world below keeps what really happened; the machine sees its states only."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.domain.sweeps.machine import End, Plan, Start, Stop, Trial, decide


@dataclass
class World:
    plan: Plan
    states: dict[int, str] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    canceled: bool = False
    timed_out: bool = False
    unfit: frozenset[int] = frozenset()
    end: End | None = None

    def trials(self) -> list[Trial]:
        return [Trial(n, s) for n, s in sorted(self.states.items())]

    def step(self, lost: int = 0) -> None:
        """One look and its effects; the worker dies before the last `lost` of them are done."""
        effects = decide(self.plan, self.trials(), canceled=self.canceled, timed_out=self.timed_out, unfit=self.unfit)
        for effect in effects[: len(effects) - lost if lost else None]:
            assert self.end is None
            if isinstance(effect, Start):
                assert not self.canceled and not self.timed_out
                assert effect.number not in self.states, "started twice"
                self.starts[effect.number] = self.starts.get(effect.number, 0) + 1
                self.states[effect.number] = "live"
            elif isinstance(effect, Stop):
                assert self.states[effect.number] == "live"
                self.states[effect.number] = "stopping"
            else:
                assert self.live() == 0, "ended with trials that run"
                self.end = effect
        assert self.live() <= self.plan.concurrent
        assert len(self.states) <= self.plan.total

    def live(self) -> int:
        return sum(s in ("live", "stopping") for s in self.states.values())


EVENTS = st.lists(st.one_of(
    st.tuples(st.just("look"), st.integers(0, 3)),
    st.tuples(st.just("ends"), st.integers(0, 7), st.sampled_from(["completed", "failed", "canceled"])),
    st.tuples(st.just("unfit"), st.integers(0, 7)),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("timeout")),
), max_size=60)


@settings(max_examples=300)
@given(st.integers(1, 25), st.integers(1, 6), EVENTS)
def test_any_order_of_events_with_crashes(total, concurrent, events):
    world = World(Plan(total, min(concurrent, total)))
    for event in events:
        if world.end:
            break
        kind = event[0]
        if kind == "look":
            world.step(lost=event[1])
        elif kind == "ends":
            running = [n for n, s in world.states.items() if s in ("live", "stopping")]
            if running:
                n = running[event[1] % len(running)]
                # Asked to stop, it may still end well; canceled then means by us.
                world.states[n] = "stopped" if world.states[n] == "stopping" and event[2] == "canceled" else event[2]
        elif kind == "unfit":
            world.unfit |= {event[1]}
        elif kind == "cancel":
            world.canceled = True
        else:
            world.timed_out = True
    for _ in range(200):  # from wherever it is, it comes to its end when trials do
        if world.end:
            break
        world.step()
        for n, s in world.states.items():
            if s in ("live", "stopping"):
                world.states[n] = "completed" if s == "live" else "stopped"
    assert world.end is not None
    assert set(world.starts.values()) <= {1}
    assert set(world.states) == set(range(len(world.states)))
    if world.canceled:
        assert world.end.status == "Canceled"
    elif world.timed_out:
        assert world.end == End("Canceled", "SweepTimeout") or len(world.states) == total
    elif "completed" in world.states.values():
        assert world.end == End("Completed") and len(world.states) == total


def test_all_of_the_first_failing_ends_it_and_one_that_went_well_does_not():
    plan = Plan(100, 4)
    ten = [Trial(n, "failed") for n in range(10)]
    assert decide(plan, ten) == [End("Failed", "TrialsFailed")]
    assert decide(plan, [*ten, Trial(10, "live")]) == [Stop(10, "failures")]
    assert all(isinstance(e, Start) for e in decide(plan, [Trial(0, "completed"), *ten[1:], Trial(10, "failed")]))
    assert decide(plan, ten[:9]) == [Start(9), Start(10), Start(11), Start(12)]


def test_with_as_many_at_once_all_of_them_get_their_chance():
    assert decide(Plan(100, 20), [Trial(n, "failed") for n in range(19)]) != [End("Failed", "TrialsFailed")]


def test_what_was_deleted_is_not_started_again():
    assert decide(Plan(4, 2), [Trial(2, "completed")]) == [Start(3)]


def test_how_it_ends():
    plan = Plan(2, 1)
    assert decide(plan, [Trial(0, "completed"), Trial(1, "failed")]) == [End("Completed")]
    assert decide(plan, [Trial(0, "failed"), Trial(1, "stopped")]) == [End("Failed", "TrialsFailed")]
    assert decide(plan, [Trial(0, "canceled"), Trial(1, "stopped")]) == [End("Failed", "NoTrialCompleted")]
    assert decide(plan, [Trial(0, "completed")], canceled=True) == [End("Canceled")]
