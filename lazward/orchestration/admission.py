"""Who may run now: jobs get the cores, memory and GPUs they ask for, first come first served; a waiting one knows why.

The holdings live in memory; they follow from the tasks, so a new worker restores them before it claims any (restore()).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

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


class Waiting(msgspec.Struct):
    key: str
    ask: Ask
    admitted: asyncio.Event


class Admission:
    def __init__(self, capacity: Capacity):
        self.capacity = capacity
        self._held: dict[str, Ask] = {}
        self._queue: list[Waiting] = []
        self._changed = asyncio.Condition()

    def hold(self, key: str, ask: Ask) -> None:
        """Counts a job that runs already (after a restart), whatever is free."""
        self._held[key] = ask.limited(self.capacity)

    async def acquire(self, key: str, ask: Ask, say: Callable[[str], Awaitable[None]]) -> None:
        """Returns when the job may start. `say` gets the reason each time it changes. Cancelling the call leaves the queue."""
        if key in self._held:
            return
        me = Waiting(key, ask.limited(self.capacity), asyncio.Event())
        self._queue.append(me)
        self._admit()
        try:
            await self._tell()
            said = ""
            while not me.admitted.is_set():
                reason = self.reason(key)
                if reason != said:
                    said = reason
                    await say(reason)
                async with self._changed:
                    if not me.admitted.is_set():
                        try:
                            await asyncio.wait_for(self._changed.wait(), 30)
                        except TimeoutError:
                            pass
        finally:
            if me in self._queue:
                self._queue.remove(me)
                self._admit()
                await self._tell()

    async def release(self, key: str) -> None:
        if self._held.pop(key, None) is not None:
            self._admit()
            await self._tell()

    def reason(self, key: str) -> str:
        """One sentence: what a queued job waits for, and its place. The further back, the coarser, so that a long queue is not
        written anew, job by job, each time it moves on."""
        place = next((i for i, w in enumerate(self._queue) if w.key == key), -1)
        if place < 0:
            return ""
        ask, free, near = self._queue[place].ask, self.free(), place < NEAR
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

    def _admit(self) -> None:
        # Strictly in order: a big job at the head is not passed for ever by small ones behind it.
        while self._queue:
            ask, free = self._queue[0].ask, self.free()
            if ask.cores > free.cores + 1e-9 or ask.memory_bytes > free.memory_bytes or ask.gpus > free.gpus:
                return
            first = self._queue.pop(0)
            self._held[first.key] = first.ask
            first.admitted.set()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
