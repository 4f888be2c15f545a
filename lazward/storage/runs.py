"""Queries over runs: their life, their params and tags. A job's run has the job's name as id, and the job decides its status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import MlflowError, invalid, missing
from lazward.domain.tracking.names import LOST, PARENT, RUN_NAME
from lazward.domain.tracking.status import FAILED, RUNNING, SCHEDULED, TERMINAL, from_job
from lazward.storage import experiments, genai_end, tables
from lazward.storage.db import Tx
from lazward.storage.experiments import Experiment
from lazward.storage.tables import run as t


class Run(msgspec.Struct):
    """A run's own facts. Times are unix seconds; experiment is experiment.seq; status is MLflow's."""

    seq: int
    id: str
    experiment: int
    name: str
    status: str
    stage: str
    is_job: bool
    user: str
    parent: str | None
    started: float
    ended: float | None


_LINKED = tables.trace_link
COLUMNS = [t.c[name] for name in Run.__struct_fields__]
# A run counts only while its workspace is there, whatever became of its rows.
_ONE = sa.select(*COLUMNS).where(t.c.workspace == sa.bindparam("workspace"), t.c.id == sa.bindparam("id"), t.c.stage != "purged").join(
    tables.resource, tables.resource.c.key == t.c.workspace
)
_WRITABLE = "SELECT r.seq, r.stage FROM run r JOIN resource w ON w.key = r.workspace WHERE r.workspace = ? AND r.id = ?"
_STATUS = sa.update(t).where(t.c.workspace == sa.bindparam("of"), t.c.id == sa.bindparam("run_id"))
_RUNNING = _STATUS.values(
    status=sa.bindparam("status"), ended=None, started=sa.case((t.c.status == SCHEDULED, sa.bindparam("now")), else_=t.c.started)
)
_RUN_AND_PARAM = (
    "SELECT r.seq, r.stage, p.value FROM run r JOIN resource w ON w.key = r.workspace LEFT JOIN param p ON p.run = r.seq AND p.key = ? "
    "WHERE r.workspace = ? AND r.id = ?"
)
_INSERT = (
    'INSERT INTO run (workspace, id, experiment, name, status, stage, is_job, "user", parent, started) SELECT ?, ?, seq, ?, ?, \'active\', ?, ?, ?, ? '
    "FROM experiment WHERE workspace = ? AND id = ? AND stage = 'active' ON CONFLICT DO NOTHING RETURNING seq"
)
# On PostgreSQL the same as one statement, of which the transaction consists (Tx.last).
_PARAM_AT_ONCE = f"WITH found AS ({_RUN_AND_PARAM}), made AS (INSERT INTO param (run, key, value) SELECT seq, ?, ? FROM found WHERE stage = 'active' AND value IS NULL) SELECT * FROM found"  # noqa: S608
_TAG_AT_ONCE = (
    f"WITH found AS ({_WRITABLE}), made AS (INSERT INTO run_tag (run, key, value) SELECT seq, ?, ? FROM found WHERE stage = 'active' "  # noqa: S608
    "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value) SELECT stage FROM found"
)
_RUN_AT_ONCE = (
    f"WITH inside AS ({experiments.ACTIVE}), made AS ({_INSERT}), "  # noqa: S608 - of constants
    "tags AS (INSERT INTO run_tag (run, key, value) SELECT made.seq, key, value FROM made, unnest(?::text[], ?::text[]) AS tag (key, value)) "
    "SELECT inside.*, made.seq FROM inside LEFT JOIN made ON true"
)
_TAGS = "INSERT INTO run_tag (run, key, value) VALUES (?, ?, ?) ON CONFLICT (run, key) DO UPDATE SET value = excluded.value"
_PARAMS = "INSERT INTO param (run, key, value) VALUES (?, ?, ?)"
_PARAM_VALUES = "SELECT key, value FROM param WHERE run = ? AND key {}"


def get(tx: Tx, key: str, id_: str) -> Run:
    found = tx.execute(_ONE, {"workspace": key, "id": id_}).first()
    if found is None:
        experiments.workspace(tx, key)
        raise missing(f"Run with id={id_[:256]} not found")
    return Run(*found)


def active(tx: Tx, key: str, id_: str) -> Run:
    """The run to write to; one in the bin is refused."""
    found = get(tx, key, id_)
    if found.stage != "active":
        raise invalid(f"The run {id_} must be in the 'active' state. Current state is {found.stage}.", "run_id")
    return found


def writable(tx: Tx, key: str, id_: str) -> int:
    """run.seq of the run to write to: active(), for what happens thousands of times a second."""
    found = tx.raw(_WRITABLE, (key, id_)).fetchone()
    return found[0] if found is not None and found[1] == "active" else active(tx, key, id_).seq


def create(
    tx: Tx, key: str, id_: str, experiment_id: str, name: str, user: str, started: float, tags: Sequence[tuple[str, str]], now: float, more: bool = False,
) -> tuple[Run, Experiment]:
    """A run of a client's own, RUNNING from the start. Who has chosen the id may not have heard our answer: the same run (experiment, start)
    is answered as it is; any other of that id is refused. more: the transaction has more to write."""
    values = (name, RUNNING, False, user, started, tags)

    def made(row: Sequence[Any] | None) -> tuple[Run, Experiment]:
        experiment, seq = (None, None) if row is None else (experiments.of_row(*row[:-1]), row[-1])
        if experiment is None:
            experiment = experiments.active(tx, key, experiment_id, now)
            seq = _insert(tx, key, id_, experiment_id, *values)
        if seq is not None:
            return Run(seq, id_, experiment.seq, name, RUNNING, "active", False, user, dict(tags).get(PARENT), started, None), experiment
        there = tx.execute(_ONE, {"workspace": key, "id": id_}).first()
        if there is None or (there.experiment, there.started, bool(there.is_job)) != (experiment.seq, started, False):
            raise _taken(id_)
        return Run(*there), experiment

    if tx.sqlite:
        return made(None)
    row, tags_of = _row(key, id_, experiment_id, *values)
    answer = (tx.raw if more else tx.last)(_RUN_AT_ONCE, (key, experiment_id, *row, list(tags_of), list(tags_of.values())))
    return made(answer.fetchone()) if more else tx.later(lambda: made(answer.fetchone()))


def create_job_run(
    tx: Tx, workspace: str, run_id: str, experiment_name: str, name: str, user: str, tags: dict[str, str], now: float, parent: str | None = None,
) -> str:
    """The run of a job, in the transaction that makes the job; returns the experiment's id, which is made when it is new. parent: the
    run it is nested in.
    MlflowError RESOURCE_ALREADY_EXISTS when the id is a run's already."""
    experiment = experiments.for_job(tx, workspace, experiment_name, now)
    if _insert(tx, workspace, run_id, experiment.id, name, SCHEDULED, True, user, now, [*tags.items(), *([(PARENT, parent)] if parent else [])]) is None:
        raise _taken(run_id)
    return experiment.id


def set_status(tx: Tx, workspace: str, run_id: str, job_status: str, now: float, ended: float | None = None) -> None:
    """What became of a job, in the job's words ("Queued", "Completed", ...): the one way a job's run changes its status. The first
    "Running" sets its start, a terminal status its end (`ended`, or now). Nothing happens when somebody has purged the run."""
    status = from_job(job_status)
    which = {"of": workspace, "run_id": run_id, "status": status}
    if status == RUNNING:
        tx.execute(_RUNNING, {**which, "now": now})
    else:
        tx.execute(_STATUS, {**which, "ended": (ended or now) if status in TERMINAL else None})


def update(tx: Tx, key: str, id_: str, status: str | None, ended: float | None, name: str | None) -> tuple[Run, Experiment]:
    """What a client says of its run. Of a job's run it may change the name only: its status and end are the server's."""
    run = active(tx, key, id_)
    if not run.is_job:
        if status and run.status == FAILED:
            _delete_tag(tx, run, LOST)
        run.status = status or run.status
        run.ended = ended if ended is not None else None if status == RUNNING else run.ended
    if name:
        run.name = name
        tx.raw(_TAGS, (run.seq, RUN_NAME, name))
    tx.execute(sa.update(t).where(t.c.seq == run.seq).values(status=run.status, ended=run.ended, name=run.name))
    return run, experiments.by_seq(tx, {run.experiment})[run.experiment]


def give_up(tx: Tx, key: str, id_: str, ended: float, reason: str) -> bool:
    """A run of a client's own whose process is gone becomes FAILED, as of `ended`, with the reason in a tag; False, and nothing, when it
    is no more RUNNING."""
    found = tx.execute(_ONE, {"workspace": key, "id": id_}).first()
    if found is None or found.is_job or found.status != RUNNING:
        return False
    tx.execute(sa.update(t).where(t.c.seq == found.seq).values(status=FAILED, ended=max(ended, found.started)))
    tx.raw(_TAGS, (found.seq, LOST, reason))
    return True


def alive(tx: Tx, key: str, id_: str) -> bool:
    """The process of a run has said that it lives: a run that was given up is RUNNING again. False when the run is over, or none, so
    that nobody need watch it."""
    found = tx.execute(_ONE, {"workspace": key, "id": id_}).first()
    if found is None or found.is_job or found.stage != "active":
        return False
    run = Run(*found)
    if run.status == FAILED and tag(tx, run, LOST) is not None:
        tx.execute(sa.update(t).where(t.c.seq == run.seq).values(status=RUNNING, ended=None))
        _delete_tag(tx, run, LOST)
        return True
    return run.status == RUNNING


def delete(tx: Tx, key: str, id_: str, now: float) -> None:
    """Into the bin."""
    run = get(tx, key, id_)
    tx.execute(sa.update(t).where(t.c.seq == run.seq).values(stage="deleted", deleted=now))


def restore(tx: Tx, key: str, id_: str) -> None:
    """Out of the bin; one that was not in it stays as it is."""
    run = get(tx, key, id_)
    tx.execute(sa.update(t).where(t.c.seq == run.seq).values(stage="active", deleted=None))


def seq_of(tx: Tx, workspace: str, run_id: str) -> int | None:
    """run.seq, whatever stage it is in."""
    return tx.execute(sa.select(t.c.seq).where(t.c.workspace == workspace, t.c.id == run_id)).scalar()


def delete_job_run(tx: Tx, workspace: str, run_id: str, now: float) -> None:
    """Removes the run of a job that is deleted, and all it logged; nothing when there is none. Its artifacts are the blob store's. Traces
    are the experiment's and stay; they are no longer found by the run."""
    drop(tx, sa.select(t.c.seq).where(t.c.workspace == workspace, t.c.id == run_id))
    unlink_traces(tx, workspace, run_id)


def delete_workspace(tx: Tx, workspace: str) -> None:
    """Removes all tracking data of a workspace that goes. Artifacts are the blob store's."""
    e, m, measured = tables.experiment, tables.logged_model, tables.logged_model_metric
    drop(tx, sa.select(t.c.seq).where(t.c.workspace == workspace))
    purge_traces(tx, _traces(workspace))
    tx.execute(sa.delete(measured).where(measured.c.model.in_(sa.select(m.c.seq).where(m.c.workspace == workspace))))
    tx.execute(sa.delete(tables.dataset).where(tables.dataset.c.experiment.in_(sa.select(e.c.seq).where(e.c.workspace == workspace))))
    genai_end.with_workspace(tx, workspace)
    for table in (m, e):
        tx.execute(sa.delete(table).where(table.c.workspace == workspace))


def unlink_traces(tx: Tx, workspace: str, run_id: str) -> None:
    tx.execute(sa.delete(_LINKED).where(_LINKED.c.kind == "run", _LINKED.c.ref == run_id, _LINKED.c.trace.in_(_traces(workspace))))


def purge_traces(tx: Tx, seqs: Any) -> None:
    """seqs: numbers of traces, or a query for them. Goes with all that hangs from them but artifacts."""
    for table in (tables.span, tables.assessment, tables.trace_link):
        tx.execute(sa.delete(table).where(table.c.trace.in_(seqs)))
    tx.execute(sa.delete(tables.trace).where(tables.trace.c.seq.in_(seqs)))


def _traces(workspace: str) -> sa.Select[Any]:
    return sa.select(tables.trace.c.seq).where(tables.trace.c.workspace == workspace)


def drop(tx: Tx, seqs: Any) -> None:
    """Every row of these runs. seqs: numbers of runs, or a query for them. Of one with long curves trash.shrink() takes the values first."""
    for table in (tables.metric, tables.latest_metric, tables.metric_sketch, tables.param, tables.run_tag, tables.run_link):
        tx.execute(sa.delete(table).where(table.c.run.in_(seqs)))
    tx.execute(sa.delete(t).where(t.c.seq.in_(seqs)))


def children(tx: Tx, key: str, id_: str) -> list[tuple[Run, Experiment]]:
    run = get(tx, key, id_)
    rows = [Run(*row) for row in tx.execute(sa.select(*COLUMNS).where(t.c.workspace == key, t.c.parent == run.id, t.c.stage == "active").order_by(t.c.seq))]
    known = experiments.by_seq(tx, {r.experiment for r in rows})
    return [(r, known[r.experiment]) for r in rows]


def log_params(tx: Tx, seq: int, id_: str, params: Sequence[tuple[str, str]]) -> None:
    """Adds params to run.seq; one that is there keeps its value, and another value for it is refused."""
    if not params:
        return
    marks, keys = tx.among([k for k, _ in params])
    there = dict(tx.raw(_PARAM_VALUES.format(marks), (seq, keys)))
    changed = [{"key": k, "old_value": there[k][:500], "new_value": v[:500]} for k, v in params if there.get(k, v) != v]
    if len(changed) == 1 and len(params) == 1:
        raise invalid(
            f"Changing param values is not allowed. Param with key='{changed[0]['key']}' was already logged with value='{changed[0]['old_value']}' "
            f"for run ID='{id_}'. Attempted logging new value '{changed[0]['new_value']}'.", "value",
        )
    if changed:
        raise invalid(f"Changing param values is not allowed. Params were already logged='{changed}' for run ID='{id_}'.", "params")
    tx.raw_many(_PARAMS, [(seq, k, v) for k, v in params if k not in there])


def log_param(tx: Tx, key: str, id_: str, name: str, value: str) -> None:
    """log_params() of one, with fewer statements."""
    def made(found: Sequence[Any] | None) -> None:
        if found is None or found[1] != "active" or found[2] not in (None, value):
            log_params(tx, writable(tx, key, id_), id_, [(name, value)])  # tells what is wrong
        elif found[2] is None and tx.sqlite:
            tx.raw(_PARAMS, (found[0], name, value))

    answer = tx.raw(_RUN_AND_PARAM, (name, key, id_)) if tx.sqlite else tx.last(_PARAM_AT_ONCE, (name, key, id_, name, value))
    return tx.later(lambda: made(answer.fetchone()))


def set_tags(tx: Tx, workspace: str, run_id: str, tags: dict[str, str], now: float) -> None:
    """The tags of a job, told to its run whatever stage that is in; nothing when somebody has purged the run."""
    found = tx.execute(_ONE, {"workspace": workspace, "id": run_id}).first()
    if found is not None:
        write_tags(tx, found.seq, tags.items())


def drop_tags(tx: Tx, workspace: str, run_id: str, names: Sequence[str]) -> None:
    """Removes tags that a job has set on its run, where they are."""
    found = tx.execute(_ONE, {"workspace": workspace, "id": run_id}).first()
    if found is not None:
        tx.execute(sa.delete(tables.run_tag).where(tables.run_tag.c.run == found.seq, tables.run_tag.c.key.in_(names)))


def write_tags(tx: Tx, seq: int, tags: Iterable[tuple[str, str]]) -> None:
    """Sets tags of run.seq, the last of equal keys winning. Some of them are facts of the run as well: its name, what it is nested in."""
    wanted = dict(tags)
    if wanted.get(RUN_NAME) == "":
        del wanted[RUN_NAME]  # a run always has a name
    if not wanted:
        return
    tx.raw_many(_TAGS, [(seq, k, v) for k, v in wanted.items()])
    facts = {column: wanted[tag] for tag, column in ((RUN_NAME, "name"), (PARENT, "parent")) if tag in wanted}
    if facts:
        tx.execute(sa.update(t).where(t.c.seq == seq).values(**facts))


def set_tag(tx: Tx, key: str, id_: str, name: str, value: str) -> None:
    def made(found: Sequence[Any] | None) -> None:
        if found is None or found[0] != "active":
            write_tags(tx, writable(tx, key, id_), [(name, value)])

    if tx.sqlite or name in (RUN_NAME, PARENT):  # these are facts of the run as well
        return made(None)
    answer = tx.last(_TAG_AT_ONCE, (key, id_, name, value))
    return tx.later(lambda: made(answer.fetchone()))


def delete_tag(tx: Tx, key: str, id_: str, name: str) -> None:
    run = active(tx, key, id_)
    if not _delete_tag(tx, run, name):
        raise missing(f"No tag with name: {name} in run with id {id_}")
    if name == PARENT:
        tx.execute(sa.update(t).where(t.c.seq == run.seq).values(parent=None))


def _delete_tag(tx: Tx, run: Run, name: str) -> int:
    return tx.execute(sa.delete(tables.run_tag).where(tables.run_tag.c.run == run.seq, tables.run_tag.c.key == name)).rowcount


def tag(tx: Tx, run: Run, name: str) -> str | None:
    return tx.execute(sa.select(tables.run_tag.c.value).where(tables.run_tag.c.run == run.seq, tables.run_tag.c.key == name)).scalar()


def _insert(tx: Tx, key: str, id_: str, experiment_id: str, name: str, status: str, is_job: bool, user: str, started: float, tags: Sequence[tuple[str, str]]) -> int | None:
    """run.seq; None when the id is taken, or the experiment is no active one."""
    row, tags_of = _row(key, id_, experiment_id, name, status, is_job, user, started, tags)
    made = tx.raw(_INSERT, row).fetchone()
    if made is None:
        return None
    tx.raw_many(_TAGS, [(made[0], k, v) for k, v in tags_of.items()])
    return made[0]


def _row(key: str, id_: str, experiment_id: str, name: str, status: str, is_job: bool, user: str, started: float, tags: Sequence[tuple[str, str]]) -> tuple[tuple[Any, ...], dict[str, str]]:
    """(what _INSERT takes, the run's tags)."""
    wanted = {**dict(tags), RUN_NAME: name}
    return (key, id_, name, status, is_job, user, wanted.get(PARENT), started, key, experiment_id), wanted


def _taken(id_: str) -> MlflowError:
    return MlflowError("RESOURCE_ALREADY_EXISTS", f"A run with id={id_} exists already.", "run_id")
