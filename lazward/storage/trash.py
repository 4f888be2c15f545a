"""The bin of tracking: what was deleted and can be restored, and how it goes for good, a piece at a time (U5).

A run, experiment or logged model in the bin has the stage "deleted". What is to go for good gets the stage "purged" in one transaction
(claim): from then on nobody sees it, an experiment's name is free, and it cannot be restored. Its rows and files then go in pieces, so
that a curve of a hundred million values keeps no other writer waiting; a worker that is killed meanwhile goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import missing
from lazward.domain.tracking.names import DEFAULT_EXPERIMENT
from lazward.domain.tracking.status import TERMINAL
from lazward.storage import experiments, genai_end, runs, tables
from lazward.storage.db import Tx
from lazward.storage.search import Column, Paging, no_order

PIECE = 20_000  # rows of metrics that go in one transaction
_r, _e, _m = tables.run, tables.experiment, tables.logged_model


class Item(msgspec.Struct):
    """Something in the bin. kind: run | experiment | logged_model. deleted: unix seconds; 0 when it was put there before that was noted."""

    kind: str
    id: str
    name: str
    experiment: str
    deleted: float


class Claimed(msgspec.Struct):
    """How many were taken."""

    runs: int = 0
    experiments: int = 0
    models: int = 0

    @property
    def total(self) -> int:
        return self.runs + self.experiments + self.models


class Purged(msgspec.Struct):
    """A run or logged model whose files and rows are to go. folder: of a logged model's own files, "" for a run."""

    seq: int
    id: str
    is_job: bool
    folder: str = ""


def listed(tx: Tx, key: str, limit: int, token: str | None = None) -> tuple[list[Item], str | None]:
    """What can be restored, longest in the bin first, and the token of the next page. Runs of a deleted experiment are part of it and
    not listed themselves."""
    experiments.workspace(tx, key)
    binned = sa.select(
        sa.literal("experiment").label("kind"), _e.c.id.label("id"), _e.c.name.label("name"), _e.c.id.label("experiment"), _e.c.updated.label("deleted")
    ).where(_e.c.workspace == key, _e.c.stage == "deleted")
    of_runs = sa.select(sa.literal("run"), _r.c.id, _r.c.name, _e.c.id, sa.func.coalesce(_r.c.deleted, 0.0)).join(_e, _e.c.seq == _r.c.experiment).where(
        _r.c.workspace == key, _r.c.stage == "deleted", _e.c.stage == "active"
    )
    models = sa.select(sa.literal("logged_model"), _m.c.id, _m.c.name, _e.c.id, _m.c.updated).join(_e, _e.c.seq == _m.c.experiment).where(
        _m.c.workspace == key, _m.c.stage == "deleted", _e.c.stage == "active"
    )
    everything = sa.union_all(binned, of_runs, models).subquery()
    c = everything.c
    paging = Paging([], no_order, [(Column(c.deleted, number=True), True), (Column(c.kind), True), (Column(c.id), True)], tx.sqlite)
    rows = tx.execute(sa.select(everything, *paging.selected).where(*paging.after(token)).order_by(*paging.order).limit(limit + 1)).all()
    width = len(Item.__struct_fields__)
    return [Item(*row[:width]) for row in rows[:limit]], paging.token(rows, limit, width)


def restore(tx: Tx, key: str, run_ids: Sequence[str], experiment_ids: Sequence[str], model_ids: Sequence[str], now: float) -> None:
    """Out of the bin again, all or none; RESOURCE_DOES_NOT_EXIST for what is not there."""
    for id_ in experiment_ids:
        experiments.restore(tx, key, id_, now)
    for id_ in run_ids:
        runs.restore(tx, key, id_)
    for id_ in model_ids:
        where = (_m.c.workspace == key, _m.c.id == id_, _m.c.stage == "deleted")
        if not tx.execute(sa.update(_m).where(*where).values(stage="active", updated=now)).rowcount:
            raise missing(f"There is no logged model '{id_[:100]}' in the bin.")


def claim(
    tx: Tx, key: str, *, run_ids: Sequence[str] | None = None, experiment_ids: Sequence[str] | None = None, model_ids: Sequence[str] | None = None,
    before: float | None = None,
) -> Claimed:
    """Takes out of the bin, for good: the given ids; with `before`, all that has been there since before that time. Jobs that are not
    over stay, and experiments that hold one; so does the default experiment itself, though not its runs."""
    over = sa.or_(sa.not_(_r.c.is_job), _r.c.status.in_(TERMINAL))
    of_experiments = [_e.c.workspace == key, _e.c.stage == "deleted", _e.c.id != DEFAULT_EXPERIMENT]
    if before is not None:
        of_experiments.append(_e.c.updated < before)
    else:
        of_experiments.append(_e.c.id.in_(list(experiment_ids or ())))
    busy = sa.select(_r.c.experiment).where(_r.c.workspace == key, sa.not_(over))
    seqs = list(tx.execute(sa.select(_e.c.seq).where(*of_experiments, _e.c.seq.not_in(busy))).scalars())
    if seqs:
        # The name is free at once; nobody can have made an experiment of this one, since ids have no colon.
        tx.execute(sa.update(_e).where(_e.c.seq.in_(seqs)).values(stage="purged", name=sa.literal("purged:") + _e.c.id))
        for table in (_r, _m):
            tx.execute(sa.update(table).where(table.c.experiment.in_(seqs)).values(stage="purged"))
    counts = []
    for table, ids, when, more in ((_r, run_ids, _r.c.deleted, [over]), (_m, model_ids, _m.c.updated, [])):
        which = sa.func.coalesce(when, 0.0) < before if before is not None else table.c.id.in_(list(ids or ()))
        counts.append(tx.execute(sa.update(table).where(table.c.workspace == key, table.c.stage == "deleted", which, *more).values(stage="purged")).rowcount)
    return Claimed(counts[0], len(seqs), counts[1])


def left(tx: Tx, key: str, limit: int) -> tuple[list[Purged], list[Purged]]:
    """(runs, logged models) that are claimed and still there."""
    of_runs = [Purged(*row) for row in tx.execute(sa.select(_r.c.seq, _r.c.id, _r.c.is_job).where(_r.c.workspace == key, _r.c.stage == "purged").limit(limit))]
    found = sa.select(_m.c.seq, _m.c.id, sa.false(), _m.c.folder).where(_m.c.workspace == key, _m.c.stage == "purged").limit(limit)
    return of_runs, [Purged(*row) for row in tx.execute(found)]


def folders_in_use(tx: Tx, key: str, run_id: str) -> list[str]:
    """Folders of logged models that lie among this run's files and are not to go with it."""
    return list(tx.execute(sa.select(_m.c.folder).where(_m.c.workspace == key, _m.c.run == run_id, _m.c.stage != "purged", _m.c.folder != "")).scalars())


def shrink(tx: Tx, seq: int) -> bool:
    """Takes a piece of a run's metric values away; False when there is none left."""
    row = tx.raw("SELECT key FROM metric WHERE run = ? LIMIT 1", (seq,)).fetchone()
    if row is None:
        return False
    key = row[0]
    beyond = tx.raw("SELECT at FROM metric WHERE run = ? AND key = ? ORDER BY at LIMIT 1 OFFSET ?", (seq, key, PIECE)).fetchone()
    if beyond is None:
        tx.raw("DELETE FROM metric WHERE run = ? AND key = ?", (seq, key))
    else:
        tx.raw("DELETE FROM metric WHERE run = ? AND key = ? AND at <= ?", (seq, key, beyond[0]))
    return True


def drop_run(tx: Tx, seq: int) -> None:
    """The rest of a run, once its values are gone. Its traces are the experiment's and stay."""
    run = tx.execute(sa.select(_r.c.workspace, _r.c.id).where(_r.c.seq == seq)).first()
    if run is not None:
        runs.unlink_traces(tx, run.workspace, run.id)
    runs.drop(tx, [seq])


def drop_model(tx: Tx, seq: int, id_: str) -> None:
    tx.execute(sa.delete(tables.logged_model_metric).where(tables.logged_model_metric.c.model == seq))
    tx.execute(sa.delete(tables.run_link).where(tables.run_link.c.ref == id_, tables.run_link.c.kind.in_(("model_in", "model_out"))))
    tx.execute(sa.delete(_m).where(_m.c.seq == seq))


def drop_experiments(tx: Tx, key: str) -> None:
    """Those that are claimed and have nothing in them any more, with their data sets, scorers, questions, queues and issues."""
    held = sa.union_all(*(sa.select(table.c.experiment).where(table.c.workspace == key) for table in (_r, _m, tables.trace)))
    empty = list(tx.execute(sa.select(_e.c.seq).where(_e.c.workspace == key, _e.c.stage == "purged", _e.c.seq.not_in(held))).scalars())
    if empty:
        tx.execute(sa.delete(tables.dataset).where(tables.dataset.c.experiment.in_(empty)))
        genai_end.with_experiments(tx, key, empty)
        tx.execute(sa.delete(_e).where(_e.c.seq.in_(empty)))


def disown(tx: Tx, key: str, run_id: str) -> None:
    """The run of a job that is no more is a run like any other."""
    tx.execute(sa.update(_r).where(_r.c.workspace == key, _r.c.id == run_id).values(is_job=False))
