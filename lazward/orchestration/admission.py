"""Who may run now: jobs get the cores, memory and GPUs they ask for, first come first served; a waiting one knows why.

The holdings live in memory; they follow from the tasks, so a new worker restores them before it claims any (restore()).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from lazward.domain.ports import Capacity

NEAR = 10  # places from the head of the queue that are told exactly


class Ask(msgspec.Struct, frozen=True):
    cores: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0

    def limited(self, capacity: Capacity) -> Ask:
        """At most the whole machine: an ask for more cores than there are runs alone instead of never."""
        return Ask(min(self.cores, capacity.cores), self.memory_bytes, self.gpus)


@dataclass(eq=False)
class Waiting:
    """reason: why it waits, as of now. news: set when it is admitted or its reason changes."""

    key: str
    ask: Ask
    admitted: bool = False
    reason: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Admission:
    def __init__(self, capacity: Capacity):
        self.capacity = capacity
        self._held: dict[str, Ask] = {}
        self._queue: list[Waiting] = []

    def hold(self, key: str, ask: Ask) -> None:
        """Counts a job that runs already (after a restart), whatever is free."""
        self._held[key] = ask.limited(self.capacity)

    async def acquire(self, key: str, ask: Ask, say: Callable[[str], Awaitable[None]]) -> None:
        """Returns when the job may start. `say` gets the reason each time it changes. Cancelling the call leaves the queue."""
        if key in self._held:
            return
        me = Waiting(key, ask.limited(self.capacity))
        self._queue.append(me)
        self._admit()
        said = ""
        try:
            while not me.admitted:
                me.news.clear()
                if me.reason != said:
                    said = me.reason
                    await say(said)
                else:
                    await me.news.wait()
        finally:
            if me in self._queue:
                self._queue.remove(me)
                self._admit()

    async def release(self, key: str) -> None:
        if self._held.pop(key, None) is not None:
            self._admit()

    def _admit(self) -> None:
        # Strictly in order: a big job at the head is not passed for ever by small ones behind it.
        while self._queue:
            ask, free = self._queue[0].ask, self.free()
            if ask.cores > free.cores + 1e-9 or ask.memory_bytes > free.memory_bytes or ask.gpus > free.gpus:
                break
            first = self._queue.pop(0)
            self._held[first.key] = first.ask
            first.admitted = True
            first.news.set()
        self._tell()

    def _tell(self) -> None:
        free = self.free()
        for place, one in enumerate(self._queue):
            reason = self._reason(place, one.ask, free)
            if reason != one.reason:
                one.reason = reason
                one.news.set()

    def _reason(self, place: int, ask: Ask, free: Ask) -> str:
        """One sentence: what a queued job waits for, and its place. The further back, the coarser, so that a long queue is not
        written anew, job by job, each time it moves on."""
        near = place < NEAR
        parts = [f"{ask.cores:g} of {self.capacity.cores:g} cores" + (f" ({free.cores:g} free)" if near else "")]
        if ask.memory_bytes:
            parts.append(f"{ask.memory_bytes / 2**30:.1f} GiB of memory" + (f" ({free.memory_bytes / 2**30:.1f} free)" if near else ""))
        if ask.gpus:
            parts.append(f"{ask.gpus} GPUs" + (f" ({free.gpus} free)" if near else ""))
        unit = 10 ** (len(str(place)) - 1)
        where = f"place {place + 1} in the queue" if near else f"at least {place // unit * unit} jobs are before it"
        return f"Waiting for {', '.join(parts)}; {where}."

    def free(self) -> Ask:
        held = self._held.values()
        return Ask(
            self.capacity.cores - sum(a.cores for a in held), self.capacity.memory_bytes - sum(a.memory_bytes for a in held),
            self.capacity.gpus - sum(a.gpus for a in held),
        )
