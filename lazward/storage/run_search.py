"""Runs as lists and answers show them: found by filter, with their latest metrics, params, tags and links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.domain.tracking.filter import Node, Order
from lazward.storage import experiments, tables
from lazward.storage.db import Tx
from lazward.storage.experiments import Experiment
from lazward.storage.runs import COLUMNS, Run, get
from lazward.storage.search import Column, Condition, Paging, Reached, where
from lazward.storage.tables import run as t

# {}: which runs, as the database takes a list of any length
_METRICS = "SELECT run, key, value, nan, at, step FROM latest_metric WHERE run {} ORDER BY run, key"
_PARAMS = "SELECT run, key, value FROM param WHERE run {} ORDER BY run, key"
_LINKS = "SELECT run, kind, ref, step, tags FROM run_link WHERE run {}"
_TAGS = "SELECT run, key, value FROM run_tag WHERE run {} ORDER BY run, key"


class Link(msgspec.Struct):
    """kind: dataset | model_in | model_out. doc: the dataset {name, digest, source_type, source, schema, profile}, {} for models."""

    kind: str
    ref: str
    step: int
    tags: dict[str, str]
    doc: dict[str, Any]


class Full(msgspec.Struct):
    """A run with what it logged. metrics: (key, value, nan, at, step), the latest of each key."""

    run: Run
    experiment: Experiment
    metrics: list[tuple[str, float, bool, int, int]]
    params: list[tuple[str, str]]
    tags: list[tuple[str, str]]
    links: list[Link]


def one(tx: Tx, key: str, id_: str) -> Full:
    return load(tx, [get(tx, key, id_)])[0]


def search(
    tx: Tx, key: str, experiment_ids: Sequence[str], condition: Node | None, stages: Sequence[str], orders: Sequence[Order], limit: int,
    token: str | None, artifact_uri: Any,
) -> tuple[list[Full], str | None]:
    """artifact_uri: (run id column, experiment id column) -> SQL expression, for what is never stored but may be searched."""
    experiments.workspace(tx, key)
    seqs = experiments.seqs(tx, key, experiment_ids)
    if not seqs:
        return [], None
    names = _Names(artifact_uri)
    ties = [] if any(o.key == "start_time" and o.kind == "attribute" for o in orders) else [(names.attributes["start_time"], False)]
    paging = Paging(orders, names.ordered, [*ties, (names.attributes["run_id"], True)], tx.sqlite)
    conditions: list[Condition] = [t.c.experiment.in_(seqs), t.c.stage.in_(stages)]
    if condition is not None:
        conditions.append(where(condition, names.reach, tx.sqlite))
    statement = sa.select(*COLUMNS, *paging.selected).select_from(names.joined).where(*conditions, *paging.after(token))
    rows = tx.execute(statement.order_by(*paging.order).limit(limit + 1)).all()
    found = [Run(*row[: len(COLUMNS)]) for row in rows[:limit]]
    return load(tx, found), paging.token(rows, limit, len(COLUMNS))


def load(tx: Tx, found: list[Run]) -> list[Full]:
    """Runs with all they logged, in the order given: a few statements however many there are."""
    known = experiments.by_seq(tx, {r.experiment for r in found})
    full = {r.seq: Full(r, known[r.experiment], [], [], [], []) for r in found}
    seqs = list(full)
    marks, these = tx.among(seqs)
    for seq, *metric in tx.raw(_METRICS.format(marks), (these,)).fetchall():
        full[seq].metrics.append(tuple(metric))
    for seq, key, value in tx.raw(_PARAMS.format(marks), (these,)).fetchall():
        full[seq].params.append((key, value))
    for seq, key, value in tx.raw(_TAGS.format(marks), (these,)).fetchall():
        full[seq].tags.append((key, value))
    _links(tx, full, these, marks)
    return list(full.values())


def _links(tx: Tx, full: dict[int, Full], these: Any, marks: str) -> None:
    rows = tx.raw(_LINKS.format(marks), (these,)).fetchall()
    refs = {int(ref) for _, kind, ref, _, _ in rows if kind == "dataset"}
    d = tables.dataset
    docs = {r.seq: {n: r._mapping[n] for n in DATASET} for r in tx.execute(sa.select(d).where(d.c.seq.in_(refs)))} if refs else {}
    for run, kind, ref, step, tags in rows:
        doc = docs.get(int(ref), {}) if kind == "dataset" else {}
        full[run].links.append(Link(kind, ref, step, msgspec.json.decode(tags) if isinstance(tags, str) else tags, doc))


DATASET = ("name", "digest", "source_type", "source", "schema", "profile")


class _Names:
    """How the names of the search language are reached from the run table; grows joins for what is ordered by, which conditions use, too."""

    def __init__(self, artifact_uri: Any):
        uri = artifact_uri(t.c.id, sa.select(tables.experiment.c.id).where(tables.experiment.c.seq == t.c.experiment).scalar_subquery())
        self.joined: Any = t
        self._beside: dict[tuple[str, str], Column] = {}
        self.attributes = {
            "run_id": Column(t.c.id), "run_name": Column(t.c.name), "status": Column(t.c.status), "user_id": Column(t.c.user), "artifact_uri": Column(uri),
            "start_time": Column(t.c.started, number=True, scale=1000.0), "end_time": Column(t.c.ended, number=True, scale=1000.0, nullable=True),
        }

    def reach(self, kind: str, key: str) -> Reached:
        if kind == "attribute":
            return lambda test: test(self.attributes[key])
        if kind == "dataset":
            link = tables.run_link.alias()
            return lambda test: sa.exists().where(link.c.run == t.c.seq, link.c.kind == "dataset", test(Column(link.c[key], nullable=True)))
        if beside := self._beside.get((kind, key)):
            return lambda test: test(beside)
        value = self._keyed(kind).alias()
        nan = value.c.nan if kind == "metric" else None
        return lambda test: sa.exists().where(value.c.run == t.c.seq, value.c.key == key, test(Column(value.c.value, number=kind == "metric", nan=nan)))

    def ordered(self, order: Order) -> Column:
        if order.kind == "attribute":
            return self.attributes[order.key]
        found = self._beside.get((order.kind, order.key))
        if found is None:
            value = self._keyed(order.kind).alias()
            self.joined = self.joined.outerjoin(value, sa.and_(value.c.run == t.c.seq, value.c.key == order.key))
            found = Column(value.c.value, number=order.kind == "metric", nullable=True, nan=value.c.nan if order.kind == "metric" else None)
            self._beside[order.kind, order.key] = found
        return found

    @staticmethod
    def _keyed(kind: str) -> sa.Table:
        return {"metric": tables.latest_metric, "param": tables.param, "tag": tables.run_tag}[kind]
