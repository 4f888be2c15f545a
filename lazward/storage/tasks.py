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

# Built once: building a statement costs several times what running it does, and every job runs each of these several times.
_OPEN = (t.c.subject == sa.bindparam("subject"), t.c.kind == sa.bindparam("kind"), t.c.status == "InProgress")
_OPEN_TASK = sa.select(*_COLUMNS).where(*_OPEN)
_OPEN_DUE = sa.select(t.c.id, t.c.due, t.c.lease_token).where(*_OPEN)
_BY_ID = t.c.id == sa.bindparam("task")
_ONE = sa.select(*_COLUMNS).where(_BY_ID)
_UPDATE = sa.update(t).where(_BY_ID)
_INSERT = sa.insert(t)
_DUE = (
    sa.select(t.c.id).where(t.c.status == "InProgress", t.c.due <= sa.bindparam("now"), t.c.lease_until < sa.bindparam("now"))
    .order_by(t.c.due).limit(sa.bindparam("batch", type_=sa.Integer)).with_for_update(skip_locked=True)
)
_CLAIM = (
    sa.update(t).where(t.c.id.in_(_DUE))
    .values(lease_until=sa.bindparam("until"), lease_token=sa.bindparam("token"), attempts=t.c.attempts + 1).returning(*_COLUMNS)
)
_IS_OURS = (_BY_ID, t.c.lease_token == sa.bindparam("token"), t.c.status == "InProgress")
_OWNED = sa.update(t).where(*_IS_OURS)
_AGAIN = sa.select(t.c.again).where(*_IS_OURS)
_LATER = sa.case((t.c.again.is_not(_NONE), sa.bindparam("now", type_=sa.Double)), else_=sa.bindparam("later", type_=sa.Double))
_PUT_BACK = _OWNED.values(again=_NONE, due=_LATER)
_NEXT_DUE = sa.select(sa.func.min(sa.case((t.c.due > t.c.lease_until, t.c.due), else_=t.c.lease_until))).where(t.c.status == "InProgress")


def enqueue(tx: Tx, kind: str, subject: str, state: dict[str, Any], now: float, *, due: float | None = None) -> str:
    """Adds a task and returns its id. If one of this kind is open for the subject, its id is returned: one that waits is made due;
    one that is worked on begins anew with `state` when it would end (see finish), since what it did may have come too early for
    the change that asks for it now. That holds whatever is killed meanwhile: the wish is stored with the change."""
    tx.tasks_due = True
    found = tx.execute(_OPEN_DUE, {"subject": subject, "kind": kind}).first()
    if found:
        wish = {"due": min(found.due, now if due is None else due)} if found.lease_token is None else {"again": state}
        tx.execute(_UPDATE, {"task": found.id, **wish})
        return found.id
    task_id = str(uuid.uuid4())
    tx.execute(_INSERT, {
        "id": task_id, "kind": kind, "subject": subject, "status": "InProgress", "state": state,
        "due": due if due is not None else now, "lease_until": 0.0, "lease_token": None, "attempts": 0, "created": now, "ended": None,
    })
    return task_id


def postpone(tx: Tx, kind: str, subject: str, state: dict[str, Any], due: float, now: float) -> None:
    """The open task of that kind for the subject, made where there is none, begins anew with `state` at `due`, however soon it was due; one
    that is worked on at this moment does so when it would end. For alarms that go off only when nobody puts them off in time."""
    tx.tasks_due = True
    found = tx.execute(_OPEN_DUE, {"subject": subject, "kind": kind}).first()
    if found is None:
        enqueue(tx, kind, subject, state, now, due=due)
    elif found.lease_token is None:
        tx.execute(_UPDATE, {"task": found.id, "state": state, "due": due})
    else:
        tx.execute(_UPDATE, {"task": found.id, "again": state})


def call_off(tx: Tx, kind: str, subject: str, now: float) -> None:
    """Ends the open task of that kind for the subject, if there is one. A worker that has it in hand finds its lease lost."""
    found = tx.execute(_OPEN_DUE, {"subject": subject, "kind": kind}).first()
    if found:
        tx.execute(_UPDATE.values(again=_NONE), {"task": found.id, "status": "Canceled", "ended": now, "lease_until": 0.0, "lease_token": None})


def get(tx: Tx, task_id: str) -> Task | None:
    found = tx.execute(_ONE, {"task": task_id}).first()
    return Task(*found) if found else None


def open_for(tx: Tx, subject: str, kind: str) -> Task | None:
    found = tx.execute(_OPEN_TASK, {"subject": subject, "kind": kind}).first()
    return Task(*found) if found else None


def open_of_kind(tx: Tx, kind: str) -> list[Task]:
    return [Task(*found) for found in tx.execute(sa.select(*_COLUMNS).where(t.c.kind == kind, t.c.status == "InProgress"))]


def claim(tx: Tx, worker: str, limit: int, now: float, lease_s: float) -> list[Task]:
    """Leases up to `limit` due tasks to `worker`. Each gets a token of its own, so a late writer can be told from the owner."""
    token = f"{worker}:{uuid.uuid4().hex}"
    found = tx.execute(_CLAIM, {"now": now, "batch": limit, "until": now + lease_s, "token": token}).all()
    return sorted((Task(*row) for row in found), key=lambda task: task.due)


def extend(tx: Tx, held: list[tuple[str, str]], until: float) -> list[str]:
    """Prolongs leases ((id, token) pairs) and clears their count of attempts; returns the ids still owned."""
    kept: list[str] = []
    for task_id, token in held:
        found = tx.execute(_OWNED, {"task": task_id, "token": token, "lease_until": until, "attempts": 1}).rowcount
        if found:
            kept.append(task_id)
    return kept


def checkpoint(tx: Tx, task: Task, state: dict[str, Any]) -> bool:
    """Saves progress of a task that stays leased. False = the lease is lost and nothing may be written for it."""
    return tx.execute(_OWNED, {**_owner(task), "state": state, "attempts": 1}).rowcount > 0


def rewrite(tx: Tx, task_id: str, state: dict[str, Any]) -> None:
    """Another state, whoever held the task: only while no worker runs."""
    tx.execute(sa.update(t).where(t.c.id == task_id, t.c.status == "InProgress").values(state=state, again=_NONE))


def put_back(tx: Tx, task: Task, state: dict[str, Any], due: float, now: float) -> bool:
    """Ends the lease; the task goes on at `due`, or now if it was asked for again meanwhile."""
    tx.tasks_due = True
    values = {"state": state, "later": due, "now": now, "lease_until": 0.0, "lease_token": None, "attempts": 0}
    return tx.execute(_PUT_BACK, {**_owner(task), **values}).rowcount > 0


def finish(tx: Tx, task: Task, status: str, now: float, error: dict[str, Any] | None = None) -> str | None:
    """Ends a task, or begins it anew if it was asked for again meanwhile. Its status then: the given one, or InProgress; None when
    the lease is lost."""
    found = tx.execute(_AGAIN, _owner(task)).first()
    if found is None:
        return None
    if found.again is not None:
        put_back(tx, task, found.again, now, now)
        return "InProgress"
    tx.execute(_OWNED, {**_owner(task), "status": status, "error": error, "ended": now, "lease_until": 0.0, "lease_token": None})
    return status


def release_worker(tx: Tx, worker: str, *, died: bool = True) -> int:
    """Frees what a worker of this name held; call it only while holding the worker's lock file. died: it was killed, so each of
    its tasks keeps its count of attempts; a worker that ends in good order was ended by none of them."""
    tx.tasks_due = True
    held = sa.update(t).where(t.c.lease_token.startswith(worker + ":", autoescape=True), t.c.status == "InProgress")
    return tx.execute(held.values(lease_until=0.0) if died else held.values(lease_until=0.0, lease_token=None, attempts=0)).rowcount


def next_due(tx: Tx) -> float | None:
    """When the next unleased task is due (unix seconds)."""
    return tx.execute(_NEXT_DUE).scalar()


def prune(tx: Tx, before: float) -> int:
    """Removes ended tasks older than `before`; clients poll an operation for hours, not weeks."""
    return tx.execute(sa.delete(t).where(t.c.status != "InProgress", t.c.ended < before)).rowcount


def _owner(task: Task) -> dict[str, Any]:
    """The parameters by which the statements above meet a task only while its lease is this one."""
    return {"task": task.id, "token": task.lease_token}
