"""Samples of system metrics, which the keeper of a launch writes into a file, become metrics of the job's run.

A step is stored in one transaction, and the steps that are stored say where to go on: whoever died, none is lost or there twice. Steps
go on over the attempts of a job, since to MLflow the latest value is that of the greatest step. System metrics never fail a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking import system
from lazward.domain.tracking.system import Sample
from lazward.storage import metric_history, metrics
from lazward.storage.db import Database, DatabaseAway, Tx
from lazward.storage.resources import Row

log = logging.getLogger("lazward.worker")

PIECE = 1 << 20
BATCH = 50  # samples in one transaction
REMEMBERED = 64  # places of our latest samples
LEAST_PAUSE_S, MOST_PAUSE_S = 0.2, 5.0

Source = Callable[[int, int], Awaitable[bytes]]  # as Executor.read_samples


async def next_step(db: Database, job: Row) -> int:
    """Of the first sample of a launch: after all that are stored. 0 when somebody has purged the run."""
    try:
        stored = await db.read(metric_history.steps, job.scope, job.name, system.PREFIX)
    except MlflowError:
        return 0
    return max(stored.values(), default=-1) + 1


class SamplePump:
    """read: samples of one launch of the job. interval_s: about how often there is one."""

    def __init__(self, db: Database, job: Row, read: Source, interval_s: float):
        self.db = db
        self.job = job
        self.read = read
        self.pause_s = min(max(interval_s / 2, LEAST_PAUSE_S), MOST_PAUSE_S)
        self.prefix = system.prefix_of(job.properties)
        self.own_only = system.logs_its_own(job.properties)
        self._at = 0  # bytes read
        self._done: int | None = None  # the last step that is stored; None: not known
        self._ours: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)  # (at, step)
        self._over = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stores what comes while the block runs, and at its end what is left. Raises DatabaseAway there, and nothing else."""
        stop = asyncio.Event()
        pumping = asyncio.create_task(self._run(stop))
        try:
            yield
        finally:
            stop.set()
            await pumping
        await self.drain()

    async def _run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.drain()
            except DatabaseAway:
                log.warning("system metrics of the job %s wait in their file: the database is away", self.job.name)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self.pause_s)

    async def drain(self) -> None:
        """Stores what is there. Raises DatabaseAway."""
        try:
            while not self._over and (samples := await self._next()):
                for start in range(0, len(samples), BATCH):
                    batch = samples[start : start + BATCH]
                    self.own_only = await self.db.write(self._store, batch)
                    self._ours.extend((sample.at, sample.step) for sample in batch)
                    self._done = batch[-1].step
        except DatabaseAway:
            self._at = 0  # what was read and is not stored is read again; what is stored is known by its steps
            self._done = None
            self._ours.clear()
            raise
        except MlflowError as error:
            log.info("no more system metrics for the job %s: %s", self.job.name, error.message)
            self._over = True
        except Exception:
            log.exception("system metrics of the job %s cannot be stored", self.job.name)
            self._over = True

    async def _next(self) -> list[Sample]:
        """Samples that are not stored yet, of the lines that are whole."""
        while True:
            piece = await self.read(self._at, PIECE)
            whole = piece.rfind(b"\n") + 1
            if not whole:
                if len(piece) >= system.MAX_LINE:
                    raise ValueError("the file of samples has a line without an end")
                return []
            self._at += whole
            if self._done is None:
                self._done = await self._stored()
            samples = [sample for line in piece[:whole].splitlines() if (sample := system.parse(line)) is not None]
            self._ours.extend((sample.at, sample.step) for sample in samples if sample.step <= self._done)
            if fresh := [sample for sample in samples if sample.step > self._done]:
                return fresh

    async def _stored(self) -> int:
        found = await self.db.read(metric_history.steps, self.job.scope, self.job.name, self.prefix)
        return max((step for name, step in found.items() if system.is_own(name.removeprefix(self.prefix))), default=-1)

    def _store(self, tx: Tx, samples: list[Sample]) -> bool:
        """Whether only what is about the job is stored from here on."""
        own_only = self.own_only or self._another_logs(tx, samples)
        metrics.log(tx, self.job.scope, self.job.name, system.metrics_of(samples, self.prefix, own_only))
        return own_only

    def _another_logs(self, tx: Tx, samples: list[Sample]) -> bool:
        """Whether the job has switched MLflow's own monitor on (`log_system_metrics=True`): then it says what the machine does."""
        ours = {*self._ours, *((sample.at, sample.step) for sample in samples)}  # the latter are there when a commit is repeated
        found = metric_history.places(tx, self.job.scope, self.job.name, f"{self.prefix}{system.TELLTALE}", min(ours)[0], REMEMBERED)
        return any(place not in ours for place in found)
