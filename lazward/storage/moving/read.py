"""Tracking data as records, read in pages; each page is a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from lazward.domain.tracking.moved import Experiment, Input, Model, Run, Trace, told
from lazward.domain.tracking.paths import run_prefix
from lazward.storage import experiments, tables
from lazward.storage.db import Tx

_e, _r, _m, _t = tables.experiment, tables.run, tables.logged_model, tables.trace
_KEPT = ("active", "deleted")
_AFTER = "SELECT key, at, step, value, nan FROM metric WHERE run = ? "
_FIRST = _AFTER + "ORDER BY key, at, step, value, nan LIMIT ?"
_NEXT = _AFTER + "AND (key, at, step, value, nan) > (?, ?, ?, ?, ?) ORDER BY key, at, step, value, nan LIMIT ?"
_RUN = [_r.c[name] for name in ("seq", "id", "experiment", "name", "status", "stage", "user", "parent", "started", "ended", "deleted")]
_SPAN = [c for c in tables.span.c if c.name != "trace"]
_SAID = [c for c in tables.assessment.c if c.name != "trace"]
FACTS = ["".join(c.name) for c in _t.c if c.name not in ("seq", "workspace", "id", "experiment")]


def counts(tx: Tx, key: str, seqs: Sequence[int]) -> dict[str, int]:
    """How much there is of these experiments, by the words of moved.NAMES."""
    kept = {"runs": _r, "logged models": _m}
    out = {"experiments": len(seqs)}
    for word, table in kept.items():
        out[word] = tx.execute(sa.select(sa.func.count()).where(table.c.experiment.in_(seqs), table.c.stage.in_(_KEPT))).scalar_one()
    out["traces"] = tx.execute(sa.select(sa.func.count()).where(_t.c.experiment.in_(seqs))).scalar_one()
    return out


def every_experiment(tx: Tx, key: str) -> list[tuple[int, Experiment]]:
    """(number, experiment) of a workspace, in the order they were made."""
    experiments.workspace(tx, key)
    rows = tx.execute(sa.select(_e).where(_e.c.workspace == key, _e.c.stage.in_(_KEPT)).order_by(_e.c.seq)).all()
    return [(row.seq, Experiment(row.id, row.name, row.stage, row.location, row.tags, row.created, row.updated)) for row in rows]


def runs(tx: Tx, key: str, ids: dict[int, str], after: int, limit: int) -> tuple[list[tuple[int, Run]], int | None]:
    """(number, run) of the experiments in `ids` (number: id), in the order they were made, and the number to go on after (None: that is all)."""
    wanted = sa.select(*_RUN).where(_r.c.workspace == key, _r.c.experiment.in_(list(ids)), _r.c.stage.in_(_KEPT), _r.c.seq > after)
    rows = tx.execute(wanted.order_by(_r.c.seq).limit(limit)).all()
    return list(zip([row.seq for row in rows], _runs(tx, rows, ids), strict=True)), rows[-1].seq if len(rows) == limit else None


def run(tx: Tx, key: str, id_: str) -> tuple[int, str, Run] | None:
    """(number, stage as it is stored, run) of one, whatever stage it is in."""
    return some_runs(tx, key, [id_]).get(id_)


def some_runs(tx: Tx, key: str, ids: Sequence[str]) -> dict[str, tuple[int, str, Run]]:
    """The same of several; those that are not there are left out."""
    rows = tx.execute(sa.select(*_RUN).where(_r.c.workspace == key, _r.c.id.in_(ids))).all()
    if not rows:
        return {}
    named = {row.seq: row.id for row in tx.execute(sa.select(_e.c.seq, _e.c.id).where(_e.c.seq.in_({row.experiment for row in rows})))}
    return {row.id: (row.seq, row.stage, made) for row, made in zip(rows, _runs(tx, rows, named), strict=True)}


def _runs(tx: Tx, rows: Sequence[Any], ids: dict[int, str]) -> list[Run]:
    seqs = [row.seq for row in rows]
    made = {
        row.seq: Run(
            row.id, ids[row.experiment], row.name, row.status, row.stage, row.user, row.parent, row.started, row.ended, row.deleted, {}, {}, [], {}, 0
        )
        for row in rows
    }
    for table, member in ((tables.param, "params"), (tables.run_tag, "tags")):
        for found in tx.execute(sa.select(table).where(table.c.run.in_(seqs)).order_by(table.c.run, table.c.key)):
            getattr(made[found.run], member)[found.key] = found.value
    newest = tables.latest_metric
    for found in tx.execute(sa.select(newest.c.run, newest.c.key, newest.c.step, newest.c.at).where(newest.c.run.in_(seqs)).order_by(newest.c.run, newest.c.key)):
        made[found.run].latest[found.key] = (found.step, found.at)
    for found in tx.execute(sa.select(tables.metric.c.run, sa.func.count().label("n")).where(tables.metric.c.run.in_(seqs)).group_by(tables.metric.c.run)):
        made[found.run].values = found.n
    link, d = tables.run_link, tables.dataset
    used = sa.select(link.c.run, link.c.tags, *(d.c[name] for name in ("name", "digest", "source_type", "source", "schema", "profile"))).join(
        d, sa.cast(d.c.seq, sa.Text) == link.c.ref
    )
    for found in tx.execute(used.where(link.c.run.in_(seqs), link.c.kind == "dataset").order_by(link.c.run, d.c.name, d.c.digest)):
        made[found.run].inputs.append(Input(found.name, found.digest, found.source_type, found.source, found.schema, found.profile, found.tags))
    return list(made.values())


def values(tx: Tx, seq: int, after: tuple[Any, ...] | None, limit: int) -> list[tuple[Any, ...]]:
    """(key, milliseconds, step, value, nan) of a run, in one order; after: the last one seen."""
    return list(tx.raw(_FIRST, (seq, limit)) if after is None else tx.raw(_NEXT, (seq, *after, limit)))


def models(tx: Tx, key: str, ids: dict[int, str], after: int, limit: int) -> tuple[list[Model], int | None]:
    """Logged models of these experiments, and the number to go on after."""
    wanted = sa.select(_m).where(_m.c.workspace == key, _m.c.experiment.in_(list(ids)), _m.c.stage.in_(_KEPT), _m.c.seq > after)
    rows = tx.execute(wanted.order_by(_m.c.seq).limit(limit)).all()
    return _models(tx, key, rows, ids), rows[-1].seq if len(rows) == limit else None


def model(tx: Tx, key: str, id_: str) -> Model | None:
    """One, but for those that are gone for good."""
    row = tx.execute(sa.select(_m).where(_m.c.workspace == key, _m.c.id == id_, _m.c.stage.in_(_KEPT))).first()
    if row is None:
        return None
    return _models(tx, key, [row], {row.experiment: tx.execute(sa.select(_e.c.id).where(_e.c.seq == row.experiment)).scalar_one()})[0]


def _models(tx: Tx, key: str, rows: Sequence[Any], ids: dict[int, str]) -> list[Model]:
    made = {
        row.seq: Model(
            row.id, ids[row.experiment], row.name, row.type, row.status, row.stage, row.run, row.folder.removeprefix(run_prefix(row.run) + "/"), row.tags, row.params,
            row.created, row.updated, [], [],
        )
        for row in rows
    }
    of, link = tables.logged_model_metric, tables.run_link
    order = (of.c.model, of.c.key, of.c.at, of.c.step, of.c.value, of.c.nan, of.c.run, of.c.dataset, of.c.digest)
    for found in tx.execute(sa.select(of).where(of.c.model.in_(list(made))).order_by(*order)):
        made[found.model].metrics.append((found.key, found.at, found.step, told(found.value, found.nan), found.run, found.dataset, found.digest))
    by_id = {one.id: one for one in made.values()}
    linked = sa.select(link.c.ref, link.c.kind, _r.c.id, link.c.step).join(_r, _r.c.seq == link.c.run).where(
        _r.c.workspace == key, _r.c.stage.in_(_KEPT), link.c.kind.in_(("model_in", "model_out")), link.c.ref.in_(list(by_id))
    )
    for row in tx.execute(linked.order_by(link.c.kind, _r.c.id)):
        by_id[row.ref].links.append((row.kind, row.id, row.step))
    return list(made.values())


def traces(tx: Tx, key: str, ids: dict[int, str], after: int, limit: int) -> tuple[list[Trace], int | None]:
    wanted = sa.select(_t).where(_t.c.workspace == key, _t.c.experiment.in_(list(ids)), _t.c.seq > after)
    rows = tx.execute(wanted.order_by(_t.c.seq).limit(limit)).all()
    return _traces(tx, rows, ids), rows[-1].seq if len(rows) == limit else None


def trace(tx: Tx, key: str, id_: str) -> Trace | None:
    row = tx.execute(sa.select(_t).where(_t.c.workspace == key, _t.c.id == id_)).first()
    if row is None:
        return None
    return _traces(tx, [row], {row.experiment: tx.execute(sa.select(_e.c.id).where(_e.c.seq == row.experiment)).scalar_one()})[0]


def _traces(tx: Tx, rows: Sequence[Any], ids: dict[int, str]) -> list[Trace]:
    made = {row.seq: Trace(row.id, ids[row.experiment], {name: getattr(row, name) for name in FACTS}, [], [], []) for row in rows}
    seqs = list(made)
    for table, columns, member in ((tables.span, _SPAN, "spans"), (tables.assessment, _SAID, "assessments")):
        for found in tx.execute(sa.select(table.c.trace, *columns).where(table.c.trace.in_(seqs)).order_by(table.c.trace, table.c.id)):
            getattr(made[found.trace], member).append({"".join(c.name): getattr(found, c.name) for c in columns})
    link = tables.trace_link
    for found in tx.execute(sa.select(link).where(link.c.trace.in_(seqs)).order_by(link.c.kind, link.c.ref)):
        made[found.trace].links.append((found.kind, found.ref))
    return list(made.values())
