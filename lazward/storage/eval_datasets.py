"""Evaluation datasets, their tags and experiments. Their records: eval_records.py."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import missing
from lazward.domain.genai import records
from lazward.domain.tracking.filter import Node, Order
from lazward.domain.tracking.names import USER, is_key
from lazward.storage import experiments
from lazward.storage.db import Tx
from lazward.storage.genai_tables import eval_dataset as t
from lazward.storage.genai_tables import eval_dataset_experiment as link
from lazward.storage.genai_tables import eval_record
from lazward.storage.pieces import pieces
from lazward.storage.search import Column, Paging, Reached, where


class Dataset(msgspec.Struct):
    """Times are unix seconds. schema, profile: JSON texts, None while there was never a record."""

    seq: int
    id: str
    name: str
    digest: str
    schema: str | None
    profile: str | None
    tags: dict[str, str]
    created: float
    updated: float
    created_by: str | None
    updated_by: str | None
    experiments: list[str] = []


_COLUMNS = [t.c[name] for name in Dataset.__struct_fields__ if name != "experiments"]
_ONE = sa.select(*_COLUMNS).where(t.c.workspace == sa.bindparam("workspace"), t.c.id == sa.bindparam("id"))
_SEARCHED = {
    "name": Column(t.c.name), "created_time": Column(t.c.created, number=True, scale=1000.0), "last_update_time": Column(t.c.updated, number=True, scale=1000.0),
    "created_by": Column(t.c.created_by, nullable=True), "last_updated_by": Column(t.c.updated_by, nullable=True),
}
_NEWEST = [Order("attribute", "created_time", False)]


def moment(now: float) -> float:
    """Whole milliseconds, so that what clients read back compares as equal."""
    return round(now, 3)


def create(tx: Tx, key: str, name: str, tags: dict[str, str], experiment_ids: Sequence[str], now: float) -> Dataset:
    experiments.workspace(tx, key)
    wanted = _known(tx, key, experiment_ids, now)
    at, user = moment(now), tags.get(USER)
    values = {
        "workspace": key, "id": f"d-{uuid.uuid4().hex}", "name": name, "digest": records.digest(name, at), "schema": None, "profile": None, "tags": tags,
        "created": at, "updated": at, "created_by": user, "updated_by": user,
    }
    made = Dataset(*tx.execute(sa.insert(t).values(**values).returning(*_COLUMNS)).one(), wanted)  # type: ignore[misc]
    _attach(tx, made, wanted)
    return made


def get(tx: Tx, key: str, id_: str) -> Dataset:
    found = find(tx, key, id_)
    if found is None:
        experiments.workspace(tx, key)
        raise missing(f"Evaluation dataset with id '{id_[:100]}' not found")
    return found


def find(tx: Tx, key: str, id_: str) -> Dataset | None:
    found = tx.execute(_ONE, {"workspace": key, "id": id_}).first()
    return _with_experiments(tx, [Dataset(*found)])[0] if found else None


def delete(tx: Tx, key: str, id_: str) -> None:
    """With all records. Nothing when it is not there."""
    found = find(tx, key, id_)
    if found:
        tx.execute(sa.delete(eval_record).where(eval_record.c.dataset == found.seq))
        tx.execute(sa.delete(link).where(link.c.dataset == found.seq))
        tx.execute(sa.delete(t).where(t.c.seq == found.seq))


def search(
    tx: Tx, key: str, experiment_ids: Sequence[str], condition: Node | None, orders: Sequence[Order], limit: int, token: str | None,
) -> tuple[list[Dataset], str | None]:
    """Newest first unless ordered otherwise; experiment_ids: in any of these, [] is everywhere."""
    experiments.workspace(tx, key)
    paging = Paging(list(orders) or _NEWEST, lambda order: _SEARCHED[order.key], [(Column(t.c.id), False)], tx.sqlite)
    conditions = [t.c.workspace == key, *paging.after(token)]
    if experiment_ids:
        conditions.append(t.c.seq.in_(sa.select(link.c.dataset).where(link.c.experiment.in_(list(experiment_ids)))))
    if condition is not None:
        conditions.append(where(condition, _reach, tx.sqlite))
    rows = tx.execute(sa.select(*_COLUMNS, *paging.selected).where(*conditions).order_by(*paging.order).limit(limit + 1)).all()
    found = [Dataset(*row[: len(_COLUMNS)]) for row in rows[:limit]]
    return _with_experiments(tx, found), paging.token(rows, limit, len(_COLUMNS))


def set_tags(tx: Tx, key: str, id_: str, tags: dict[str, str]) -> Dataset:
    found = get(tx, key, id_)
    found.tags.update(tags)
    change(tx, found, tags=found.tags)
    return found


def delete_tag(tx: Tx, key: str, id_: str, tag: str) -> None:
    """Nothing when the dataset or the tag is not there."""
    found = find(tx, key, id_)
    if found and tag in found.tags:
        change(tx, found, tags={k: v for k, v in found.tags.items() if k != tag})


def add_experiments(tx: Tx, key: str, id_: str, experiment_ids: Sequence[str], now: float) -> Dataset:
    found = get(tx, key, id_)
    wanted = _known(tx, key, experiment_ids, now)
    _attach(tx, found, [one for one in wanted if one not in found.experiments])
    change(tx, found, updated=moment(now))
    return get(tx, key, id_)


def remove_experiments(tx: Tx, key: str, id_: str, experiment_ids: Sequence[str], now: float) -> Dataset:
    """Those it does not belong to are passed over."""
    found = get(tx, key, id_)
    gone = tx.execute(sa.delete(link).where(link.c.dataset == found.seq, link.c.experiment.in_(list(experiment_ids)))).rowcount
    if gone:
        change(tx, found, updated=moment(now))
    return get(tx, key, id_)


def change(tx: Tx, found: Dataset, **values: Any) -> None:
    tx.execute(sa.update(t).where(t.c.seq == found.seq).values(**values))


def _known(tx: Tx, key: str, experiment_ids: Sequence[str], now: float) -> list[str]:
    """Each once; one of another workspace is as good as none."""
    wanted = list(dict.fromkeys(experiment_ids))
    for id_ in wanted:
        if id_ == experiments.DEFAULT_EXPERIMENT:
            experiments.ensure_default(tx, key, now)
        else:
            experiments.get(tx, key, id_)
    return wanted


def _attach(tx: Tx, found: Dataset, experiment_ids: Sequence[str]) -> None:
    if experiment_ids:
        tx.execute(sa.insert(link), [{"dataset": found.seq, "experiment": one} for one in experiment_ids])


def _with_experiments(tx: Tx, found: list[Dataset]) -> list[Dataset]:
    by_seq: dict[int, list[str]] = {one.seq: [] for one in found}
    for some in pieces(by_seq):
        for row in tx.execute(sa.select(link).where(link.c.dataset.in_(some)).order_by(link.c.experiment)):
            by_seq[row.dataset].append(row.experiment)
    for one in found:
        one.experiments = by_seq[one.seq]
    return found


def _reach(kind: str, name: str) -> Reached:
    if kind == "attribute":
        return lambda test: test(_SEARCHED[name])
    if not is_key(name):
        return lambda test: sa.false()
    return lambda test: test(Column(t.c.tags[name].as_string(), nullable=True))
