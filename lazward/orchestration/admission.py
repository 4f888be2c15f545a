"""Who may run now, by the rules of domain/queue: jobs get the cores, memory and GPUs they ask for in their order, and waiting ones are told
why they wait.

The holdings live in memory; they follow from the tasks, so a new worker restores them before it claims any (job_queue.restore). The
order follows from the jobs alone, so it is the same after a restart.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
from collections.abc import Awaitable, Callable

import msgspec

from lazward.domain.ports import Capacity
from lazward.domain.queue.order import Ask, Job, Limits, fitted, free, position, startable
from lazward.domain.queue.reasons import reasons

log = logging.getLogger("lazward.worker")

TELL_EVERY_S = 0.5  # however often the queue moves, each waiting job is told no more often; who starts sooner is not told at all

Tell = Callable[[dict[str, str]], Awaitable[bool]]  # gets key -> reason of the jobs whose reason is new; whether to call it again


class Admission:
    """tell: called with what is new, never twice at once; what it raises is logged, and the same is told again later."""

    def __init__(self, capacity: Capacity, limits: Limits | None = None, tell: Tell | None = None, tell_every_s: float = TELL_EVERY_S):
        self.capacity = capacity
        self.limits = limits or Limits()
        self._tell = tell
        self._tell_every_s = tell_every_s
        self._held: dict[str, Job] = {}
        self._queue: list[Job] = []  # sorted by position()
        self._admitted: dict[str, asyncio.Event] = {}  # of those in the queue
        self._said: dict[str, str] = {}
        self._moved = False  # since it was told last
        self._more = False  # for the teller to do
        self._telling: asyncio.Task[None] | None = None

    def hold(self, job: Job) -> None:
        """Counts a job that runs already (after a restart), whatever is free."""
        self._held[job.key] = self._fitted(job)

    async def acquire(self, job: Job) -> None:
        """Returns when the job may start. Cancelling the call leaves the queue."""
        if job.key in self._held:
            return
        job, admitted = self._fitted(job), asyncio.Event()
        bisect.insort(self._queue, job, key=position)
        self._admitted[job.key] = admitted
        self._admit()
        try:
            await admitted.wait()
        finally:
            if not admitted.is_set():
                self._leave(job)
                self._admit()

    async def release(self, key: str) -> None:
        if self._held.pop(key, None) is not None:
            self._admit()

    def free(self) -> Ask:
        return free(self._held.values(), self.capacity)

    def most_cores(self) -> float:
        """That one job can have."""
        return fitted(Ask(float("inf")), self.capacity, self.limits).cores

    def _fitted(self, job: Job) -> Job:
        return msgspec.structs.replace(job, ask=fitted(job.ask, self.capacity, self.limits))

    def _admit(self) -> None:
        for job in startable(self._queue, self._held.values(), self.capacity, self.limits):
            self._held[job.key] = job
            self._admitted[job.key].set()
            self._leave(job)
        self._moved = True
        if self._queue and self._tell and self._telling is None:
            self._telling = asyncio.create_task(self._keep_telling())

    def _leave(self, job: Job) -> None:
        del self._queue[bisect.bisect_left(self._queue, position(job), key=position)]
        del self._admitted[job.key]
        self._said.pop(job.key, None)

    async def _keep_telling(self) -> None:
        """Until nobody waits, or nothing moves."""
        assert self._tell
        try:
            while self._queue and (self._moved or self._more):
                await asyncio.sleep(self._tell_every_s)
                self._moved = False
                now = reasons(self._queue, self._held.values(), self.capacity, self.limits)
                news = {key: reason for key, reason in now.items() if self._said.get(key) != reason}
                try:
                    self._more = bool(news or self._more) and await self._tell(news)
                except Exception:
                    log.warning("waiting jobs could not be told why they wait; trying again", exc_info=True)
                    self._moved = True
                else:
                    self._said |= {key: reason for key, reason in news.items() if key in self._admitted}
        finally:
            self._telling = None
