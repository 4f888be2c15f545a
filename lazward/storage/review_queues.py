"""Review queues of experiments: who reviews, and which questions. Their items: review_items.py."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import MlflowError, invalid, missing
from lazward.domain.genai.review_queues import Draft
from lazward.storage import experiments, label_schemas, seq_pages
from lazward.storage.db import Tx
from lazward.storage.eval_datasets import moment
from lazward.storage.genai_tables import review_queue as t
from lazward.storage.genai_tables import review_queue_item as item
from lazward.storage.genai_tables import review_queue_user as member
from lazward.storage.pieces import pieces
from lazward.storage.tables import experiment as e


class Queue(msgspec.Struct):
    """type: USER | CUSTOM. schemas: ids of label schemas. Times are unix seconds. experiment: its id, number: its seq."""

    seq: int
    id: str
    name: str
    type: str
    owner: str | None
    schemas: list[str]
    created: float
    updated: float
    experiment: str
    number: int
    users: list[str] = []


_COLUMNS = [*(t.c[name] for name in ("seq", "id", "name", "type", "owner", "schemas", "created", "updated")), e.c.id.label("experiment"), e.c.seq.label("number")]
_ALL = sa.select(*_COLUMNS).join(e, e.c.seq == t.c.experiment)


def create(tx: Tx, key: str, experiment_id: str, type_: str, draft: Draft, owner: str | None, now: float) -> Queue:
    experiment, at = experiments.active(tx, key, experiment_id, now), moment(now)
    _check_schemas(tx, experiment.seq, experiment_id, draft.schemas)
    values = {
        "workspace": key, "id": f"rq-{uuid.uuid4().hex}", "experiment": experiment.seq, "name": draft.name, "name_key": draft.name.lower(), "type": type_, "owner": owner,
        "schemas": draft.schemas, "created": at, "updated": at,
    }
    made = tx.execute((sqlite if tx.sqlite else postgresql).insert(t).values(**values).on_conflict_do_nothing().returning(t.c.seq)).scalar()
    if made is None:
        raise _taken(draft.name)
    _assign(tx, made, draft.users)
    return get(tx, key, str(values["id"]))


def of_user(tx: Tx, key: str, experiment_id: str, draft: Draft, now: float) -> Queue:
    """The user's own queue; made when there is none."""
    experiment = experiments.active(tx, key, experiment_id, now)
    row = tx.execute(_ALL.where(t.c.experiment == experiment.seq, t.c.name_key == draft.name.lower())).first()
    if row is None:
        return create(tx, key, experiment_id, "USER", draft, draft.name, now)
    if row.type != "USER":
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"A non-user queue named '{draft.name}' already exists; cannot get-or-create a user queue with that name.", "user")
    return _whole(tx, [row])[0]


def get(tx: Tx, key: str, id_: str) -> Queue:
    row = tx.execute(_ALL.where(t.c.workspace == key, t.c.id == id_)).first()
    if row is None:
        experiments.workspace(tx, key)
        raise missing(f"Review queue with id '{id_[:100]}' not found.")
    return _whole(tx, [row])[0]


def by_name(tx: Tx, key: str, experiment_id: str, name: str) -> Queue:
    experiment = experiments.live(tx, key, experiment_id)
    row = tx.execute(_ALL.where(t.c.experiment == experiment.seq, t.c.name_key == name.lower())).first()
    if row is None:
        raise missing(f"Review queue with name '{name[:250]}' not found for experiment '{experiment_id}'.")
    return _whole(tx, [row])[0]


def page(tx: Tx, key: str, experiment_id: str, user: str, item_id: str, limit: int, token: str | None) -> tuple[list[Queue], str | None]:
    """Newest first. user, item_id: only those that this user is assigned to, that hold this item; "" for all."""
    experiment = experiments.live(tx, key, experiment_id)
    conditions = [t.c.experiment == experiment.seq]
    if (after := seq_pages.place(token)) is not None:
        conditions.append(t.c.seq < after)
    if user:
        conditions.append(t.c.seq.in_(sa.select(member.c.queue).where(member.c.user == user)))
    if item_id:
        conditions.append(t.c.seq.in_(sa.select(item.c.queue).where(item.c.id == item_id)))
    rows = tx.execute(_ALL.where(*conditions).order_by(t.c.seq.desc()).limit(limit + 1)).all()
    return _whole(tx, rows[:limit]), seq_pages.token(rows[limit - 1].seq) if len(rows) > limit else None


def update(
    tx: Tx, key: str, id_: str, now: float, *, name: str | None = None, owner: str | None = None, users: list[str] | None = None, schemas: list[str] | None = None,
) -> Queue:
    """None leaves what it is. The questions stay once there are items: answers would be to others than those asked."""
    found = get(tx, key, id_)
    if found.type == "USER":
        raise invalid("A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated.", "queue_id")
    changes: dict[str, Any] = {}
    if name is not None:
        other = tx.execute(sa.select(t.c.seq).where(t.c.experiment == found.number, t.c.name_key == name.lower(), t.c.seq != found.seq)).first()
        if other is not None:
            raise _taken(name)
        changes |= {"name": name, "name_key": name.lower()}
    if owner is not None:
        changes["owner"] = owner
    if schemas is not None:
        if tx.execute(sa.select(item.c.seq).where(item.c.queue == found.seq)).first():
            raise invalid("A review queue's questions are locked once items are assigned to it. Remove the items before changing its questions.", "schema_ids")
        _check_schemas(tx, found.number, found.experiment, schemas)
        changes["schemas"] = schemas
    if users is not None:
        tx.execute(sa.delete(member).where(member.c.queue == found.seq))
        _assign(tx, found.seq, users)
    if changes or users is not None:
        tx.execute(sa.update(t).where(t.c.seq == found.seq).values(**changes, updated=moment(now)))
    return get(tx, key, id_)


def delete(tx: Tx, key: str, id_: str) -> None:
    """With its items; answers stay with the traces. Nothing when it is not there."""
    seq = tx.execute(sa.select(t.c.seq).where(t.c.workspace == key, t.c.id == id_)).scalar()
    if seq is not None:
        for part in (member, item):
            tx.execute(sa.delete(part).where(part.c.queue == seq))
        tx.execute(sa.delete(t).where(t.c.seq == seq))


def _assign(tx: Tx, queue: int, users: Sequence[str]) -> None:
    if users:
        tx.execute(sa.insert(member), [{"queue": queue, "user": user} for user in users])


def _check_schemas(tx: Tx, experiment: int, experiment_id: str, ids: Sequence[str]) -> None:
    if wrong := label_schemas.unknown(tx, experiment, ids):
        raise invalid(f"Label schema id(s) {wrong[:10]} not found for experiment '{experiment_id}'.", "schema_ids")


def _whole(tx: Tx, rows: Sequence[Any]) -> list[Queue]:
    users: dict[int, list[str]] = {row.seq: [] for row in rows}
    for some in pieces(users):
        for found in tx.execute(sa.select(member).where(member.c.queue.in_(some)).order_by(member.c.user)):
            users[found.queue].append(found.user)
    return [Queue(*row, users[row.seq]) for row in rows]  # type: ignore[misc]


def _taken(name: str) -> MlflowError:
    return MlflowError("RESOURCE_ALREADY_EXISTS", f"Review queue with name '{name}' already exists (names are case-insensitive).", "name")
