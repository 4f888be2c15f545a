"""Queries over the task table: enqueue in the transaction of the change, claim by lease, apply by token.

A task is queue entry, timer, outbox and ARM operation in one; its id is the operation id that clients poll.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.storage.db import Tx
from lazward.storage.tables import task as t


class Task(msgspec.Struct):
    id: str
    kind: str
    subject: str
    status: str  # InProgress | Succeeded | Failed | Canceled
    state: dict[str, Any]
    error: dict[str, Any] | None
    due: float
    lease_until: float
    lease_token: str | None
    attempts: int
    created: float
    ended: float | None


_MOMENT = 0.001  # seconds
_COLUMNS = [t.c[name] for name in Task.__struct_fields__]


def enqueue(tx: Tx, kind: str, subject: str, state: dict[str, Any], now: float, *, due: float | None = None) -> str:
    """Adds a task and returns its id. If one of this kind is open for the subject, that one is made due and its id returned; if it
    is being worked on right now, it will run once more afterwards (see finish), since what it did may have come too early."""
    tx.tasks_due = True
    found = tx.execute(sa.select(t.c.id, t.c.due).where(t.c.subject == subject, t.c.kind == kind, t.c.status == "InProgress")).first()
    if found:
        wanted = now if due is None else due
        # Another due than the one it was claimed with, so that finish can tell. Due already = due a moment later.
        tx.execute(sa.update(t).where(t.c.id == found.id).values(due=wanted if found.due > wanted else found.due + _MOMENT))
        return found.id
    task_id = str(uuid.uuid4())
    tx.execute(sa.insert(t).values(
        id=task_id, kind=kind, subject=subject, status="InProgress", state=state, error=None,
        due=due if due is not None else now, lease_until=0.0, lease_token=None, attempts=0, created=now, ended=None,
    ))
    return task_id


def call_off(tx: Tx, kind: str, subject: str, now: float) -> None:
    """Ends the open task of that kind for the subject, if there is one. A worker that has it in hand finds its lease lost."""
    mine = sa.update(t).where(t.c.subject == subject, t.c.kind == kind, t.c.status == "InProgress")
    tx.execute(mine.values(status="Canceled", ended=now, lease_until=0.0, lease_token=None))


def get(tx: Tx, task_id: str) -> Task | None:
    found = tx.execute(sa.select(*_COLUMNS).where(t.c.id == task_id)).first()
    return Task(*found) if found else None


def open_for(tx: Tx, subject: str, kind: str) -> Task | None:
    found = tx.execute(sa.select(*_COLUMNS).where(t.c.subject == subject, t.c.kind == kind, t.c.status == "InProgress")).first()
    return Task(*found) if found else None


def open_of_kind(tx: Tx, kind: str) -> list[Task]:
    return [Task(*found) for found in tx.execute(sa.select(*_COLUMNS).where(t.c.kind == kind, t.c.status == "InProgress"))]


def claim(tx: Tx, worker: str, limit: int, now: float, lease_s: float) -> list[Task]:
    """Leases up to `limit` due tasks to `worker`. Each gets a token of its own, so a late writer can be told from the owner."""
    due = (
        sa.select(t.c.id).where(t.c.status == "InProgress", t.c.due <= now, t.c.lease_until < now)
        .order_by(t.c.due).limit(limit).with_for_update(skip_locked=True)
    )
    token = f"{worker}:{uuid.uuid4().hex}"
    found = tx.execute(
        sa.update(t).where(t.c.id.in_(due))
        .values(lease_until=now + lease_s, lease_token=token, attempts=t.c.attempts + 1).returning(*_COLUMNS)
    ).all()
    return sorted((Task(*row) for row in found), key=lambda task: task.due)


def extend(tx: Tx, held: list[tuple[str, str]], until: float) -> list[str]:
    """Prolongs leases ((id, token) pairs) and clears their count of attempts; returns the ids still owned."""
    kept: list[str] = []
    for task_id, token in held:
        found = tx.execute(
            sa.update(t).where(t.c.id == task_id, t.c.lease_token == token, t.c.status == "InProgress").values(lease_until=until, attempts=1)
        ).rowcount
        if found:
            kept.append(task_id)
    return kept


def checkpoint(tx: Tx, task: Task, state: dict[str, Any]) -> bool:
    """Saves progress of a task that stays leased. False = the lease is lost and nothing may be written for it."""
    return tx.execute(_owned(task).values(state=state, attempts=1)).rowcount > 0


def put_back(tx: Tx, task: Task, state: dict[str, Any], due: float) -> bool:
    """Ends the lease; the task goes on at `due`."""
    tx.tasks_due = True
    return tx.execute(_owned(task).values(state=state, due=due, lease_until=0.0, lease_token=None, attempts=0)).rowcount > 0


def finish(tx: Tx, task: Task, status: str, now: float, error: dict[str, Any] | None = None) -> bool:
    """Ends a task; one that was enqueued again since it was claimed goes on instead."""
    ended = tx.execute(
        _owned(task).where(t.c.due == task.due).values(status=status, error=error, ended=now, lease_until=0.0, lease_token=None)
    ).rowcount
    return ended > 0 or put_back(tx, task, task.state, now)


def release_worker(tx: Tx, worker: str, *, died: bool = True) -> int:
    """Frees what a worker of this name held; call it only while holding the worker's lock file. died: it was killed, so each of
    its tasks keeps its count of attempts; a worker that ends in good order was ended by none of them."""
    tx.tasks_due = True
    held = sa.update(t).where(t.c.lease_token.startswith(worker + ":", autoescape=True), t.c.status == "InProgress")
    return tx.execute(held.values(lease_until=0.0) if died else held.values(lease_until=0.0, lease_token=None, attempts=0)).rowcount


def next_due(tx: Tx) -> float | None:
    """When the next unleased task is due (unix seconds)."""
    return tx.execute(
        sa.select(sa.func.min(sa.case((t.c.due > t.c.lease_until, t.c.due), else_=t.c.lease_until))).where(t.c.status == "InProgress")
    ).scalar()


def prune(tx: Tx, before: float) -> int:
    """Removes ended tasks older than `before`; clients poll an operation for hours, not weeks."""
    return tx.execute(sa.delete(t).where(t.c.status != "InProgress", t.c.ended < before)).rowcount


def _owned(task: Task) -> sa.Update:
    return sa.update(t).where(t.c.id == task.id, t.c.lease_token == task.lease_token, t.c.status == "InProgress")
