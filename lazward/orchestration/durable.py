"""Durable work: leased tasks, re-entrant handlers, one loop.

A handler is `async def h(work: Work) -> Outcome`. It may be started again at any point (another process, after a kill), so it
reads where it is from `work.state`, does things that can be done twice (start-or-attach), and records progress with
`await work.checkpoint(...)`: state and whatever else changes, in one transaction that is refused if the lease was lost.
Only the owner of the lease writes: a worker that was presumed dead finds its token gone and drops its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lazward.contract.errors import ArmError, as_arm_error
from lazward.storage import tasks
from lazward.storage.db import Database, DatabaseAway, Tx
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")

LEASE_S = 30.0
BEAT_S = LEASE_S / 3
FIRST_BEAT_S = 2.0  # after a claim: one that has run so long did not kill its worker at once, and its attempts are forgotten
AWAY_PAUSE_S = 1.0  # before work that the database left in the lurch is begun again
PAUSE_S, FORGET_S = 1.0, 3600.0  # between tries of a handler that may be tried again, doubling; the count is dropped after that long without a fault
AT_ONCE = 64  # tasks claimed in one transaction
RELEASE_S = 3.0  # a worker that stops waits no longer for its database
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
TRIES: dict[str, int] = {}


def handler(kind: str, on_failure: FailureHook | None = None, tries: int = 1) -> Callable[[Handler], Handler]:
    """Registers the handler of a kind. on_failure(tx, task, error, now) words the failure in the resource when the handler raised.

    tries: how often a fault of ours in a row (anything but an ArmError below 500) is met by going on from the last checkpoint before it
    is a failure: a store that is away for a moment must not end work of days."""

    def register(fn: Handler) -> Handler:
        HANDLERS[kind], TRIES[kind] = fn, tries
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
                try:
                    claimed = await self._claim()
                except DatabaseAway:  # it broke in the commit: what was claimed, if it was, is claimed again when the lease ends
                    claimed = []
                for task in claimed:
                    await self._begin(task)
                if len(claimed) < AT_ONCE:  # nothing else was due: whether something is by now, _sleep finds out without a write
                    await self._sleep(stop)
        finally:
            heart.cancel()
            for held in self._running.values():
                held.run.cancel()
            await asyncio.gather(heart, *(held.run for held in self._running.values()), return_exceptions=True)
            # With a database that is away they stay held; the next worker of this name frees them.
            with contextlib.suppress(DatabaseAway, TimeoutError):
                await asyncio.wait_for(self.db.write(tasks.release_worker, self.name, died=False), RELEASE_S)

    async def _claim(self) -> list[Task]:
        free = min(AT_ONCE, self.concurrency - len(self._running))
        if free <= 0:
            return []
        return await self.db.write(self._extend_and_claim, free)

    def _extend_and_claim(self, tx: Tx, free: int) -> list[Task]:
        """A machine that slept (a closed laptop), or whose database was away, finds its leases run out. What this process works on
        is still its own, unless another worker has claimed it."""
        now = self.now()
        late = [(held.task.id, held.task.lease_token or "") for held in list(self._running.values()) if now - held.extended > LEASE_S / 2]
        if late:
            tasks.extend(tx, late, now + LEASE_S)
        return tasks.claim(tx, self.name, free, now, LEASE_S)

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
        leases = [(held.task.id, held.task.lease_token or "") for held in due]
        kept, now = await self.db.write(lambda tx: (set(tasks.extend(tx, leases, self.now() + LEASE_S)), self.now()))
        for held in due:
            if held.task.id in kept:
                held.extended, held.task.attempts = now, 1
            else:
                held.run.cancel()

    async def _step(self, task: Task) -> None:
        try:
            while not await self._try(task):
                await asyncio.sleep(AWAY_PAUSE_S)
        finally:
            full = len(self._running) >= self.concurrency
            self._running.pop(task.id, None)
            if full:  # there is room for what is due
                self.wake.set()

    async def _try(self, task: Task) -> bool:
        """Runs the handler and writes what it leaves; False: to be done again, from what is stored."""
        work = Work(task, self.db, self.now, self.services)
        try:
            outcome = await self._outcome(work)
            if await self.db.write(lambda tx: _apply(tx, task, work.state, outcome, self.now())):
                self.wake.set()  # it is due again, now or in a while
        except LeaseLost:
            log.warning("lease lost: %s %s", task.kind, task.subject)
        except DatabaseAway:
            # Nobody's failure: as if the worker had been killed and the next one went on.
            log.warning("the database was away: %s %s goes on from its last checkpoint", task.kind, task.subject)
            return await self._reload(task)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("could not write the outcome of %s %s", task.kind, task.subject)
        return True

    async def _reload(self, task: Task) -> bool:
        """Brings the task to what is stored; True when that is no more ours to work on."""
        try:
            found = await self.db.read(tasks.get, task.id)
        except DatabaseAway:
            return False
        if found is None or found.status != "InProgress" or found.lease_token != task.lease_token:
            return True
        task.state = found.state
        return False

    async def _outcome(self, work: Work) -> Outcome:
        task = work.task
        run = HANDLERS.get(task.kind)
        try:
            if run is None:
                raise ArmError(501, "NotImplemented", f"No handler for work of kind '{task.kind}'.")
            if task.attempts > MAX_ATTEMPTS:
                raise ArmError(500, "RepeatedCrash", f"The work '{task.kind}' ended its worker {MAX_ATTEMPTS} times and is given up.")
            return await run(work)
        except (LeaseLost, DatabaseAway, asyncio.CancelledError):
            raise
        except Exception as cause:
            error, now = as_arm_error(cause), self.now()
            if (again := _again(task, error, now)) is not None:
                log.warning("%s %s was interrupted and goes on in %.0f s", task.kind, task.subject, again.delay, exc_info=cause)
                return again
            if not isinstance(cause, ArmError):
                log.exception("task failed: %s %s", task.kind, task.subject)
            hook = ON_FAILURE.get(task.kind)
            return Outcome("Failed", error, also=(lambda tx: hook(tx, task, error, now)) if hook else None)


def _again(task: Task, error: ArmError, now: float) -> Outcome | None:
    """The task as put back after a fault, or None when that is not to be done (again)."""
    before = task.state.get("faults") or {"count": 0, "at": now}
    count = 1 if now - before["at"] > FORGET_S else before["count"] + 1
    if error.status < 500 or count >= TRIES.get(task.kind, 1) or task.attempts > MAX_ATTEMPTS:
        return None
    task.state = {**task.state, "faults": {"count": count, "at": now}}
    return Outcome("InProgress", delay=PAUSE_S * 2 ** min(count, 10))


def _apply(tx: Tx, task: Task, state: dict[str, Any], outcome: Outcome, now: float) -> bool:
    """Writes what a handler leaves; whether the task goes on. Raises LeaseLost."""
    if outcome.status == "InProgress":
        status = "InProgress" if tasks.put_back(tx, task, state, now + outcome.delay, now) else None
    else:
        status = tasks.finish(tx, task, outcome.status, now, outcome.error.as_dict() if outcome.error else None)
    if status is None:
        raise LeaseLost
    # One that was asked for again says nothing about the resource yet: what it did was for a document that has changed since.
    if outcome.also and status == outcome.status:
        outcome.also(tx)
    return status == "InProgress"
