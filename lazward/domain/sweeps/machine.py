"""The life of a sweep as a pure function: from what is known of its trials to what is to be done now.

`decide` looks at states, not at news, so an effect that was lost in a crash, or done without anybody remembering, is asked for again
or not according to what is there. Doing an effect twice is harmless: a trial has its number for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["live", "stopping", "completed", "failed", "stopped", "canceled"]
LEAST_FAILURES = 10  # so many trials must have failed, and no other ended well, before a sweep is given up


@dataclass(frozen=True)
class Plan:
    """total: trials in all. concurrent: trials at once."""

    total: int
    concurrent: int

    @property
    def patience(self) -> int:
        return max(LEAST_FAILURES, self.concurrent)


@dataclass(frozen=True)
class Trial:
    """live: submitted and not over. stopping: live, and asked to stop. stopped: canceled by us. canceled: by somebody else."""

    number: int
    state: State


@dataclass(frozen=True)
class Start:
    number: int


@dataclass(frozen=True)
class Stop:
    number: int
    reason: Literal["policy", "canceled", "timeout", "failures"]


@dataclass(frozen=True)
class End:
    """status: the sweep's. code: of its error, or ""."""

    status: Literal["Completed", "Failed", "Canceled"]
    code: str = ""


Effect = Start | Stop | End


def decide(plan: Plan, trials: Sequence[Trial], *, canceled: bool = False, timed_out: bool = False, unfit: frozenset[int] = frozenset()) -> list[Effect]:
    """trials: those that were ever started. unfit: numbers of trials that the policy gives up.

    Nothing is started once the sweep is canceled, timed out or given up; it ends when no trial is live."""
    live = [t for t in trials if t.state in ("live", "stopping")]
    failures = _given_up(plan, trials)
    reason = "canceled" if canceled else "timeout" if timed_out else "failures" if failures else None
    if reason:
        if live:
            return [Stop(t.number, reason) for t in live if t.state == "live"]
        return [End("Canceled") if canceled else End("Canceled", "SweepTimeout") if timed_out else End("Failed", "TrialsFailed")]
    effects: list[Effect] = [Stop(t.number, "policy") for t in live if t.state == "live" and t.number in unfit]
    # Trials start in the order of their numbers, so a number missing below the greatest is a trial that somebody has deleted since.
    first = max((t.number for t in trials), default=-1) + 1
    room = max(0, plan.concurrent - len(live))
    effects += [Start(n) for n in range(first, min(first + room, plan.total))]
    if live or first < plan.total:
        return effects
    return [_end(trials)]


def _given_up(plan: Plan, trials: Sequence[Trial]) -> bool:
    failed = sum(t.state == "failed" for t in trials)
    well = any(t.state in ("completed", "stopped") for t in trials)
    return failed >= plan.patience and not well


def _end(trials: Sequence[Trial]) -> End:
    if any(t.state == "completed" for t in trials):
        return End("Completed")
    if any(t.state == "failed" for t in trials):
        return End("Failed", "TrialsFailed")
    return End("Failed", "NoTrialCompleted")
