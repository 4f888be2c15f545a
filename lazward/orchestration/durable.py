"""Durable work: leased tasks, re-entrant handlers, one loop.

A handler is `async def h(work: Work) -> Outcome`. It may be started again at any point (another process, after a kill), so it
reads where it is from `work.state`, does things that can be done twice (start-or-attach), and records progress with
`await work.checkpoint(...)`: state and whatever else changes, in one transaction that is refused if the lease was lost.
Only the owner of the lease writes: a worker that was presumed dead finds its token gone and drops its result.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lazward.contract.errors import ArmError
from lazward.storage import tasks
from lazward.storage.db import Database, Tx
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")

LEASE_S = 30.0
BEAT_S = LEASE_S / 3
FIRST_BEAT_S = 2.0  # after a claim: one that has run so long did not kill its worker at once, and its attempts are forgotten
MAX_ATTEMPTS = 100  # claims in a row without one heartbeat: the task kills its workers

Also = Callable[[Tx], object]  # its answer is not looked at


class LeaseLost(Exception):
    """Somebody else owns the task now."""


@dataclass
class Outcome:
    """What a handler leaves: Succeeded, Failed (with error) or Canceled ends the task; InProgress puts it back for `delay` seconds."""

    status: str = "Succeeded"
    error: ArmError | None = None
    delay: float = 0.0
    also: Also | None = None


@dataclass
class Work:
    """A leased task in the hands of its handler."""

    task: Task
    db: Database
    now: Callable[[], float]
    services: Any  # orchestration.runtime.Runtime: what steps may act on

    @property
    def state(self) -> dict[str, Any]:
        return self.task.state

    @property
    def subject(self) -> str:
        return self.task.subject

    async def checkpoint(self, also: Also | None = None, **changes: Any) -> None:
        """Writes progress; raises LeaseLost (and writes nothing) if the task has another owner."""
        state = {**self.task.state, **changes}

        def save(tx: Tx) -> None:
            if not tasks.checkpoint(tx, self.task, state):
                raise LeaseLost
            if also:
                also(tx)

        await self.db.write(save)
        self.task.state = state


Handler = Callable[[Work], Awaitable[Outcome]]
FailureHook = Callable[[Tx, Task, ArmError, float], None]

HANDLERS: dict[str, Handler] = {}
ON_FAILURE: dict[str, FailureHook] = {}


def handler(kind: str, on_failure: FailureHook | None = None) -> Callable[[Handler], Handler]:
    """Registers the handler of a kind. on_failure(tx, task, error, now) words the failure in the resource when the handler raised."""

    def register(fn: Handler) -> Handler:
        HANDLERS[kind] = fn
        if on_failure:
            ON_FAILURE[kind] = on_failure
        return fn

    return register


@dataclass
class Held:
    """A task that this worker runs. extended: when its lease was last prolonged (unix seconds)."""

    task: Task
    run: asyncio.Task[None]
    extended: float


class Worker:
    """Claims and runs tasks until stopped. `name` is unique among living workers."""

    def __init__(self, db: Database, services: Any, now: Callable[[], float], name: str, *, concurrency: int = 4096):
        self.db = db
        self.services = services
        self.now = now
        self.name = name
        self.concurrency = concurrency
        self.wake = asyncio.Event()
        self._running: dict[str, Held] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """The caller holds the lock of this worker's name: what a worker of that name held is free."""
        await self.db.write(tasks.release_worker, self.name, died=True)
        heart = asyncio.create_task(self._heartbeat())
        try:
            while not stop.is_set():
                self.wake.clear()
                claimed = await self._claim()
                for task in claimed:
                    await self._begin(task)
                if not claimed:
                    await self._sleep(stop)
        finally:
            heart.cancel()
            for held in self._running.values():
                held.run.cancel()
            await asyncio.gather(heart, *(held.run for held in self._running.values()), return_exceptions=True)
            await self.db.write(tasks.release_worker, self.name, died=False)

    async def _claim(self) -> list[Task]:
        free = min(64, self.concurrency - len(self._running))
        if free <= 0:
            return []
        # A machine that slept (a closed laptop) wakes up with its leases run out. What this process works on is still its own.
        if any(self.now() - held.extended > LEASE_S / 2 for held in self._running.values()):
            await self._beat()
        return await self.db.write(tasks.claim, self.name, free, self.now(), LEASE_S)

    async def _begin(self, task: Task) -> None:
        if mine := self._running.get(task.id):  # its lease ran out under our hands: never two at the same task
            mine.run.cancel()
            await asyncio.wait({mine.run})
        run = asyncio.create_task(self._step(task), name=f"{task.kind}:{task.subject}")
        self._running[task.id] = Held(task, run, self.now())

    async def _sleep(self, stop: asyncio.Event) -> None:
        due = await self.db.read(tasks.next_due)
        # The wake-up is a hint that can be lost; polling is the guarantee. Jitter keeps workers apart.
        timeout = 5.0 if due is None else min(5.0, max(0.0, due - self.now()))
        waits = [asyncio.create_task(self.wake.wait()), asyncio.create_task(stop.wait())]
        _, pending = await asyncio.wait(waits, timeout=max(0.005, timeout) + random.random() * 0.005, return_when=asyncio.FIRST_COMPLETED)  # noqa: S311
        for wait in pending:
            wait.cancel()

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(FIRST_BEAT_S)
            try:
                await self._beat()
            except Exception:
                log.exception("could not extend leases")

    async def _beat(self) -> None:
        """Extends the leases that are due for it; work whose lease is lost is stopped."""
        now = self.now()
        due = [held for held in self._running.values() if now - held.extended > (BEAT_S if held.task.attempts < 2 else FIRST_BEAT_S)]
        if not due:
            return
        kept = set(await self.db.write(tasks.extend, [(held.task.id, held.task.lease_token or "") for held in due], now + LEASE_S))
        for held in due:
            if held.task.id in kept:
                held.extended, held.task.attempts = now, 1
            else:
                held.run.cancel()

    async def _step(self, task: Task) -> None:
        work = Work(task, self.db, self.now, self.services)
        try:
            outcome = await self._outcome(work)
            await self.db.write(_apply, task, work.state, outcome, self.now())
        except LeaseLost:
            log.warning("lease lost: %s %s", task.kind, task.subject)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("could not write the outcome of %s %s", task.kind, task.subject)
        finally:
            self._running.pop(task.id, None)
            self.wake.set()

    async def _outcome(self, work: Work) -> Outcome:
        task = work.task
        run = HANDLERS.get(task.kind)
        try:
            if run is None:
                raise ArmError(501, "NotImplemented", f"No handler for work of kind '{task.kind}'.")
            if task.attempts > MAX_ATTEMPTS:
                raise ArmError(500, "RepeatedCrash", f"The work '{task.kind}' ended its worker {MAX_ATTEMPTS} times and is given up.")
            return await run(work)
        except (LeaseLost, asyncio.CancelledError):
            raise
        except Exception as cause:
            error = cause if isinstance(cause, ArmError) else ArmError(500, "InternalError", f"{type(cause).__name__}: {cause}")
            if not isinstance(cause, ArmError):
                log.exception("task failed: %s %s", task.kind, task.subject)
            hook = ON_FAILURE.get(task.kind)
            now = self.now()
            return Outcome("Failed", error, also=(lambda tx: hook(tx, task, error, now)) if hook else None)


def _apply(tx: Tx, task: Task, state: dict[str, Any], outcome: Outcome, now: float) -> None:
    if outcome.status == "InProgress":
        owned = tasks.put_back(tx, task, state, now + outcome.delay)
    else:
        owned = tasks.finish(tx, task, outcome.status, now, outcome.error.as_dict() if outcome.error else None)
    if not owned:
        raise LeaseLost
    if outcome.also:
        outcome.also(tx)
