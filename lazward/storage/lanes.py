"""The way to the database: threads that take what waits for them, and callers that wait while the database is away (ADR-0004, ADR-0018).

A thread takes all that waits, up to its group's size, at once: under load many small transactions become one, and one wake of the
event loop answers all of them. With one caller a group is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from lazward.storage.away import DatabaseAway

log = logging.getLogger("lazward.database")

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.02, 0.5


class Job:
    """One call on its way through a lane. A thread sets result or error; both None is a result too."""

    __slots__ = ("args", "error", "fn", "future", "kwargs", "loop", "result")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.fn, self.args, self.kwargs = fn, args, kwargs
        self.result: Any = None
        self.error: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop
        self.future: asyncio.Future[Any]


class Lane:
    """run(jobs) does the work of a group on one of the threads, and leaves a result or an error in each; it never raises. It gets a
    private dict that lasts as long as its thread, and leave(private) is called when the thread ends."""

    def __init__(self, name: str, threads: int, group: int, run: Callable[[list[Job], dict[str, Any]], None], leave: Callable[[dict[str, Any]], None]):
        self.away: DatabaseAway | None = None
        self.busy = 0  # calls whose callers have no answer yet
        self._name, self._most, self._group, self._run, self._leave = name, threads, group, run, leave
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)  # threads that have nothing to do
        self._asking = False

    async def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], patience_s: float) -> Any:
        """What fn returns or raises. While the database is away one caller asks again and again and the others wait, so that no thread
        is kept by what cannot be; after patience_s: DatabaseAway."""
        self.busy += 1
        try:
            return await self._ask(fn, args, kwargs, patience_s)
        finally:
            self.busy -= 1

    async def _ask(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], patience_s: float) -> Any:
        began, pause = time.monotonic(), _FIRST_PAUSE_S
        while True:
            if self.away is None or not self._asking:
                asking = self._asking = self.away is not None
                try:
                    result = await self._submit(Job(fn, args, kwargs))
                    if self.away is not None:
                        log.warning("the database is back")
                        self.away = None
                    return result
                except DatabaseAway as away:
                    if self.away is None:
                        log.warning("the database is away: %s", away.__cause__ or away)
                    self.away = away
                    if away.maybe_done:
                        raise
                finally:
                    if asking:
                        self._asking = False
            left = patience_s - (time.monotonic() - began)
            if left <= 0:
                raise self.away or DatabaseAway("The database was away.")
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LAST_PAUSE_S)

    def _submit(self, job: Job) -> asyncio.Future[Any]:
        job.loop = asyncio.get_running_loop()
        job.future = job.loop.create_future()
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._waiting.put(job)
        return job.future

    def _work(self) -> None:
        private: dict[str, Any] = {}
        try:
            while True:
                job = self._next()
                jobs: list[Job] = []
                while job is not None:
                    if not job.future.cancelled():  # nobody waits any more, and nothing was begun
                        jobs.append(job)
                    if len(jobs) == self._group:
                        break
                    try:
                        job = self._waiting.get_nowait()
                    except queue.Empty:
                        break
                if jobs:
                    self._run(jobs, private)
                    _tell(jobs)
                if job is None:
                    return
        finally:
            self._leave(private)

    def _next(self) -> Job | None:
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            self._idle.release()
            return self._waiting.get()

    def close(self) -> None:
        """Waits for what is under way and for what waits."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()


def _tell(jobs: list[Job]) -> None:
    loops = {id(job.loop): job.loop for job in jobs}
    for loop in loops.values():
        with contextlib.suppress(RuntimeError):  # a loop that is closed has nobody waiting
            loop.call_soon_threadsafe(_settle, [job for job in jobs if job.loop is loop])


def _settle(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def pause(attempt: int) -> None:
    """Before a transaction is tried again that met another: longer each time, and never as long as the other's."""
    time.sleep(random.uniform(0, 0.005 * 2 ** min(attempt, 6)))  # noqa: S311 - jitter, on a thread of a lane


def fail(jobs: list[Job], error: BaseException) -> None:
    for job in jobs:
        job.error = error
