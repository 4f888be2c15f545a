"""Issues of experiments."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import missing
from lazward.domain.genai.issues import rank
from lazward.domain.tracking.filter import Node, Order
from lazward.storage import experiments, tables
from lazward.storage.db import Tx
from lazward.storage.eval_datasets import moment
from lazward.storage.genai_tables import issue as t
from lazward.storage.pieces import pieces
from lazward.storage.search import Column, Paging, Reached, where
from lazward.storage.tables import experiment as e


class Issue(msgspec.Struct):
    """Times are unix seconds. experiment: its id."""

    id: str
    name: str
    description: str
    status: str
    severity: str | None
    root_causes: list[str]
    categories: list[str]
    run: str | None
    created: float
    updated: float
    created_by: str | None
    experiment: str


_COLUMNS = [*(t.c[name] for name in Issue.__struct_fields__ if name != "experiment"), e.c.id]
_ALL = sa.select(*_COLUMNS).join(e, e.c.seq == t.c.experiment)
_SEARCHED = {"status": Column(t.c.status), "source_run_id": Column(t.c.run, nullable=True)}
_RANK, _CREATED = Column(t.c.rank, number=True), Column(t.c.created, number=True)
_ORDERS = {"rank": _RANK, "created": _CREATED}


def create(
    tx: Tx, key: str, experiment_id: str, name: str, description: str, status: str, severity: str | None, root_causes: list[str], categories: list[str],
    run: str | None, user: str | None, now: float,
) -> Issue:
    experiment, at = experiments.active(tx, key, experiment_id, now), moment(now)
    values = {
        "workspace": key, "id": f"iss-{uuid.uuid4().hex}", "experiment": experiment.seq, "name": name, "description": description, "status": status,
        "severity": severity, "rank": rank(severity), "root_causes": root_causes, "categories": categories, "run": run, "created": at, "updated": at, "created_by": user,
    }
    tx.execute(sa.insert(t).values(**values))
    return get(tx, key, values["id"])


def get(tx: Tx, key: str, id_: str) -> Issue:
    row = tx.execute(_ALL.where(t.c.workspace == key, t.c.id == id_)).first()
    if row is None:
        experiments.workspace(tx, key)
        raise missing(f"Issue with ID '{id_[:100]}' not found")
    return Issue(*row)


def update(tx: Tx, key: str, id_: str, changes: dict[str, Any], now: float) -> Issue:
    """changes: name, description, status, severity."""
    get(tx, key, id_)
    ranked = {"rank": rank(changes["severity"])} if "severity" in changes else {}
    tx.execute(sa.update(t).where(t.c.workspace == key, t.c.id == id_).values(**changes, **ranked, updated=moment(now)))
    return get(tx, key, id_)


def search(tx: Tx, key: str, experiment_id: str, condition: Node | None, limit: int, token: str | None) -> tuple[list[Issue], str | None]:
    """The most severe first, then the newest. experiment_id: "" for all."""
    experiments.workspace(tx, key)
    orders = [Order("attribute", "rank", False), Order("attribute", "created", False)]
    paging = Paging(orders, lambda order: _ORDERS[order.key], [(Column(t.c.id), False)], tx.sqlite)
    conditions = [t.c.workspace == key, *paging.after(token)]
    if experiment_id:
        conditions.append(e.c.id == experiment_id)
    if condition is not None:
        conditions.append(where(condition, _reach, tx.sqlite))
    query = sa.select(*_COLUMNS, *paging.selected).join(e, e.c.seq == t.c.experiment).where(*conditions).order_by(*paging.order).limit(limit + 1)
    rows = tx.execute(query).all()
    return [Issue(*row[: len(_COLUMNS)]) for row in rows[:limit]], paging.token(rows, limit, len(_COLUMNS))


def impacted(tx: Tx, key: str, ids: Sequence[str]) -> dict[str, int]:
    """How many traces each issue was found in, by the assessments that name it."""
    counts = dict.fromkeys(ids, 0)
    trace, said = tables.trace, tables.assessment
    query = sa.select(said.c.name, sa.func.count(said.c.trace.distinct())).join(trace, trace.c.seq == said.c.trace)
    for some in pieces(ids):
        rows = tx.execute(query.where(trace.c.workspace == key, said.c.kind == "issue", said.c.name.in_(some)).group_by(said.c.name))
        counts.update(tuple(row) for row in rows)
    return counts


def _reach(kind: str, name: str) -> Reached:
    return lambda test: test(_SEARCHED[name])
