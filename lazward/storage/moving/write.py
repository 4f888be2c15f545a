"""Records written into a workspace. What is there already is compared, never overwritten.

Things of one row and its parts are written in one transaction. A run may have millions of values: its row is made in the stage
"importing:DIGEST", which no list shows and nobody can write to, its values follow in any number of transactions, and the last one gives it
the stage it has. Whoever comes again with the same run goes on with it; one that was begun from another record of it is taken away first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError

from lazward.contract.mlflow import MlflowError, invalid
from lazward.domain.tracking import names
from lazward.domain.tracking.moved import Experiment, Model, Run, Trace, digest, metrics_of, same, stored
from lazward.domain.tracking.names import DATASET_CONTEXT, DEFAULT_NAME
from lazward.domain.tracking.paths import below, run_prefix
from lazward.storage import experiments, metrics, runs, tables
from lazward.storage.db import Tx
from lazward.storage.logged_models import add_dataset, add_link
from lazward.storage.moving import read

MADE, SAME, OTHER, LEFT = "made", "same", "other", "left"  # LEFT: what another import left has to go first: trash.shrink(), then runs.drop()
OPEN = "importing:"
_e, _r, _m, _t = tables.experiment, tables.run, tables.logged_model, tables.trace
_KNOWN = [_e.c[name] for name in ("seq", "id", "stage", "tags")]
_RUN = (
    'INSERT INTO run (workspace, id, experiment, name, status, stage, is_job, "user", parent, started, ended, deleted) '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq"
)


class Begun(NamedTuple):
    """seq: of the run to fill, or to take away first (LEFT)."""

    what: str
    seq: int = 0


def experiment(tx: Tx, key: str, new: Experiment, now: float) -> tuple[str, int, str]:
    """(MADE | SAME | OTHER, number, id) of the experiment of that name. One that is there gets the tags it lacks; OTHER when some are different.
    The id is kept where it is free."""
    found = tx.execute(sa.select(*_KNOWN).where(_e.c.workspace == key, _e.c.name == new.name, _e.c.stage != "purged")).first()
    if found is None and new.name == DEFAULT_NAME:
        made = experiments.ensure_default(tx, key, now)
        found = tx.execute(sa.select(*_KNOWN).where(_e.c.seq == made.seq)).one()
    if found is not None and found.stage == "deleted" and new.stage == "active":
        raise invalid(f"An experiment named '{new.name[:200]}' is in the bin here: take it out (`lazward trash restore {found.id}`), or give a prefix.", "name")
    if found is not None:
        more = {k: v for k, v in new.tags.items() if k not in found.tags}
        if more:
            tx.execute(sa.update(_e).where(_e.c.seq == found.seq).values(tags={**found.tags, **more}))
        return OTHER if any(found.tags.get(k, v) != v for k, v in new.tags.items()) else SAME, found.seq, found.id
    taken = new.id == names.DEFAULT_EXPERIMENT or tx.execute(sa.select(_e.c.seq).where(_e.c.workspace == key, _e.c.id == new.id)).first() is not None
    one = experiments.create(tx, key, new.name, new.created, id_=None if taken else new.id, location=new.location, tags=new.tags)
    tx.execute(sa.update(_e).where(_e.c.seq == one.seq).values(stage=new.stage, updated=_binned(new.stage, now, new.updated)))
    return MADE, one.seq, one.id


def begin_run(tx: Tx, key: str, new: Run, experiment_seq: int, there: tuple[int, str, Run] | None, now: float) -> Begun:
    """new.experiment: the id of the experiment it goes to. there: what read.run() tells of its id. MADE: fill it and end it, however often
    it has been begun."""
    stage = OPEN + digest(new)
    if there is None:
        row = (key, new.id, experiment_seq, new.name, new.status, stage, False, new.user, new.parent, new.started, new.ended, _binned(new.stage, now, None))
        seq = tx.raw(_RUN, row).fetchone()[0]
        if new.tags:
            tx.raw_many("INSERT INTO run_tag (run, key, value) VALUES (?, ?, ?)", [(seq, k, v) for k, v in new.tags.items()])
        if new.params:
            tx.raw_many("INSERT INTO param (run, key, value) VALUES (?, ?, ?)", [(seq, k, v) for k, v in new.params.items()])
        for one in new.inputs:
            doc = {name: getattr(one, name) for name in ("name", "digest", "source_type", "source", "schema", "profile")}
            add_link(
                tx, run=seq, kind="dataset", ref=str(add_dataset(tx, experiment_seq, doc)), step=0, name=one.name, digest=one.digest,
                context=one.tags.get(DATASET_CONTEXT), tags=one.tags,
            )
        return Begun(MADE, seq)
    seq, stored_stage, mine = there
    if stored_stage == stage:
        return Begun(MADE, seq)
    if stored_stage.startswith(OPEN):
        return Begun(LEFT, seq)
    if stored_stage == "purged":
        raise invalid(f"The run {new.id} was deleted for good and is being removed; try again in a while.", "id")
    return Begun(SAME if same(mine, new) else OTHER, seq)


def values(tx: Tx, seq: int, points: Sequence[Any]) -> None:
    """Adds values to a run that was begun; those that are there stay, once."""
    metrics.add(tx, seq, metrics_of(list(points)))


def end_run(tx: Tx, seq: int, stage: str) -> None:
    """Now it is there. MlflowError when somebody has deleted it meanwhile."""
    if not tx.raw("UPDATE run SET stage = ? WHERE seq = ? AND substr(stage, 1, ?) = ?", (stage, seq, len(OPEN), OPEN)).rowcount:
        raise invalid("It was deleted while it was being imported.", "id")


def model(tx: Tx, key: str, new: Model, experiment_seq: int, now: float) -> str:
    """A logged model with its metrics and links; links to runs that are not here are left out."""
    if mine := read.model(tx, key, new.id):
        here = {(kind, run, step) for kind, run, step in mine.links}
        theirs = [link for link in new.links if link in here or runs.seq_of(tx, key, link[1]) is not None]
        facts = (new.experiment, new.name, new.type, new.status, new.stage, new.run, new.tags, new.params, sorted(map(str, new.metrics)), set(theirs))
        known = (mine.experiment, mine.name, mine.type, mine.status, mine.stage, mine.run, mine.tags, mine.params, sorted(map(str, mine.metrics)), here)
        return SAME if facts == known else OTHER
    if new.below and not new.run:
        raise invalid(f"The logged model {new.id} lies among the files of a run, and names none.", "below")
    names.check_run_id(new.run, "run") if new.run else None
    row = {
        "workspace": key, "id": new.id, "experiment": experiment_seq, "name": new.name, "type": new.type, "status": new.status, "stage": new.stage, "run": new.run,
        "folder": below(run_prefix(new.run), new.below, "below") if new.below else "", "tags": new.tags, "params": new.params, "created": new.created,
        "updated": _binned(new.stage, now, new.updated),
    }
    made = (sqlite if tx.sqlite else postgresql).insert(_m).values(**row).on_conflict_do_nothing().returning(_m.c.seq)
    seq = tx.execute(made).scalar()
    if seq is None:
        raise invalid(f"The logged model {new.id} was deleted for good and is being removed; try again in a while.", "id")
    rows = []
    for name, at, step, value, run, dataset, its_digest in new.metrics:
        number, nan = stored(value)
        names.check_key(name)
        rows.append({"model": seq, "key": name, "at": at, "step": step, "value": number, "nan": nan, "run": run, "dataset": dataset, "digest": its_digest})
    if rows:
        tx.execute((sqlite if tx.sqlite else postgresql).insert(tables.logged_model_metric).on_conflict_do_nothing(), rows)
    for kind, run, step in new.links:
        if kind not in ("model_in", "model_out"):
            raise invalid(f"'{kind[:40]}' is no link of a model.", "links")
        if (run_seq := runs.seq_of(tx, key, run)) is not None:
            add_link(tx, run=run_seq, kind=kind, ref=new.id, step=step, tags={})
    return MADE


def trace(tx: Tx, key: str, new: Trace, experiment_seq: int) -> str:
    """A trace with spans, assessments and links."""
    if mine := read.trace(tx, key, new.id):
        return SAME if mine == new else OTHER
    _only(new.facts, set(read.FACTS), "facts")
    seq = tx.execute(sa.insert(_t).values(workspace=key, id=new.id, experiment=experiment_seq, **new.facts).returning(_t.c.seq)).scalar_one()
    for table, rows, member in ((tables.span, new.spans, "spans"), (tables.assessment, new.assessments, "assessments")):
        columns = {c.name for c in table.c} - {"trace"}
        for row in rows:
            _only(row, columns, member)
        if rows:
            tx.execute(sa.insert(table), [{"trace": seq, **{name: row.get(name) for name in columns}} for row in rows])
    if new.links:
        tx.execute(sa.insert(tables.trace_link), [{"trace": seq, "kind": kind, "ref": ref} for kind, ref in new.links])
    return MADE


def _binned(stage: str, now: float, otherwise: Any) -> Any:
    """What was deleted there is in the bin from now on: it is not to go for good at once because it was old."""
    return now if stage == "deleted" else otherwise


def has(tx: Tx, key: str, owner: str, id_: str) -> bool:
    """Whether there is a run, model or trace of that id for files to hang from."""
    table = {"run": _r, "model": _m, "trace": _t}[owner]
    found = sa.select(table.c.seq).where(table.c.workspace == key, table.c.id == id_)
    return tx.execute(found if table is _t else found.where(table.c.stage != "purged")).first() is not None


def refusal(error: Exception) -> str | None:
    """What a database says of a value that it does not take; None when the error is something else."""
    if isinstance(error, DataError | IntegrityError):
        return f"the database does not take it: {str(error.orig).splitlines()[0][:200]}"
    return None


def _only(row: dict[str, Any], columns: set[str], member: str) -> None:
    if more := row.keys() - columns:
        raise MlflowError("INVALID_PARAMETER_VALUE", f"'{member}' has a member '{min(more)[:60]}', which nothing here is.", member)
