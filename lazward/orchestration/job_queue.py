"""Jobs in the queue: what each brings to it, how it is told why it waits (in its document, and in a log that clients stream), and what
the jobs hold that ran when the last worker ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from lazward.contract.envelope import timestamp
from lazward.domain.queue.order import Job
from lazward.domain.queue.priority import rank_of
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.job_references import ask_of
from lazward.storage import resources, tasks
from lazward.storage.db import Database, Tx
from lazward.storage.resources import Row

log = logging.getLogger("lazward.worker")

TOGETHER = 100  # documents written in one transaction
LINES_AT_ONCE = 20  # appended to logs each time the queue is told; a long queue gets its lines bit by bit
LINE_EVERY_S = 5.0  # to one log
WAITING_LOG = "azureml-logs/10_waiting.txt"  # a name that the SDK streams as long as the job's own log is not there
SLOW_S = 1.0  # a step of the preparation that takes longer says what the job waits for


def entry_of(row: Row) -> Job:
    """The job's place in the queue follows from its document alone, so that no restart changes it."""
    return Job(
        row.key, ask_of(row.properties), rank_of(row.properties), row.created, row.seq, row.scope, (row.doc.get("lazward") or {}).get("submittedBy", ""),
    )


def restore_admissions(tx: Tx) -> list[Job]:
    """What jobs hold that were past the queue when the last worker ended."""
    out: list[Job] = []
    for task in tasks.open_of_kind(tx, "job.run"):
        row = resources.get(tx, task.subject) if task.state.get("phase") != "queued" else None
        if row is not None:
            out.append(entry_of(row))
    return out


def note_waiting(tx: Tx, reasons: Mapping[str, str], status: str, now: float) -> list[Row]:
    """Writes why they wait into the documents of those jobs that have the status still. Returns those that are told something new."""
    told = []
    for key, reason in reasons.items():
        row = resources.get(tx, key)
        if row is not None and row.properties["status"] == status and row.properties.get("waitingFor") != reason:
            row.properties["waitingFor"] = reason
            told.append(resources.update(tx, row, now))
    return told


class QueueTeller:
    """Told by the admission who waits for what. A thousand jobs cost ten transactions, not a thousand."""

    def __init__(self, db: Database, blobs: Any, now: Callable[[], float]):
        self.db = db
        self.blobs = blobs
        self.now = now
        self._lines: dict[str, tuple[str, str, str]] = {}  # by job: account, blob, line; what is not logged yet
        self._logged: dict[str, float] = {}

    async def __call__(self, reasons: dict[str, str]) -> bool:
        """Whether there is more to write, for which it wants to be called again."""
        keys = list(reasons)
        for at in range(0, len(keys), TOGETHER):
            self._lines |= await self.db.write(_note, {key: reasons[key] for key in keys[at : at + TOGETHER]}, self.now())
        await self._log()
        return bool(self._lines)

    async def _log(self) -> None:
        """For people who stream the log of a job that waits. A line that cannot be kept is no reason to stop anything."""
        now = self.now()
        self._logged = {key: at for key, at in self._logged.items() if now - at < LINE_EVERY_S}
        keys = [key for key in self._lines if key not in self._logged][:LINES_AT_ONCE]
        waiting = await self.db.read(_waiting, keys)
        for key in keys:
            account, name, line = self._lines.pop(key)
            if key not in waiting:
                continue
            self._logged[key] = now
            try:
                await self.blobs.ensure_container(account, ARTIFACTS)
                await self.blobs.append(account, ARTIFACTS, name, line.encode())
            except Exception:
                log.warning("a waiting job's log could not be written", exc_info=True)


def _note(tx: Tx, reasons: Mapping[str, str], now: float) -> dict[str, tuple[str, str, str]]:
    """Writes the reasons; the line for each job's log: account, blob, text."""
    accounts: dict[str, str] = {}
    lines: dict[str, tuple[str, str, str]] = {}
    for row in note_waiting(tx, reasons, "Queued", now):
        if row.scope not in accounts:
            workspace = resources.get(tx, row.scope)
            accounts[row.scope] = account_of(workspace) if workspace else ""
        if accounts[row.scope]:
            lines[row.key] = (accounts[row.scope], f"{run_folder(row.name)}/{WAITING_LOG}", f"[{timestamp(now)}] {reasons[row.key]}\n")
    return lines


def _waiting(tx: Tx, keys: list[str]) -> set[str]:
    rows = [row for key in keys if (row := resources.get(tx, key)) is not None]
    return {row.key for row in rows if row.properties["status"] == "Queued"}


@contextlib.asynccontextmanager
async def waiting_for(db: Database, now: Callable[[], float], key: str, reason: str) -> AsyncIterator[None]:
    """Around a step of a job's preparation: if it takes long, the job says that it waits for it."""

    async def note() -> None:
        await asyncio.sleep(SLOW_S)
        await db.write(note_waiting, {key: reason}, "Preparing", now())

    noting = asyncio.create_task(note())
    try:
        yield
    finally:
        noting.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await noting
