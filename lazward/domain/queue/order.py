"""Who of the waiting jobs may start: pure functions of who waits, what runs, what the machine has and what the limits say.

The order is by time of arrival, of which each rank of priority counts for RANK_S seconds: a job passes those of lower rank that came up
to RANK_S per rank of difference before it, and no others. So of equals the first comes first, higher ranks pass lower ones, and whoever
waits is passed by nobody who comes more than RANKS * RANK_S later. A job's place does not depend on the time: a sorted list stays sorted.

The head of the queue is not passed: what is free is kept for it, however many small jobs behind it would fit. Only a job that waits for
a limit of its own workspace or user lets the others pass, and not those of the same workspace (or of the same user there).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from lazward.domain.ports import Capacity

RANK_S = 1200.0  # 20 minutes for each step of priority, so an hour for each tier
NEAR = 10  # places from the head of the queue that are told exactly
_ROUNDING = 1e-9  # of sums of fractions of cores

What = Literal["machine", "turn", "workspace jobs", "workspace cores", "user jobs", "user cores"]


class Ask(msgspec.Struct, frozen=True):
    """What a job wants to have to itself."""

    cores: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0


class Job(msgspec.Struct, frozen=True):
    """One that waits or runs. arrived: unix seconds; sequence: tells those apart that arrived together. workspace: its key; user: the
    id of who submitted it."""

    key: str
    ask: Ask = Ask()
    rank: int = 0
    arrived: float = 0.0
    sequence: int = 0
    workspace: str = ""
    user: str = ""


class Limits(msgspec.Struct, frozen=True):
    """What a workspace may hold at once, and what one user in a workspace may. 0: no limit."""

    workspace_jobs: int = 0
    workspace_cores: int = 0
    user_jobs: int = 0
    user_cores: int = 0


class Block(msgspec.Struct, frozen=True):
    """Why a job does not start. what: "machine" for want of free resources, "turn" for a job before it, else the limit that it has
    reached. place: 1 for the first of those that wait for the same (of the workspace, or user, when it is a limit). used: of a limit."""

    what: What
    place: int
    used: float = 0.0


def position(job: Job) -> tuple[float, int, str]:
    """By which the queue is sorted."""
    return (job.arrived - RANK_S * job.rank, job.sequence, job.key)


def fitted(ask: Ask, capacity: Capacity, limits: Limits) -> Ask:
    """At most all cores that it may ever have: an ask for more of them runs alone instead of never."""
    most = min([float(capacity.cores), *(float(cores) for cores in (limits.workspace_cores, limits.user_cores) if cores)])
    return msgspec.structs.replace(ask, cores=min(ask.cores, most))


def free(held: Iterable[Job], capacity: Capacity) -> Ask:
    """What is left of the machine; negative where running jobs hold more than there is."""
    asks = [job.ask for job in held]
    return Ask(capacity.cores - sum(a.cores for a in asks), capacity.memory_bytes - sum(a.memory_bytes for a in asks), capacity.gpus - sum(a.gpus for a in asks))


def startable(queue: Iterable[Job], held: Iterable[Job], capacity: Capacity, limits: Limits) -> list[Job]:
    """Those that start now, in order. queue: sorted by position()."""
    found = []
    for job, block in survey(queue, held, capacity, limits):
        if block is None:
            found.append(job)
        elif block.what == "machine":
            break
    return found


def survey(queue: Iterable[Job], held: Iterable[Job], capacity: Capacity, limits: Limits) -> Iterator[tuple[Job, Block | None]]:
    """Every waiting job in order, and why it does not start: None when it does. Later ones find taken what those before them got."""
    held = list(held)
    room, shares, full, waiting = free(held, capacity), _Shares(limits, held), False, 0
    for job in queue:
        if (block := shares.in_the_way(job)) is not None:
            yield job, block
        elif full or not _fits(job.ask, room):
            waiting += 1
            yield job, Block("turn" if full and _fits(job.ask, room) else "machine", waiting)
            full = True
        else:
            room = Ask(room.cores - job.ask.cores, room.memory_bytes - job.ask.memory_bytes, room.gpus - job.ask.gpus)
            shares.take(job)
            yield job, None


def _fits(ask: Ask, room: Ask) -> bool:
    return ask.cores <= room.cores + _ROUNDING and ask.memory_bytes <= room.memory_bytes and ask.gpus <= room.gpus


class _Shares:
    """What workspaces and users hold while a survey goes on, and who of them may get no more in it."""

    def __init__(self, limits: Limits, held: Sequence[Job]):
        self.limits = limits
        self.on = limits != Limits()
        self.jobs: dict[tuple[str, ...], int] = defaultdict(int)
        self.cores: dict[tuple[str, ...], float] = defaultdict(float)
        self.closed: dict[tuple[str, ...], Block] = {}
        for job in held:
            self.take(job)

    def take(self, job: Job) -> None:
        if self.on:
            for group in _groups(job):
                self.jobs[group] += 1
                self.cores[group] += job.ask.cores

    def in_the_way(self, job: Job) -> Block | None:
        """The limit that stops a job, or stopped one of its workspace (or user) before it: whoever comes later must not keep the
        share full for ever that the earlier one waits for."""
        if not self.on:
            return None
        for group in _groups(job):
            before = self.closed.get(group)
            found = msgspec.structs.replace(before, place=before.place + 1) if before else self._reached(job, group)
            if found:
                self.closed[group] = found
                return found
        return None

    def _reached(self, job: Job, group: tuple[str, ...]) -> Block | None:
        limits, whole = self.limits, len(group) == 1
        jobs, cores = (limits.workspace_jobs, limits.workspace_cores) if whole else (limits.user_jobs, limits.user_cores)
        if jobs and self.jobs[group] >= jobs:
            return Block("workspace jobs" if whole else "user jobs", 1, self.jobs[group])
        if cores and self.cores[group] + job.ask.cores > cores + _ROUNDING:
            return Block("workspace cores" if whole else "user cores", 1, self.cores[group])
        return None


def _groups(job: Job) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A user's share lies within the workspace's. That order of the two, and no limit across workspaces, is what keeps a job from
    waiting for two shares in turn, each of which fills while the other one empties."""
    return (job.workspace,), (job.workspace, job.user)
