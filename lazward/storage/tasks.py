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


_COLUMNS = [t.c[name] for name in Task.__struct_fields__]
_NONE = sa.null()  # None would be stored as JSON's null, which is a value


def enqueue(tx: Tx, kind: str, subject: str, state: dict[str, Any], now: float, *, due: float | None = None) -> str:
    """Adds a task and returns its id. If one of this kind is open for the subject, its id is returned: one that waits is made due;
    one that is worked on begins anew with `state` when it would end (see finish), since what it did may have come too early for
    the change that asks for it now. That holds whatever is killed meanwhile: the wish is stored with the change."""
    tx.tasks_due = True
    found = tx.execute(sa.select(t.c.id, t.c.due, t.c.lease_token).where(t.c.subject == subject, t.c.kind == kind, t.c.status == "InProgress")).first()
    if found:
        wish = {"due": min(found.due, now if due is None else due)} if found.lease_token is None else {"again": state}
        tx.execute(sa.update(t).where(t.c.id == found.id).values(**wish))
        return found.id
    task_id = str(uuid.uuid4())
    tx.execute(sa.insert(t).values(
        id=task_id, kind=kind, subject=subject, status="InProgress", state=state, again=_NONE, error=None,
        due=due if due is not None else now, lease_until=0.0, lease_token=None, attempts=0, created=now, ended=None,
    ))
    return task_id


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


def rewrite(tx: Tx, task_id: str, state: dict[str, Any]) -> None:
    """Another state, whoever held the task: only while no worker runs."""
    tx.execute(sa.update(t).where(t.c.id == task_id, t.c.status == "InProgress").values(state=state, again=_NONE))


def put_back(tx: Tx, task: Task, state: dict[str, Any], due: float, now: float) -> bool:
    """Ends the lease; the task goes on at `due`, or now if it was asked for again meanwhile."""
    tx.tasks_due = True
    when = sa.case((t.c.again.is_not(_NONE), now), else_=due)
    return tx.execute(_owned(task).values(state=state, again=_NONE, due=when, lease_until=0.0, lease_token=None, attempts=0)).rowcount > 0


def finish(tx: Tx, task: Task, status: str, now: float, error: dict[str, Any] | None = None) -> str | None:
    """Ends a task, or begins it anew if it was asked for again meanwhile. Its status then: the given one, or InProgress; None when
    the lease is lost."""
    found = tx.execute(sa.select(t.c.again).where(t.c.id == task.id, t.c.lease_token == task.lease_token, t.c.status == "InProgress")).first()
    if found is None:
        return None
    if found.again is not None:
        put_back(tx, task, found.again, now, now)
        return "InProgress"
    tx.execute(_owned(task).values(status=status, error=error, ended=now, lease_until=0.0, lease_token=None))
    return status


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
