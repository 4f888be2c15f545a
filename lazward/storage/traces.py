"""The life of traces as clients tell it: begun, ended, tagged, linked, deleted. Spans that come by themselves are spans.py's."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import missing
from lazward.domain.tracking.assessments import Assessment
from lazward.domain.tracking.trace_summary import FINAL, NAME, SOURCE_RUN
from lazward.domain.tracking.traces import IN_PROGRESS, TraceDraft
from lazward.storage import assessments, experiments, runs, tables, trace_artifacts
from lazward.storage.db import Tx
from lazward.storage.experiments import Experiment
from lazward.storage.tables import trace as t
from lazward.storage.trace_rows import Trace, fresh, get, insert, link, some, update


class Full(msgspec.Struct):
    trace: Trace
    experiment: Experiment
    assessments: list[Assessment]


def one(tx: Tx, key: str, id_: str) -> Full:
    return load(tx, [get(tx, key, id_)])[0]


def many(tx: Tx, key: str, ids: Sequence[str], experiment_ids: Sequence[str] | None) -> list[Full]:
    """experiment_ids: only traces of these; None for no restriction."""
    found = some(tx, key, ids)
    if experiment_ids is not None:
        of = set(experiments.seqs(tx, key, experiment_ids))
        found = [trace for trace in found if trace.experiment in of]
    return load(tx, found)


def load(tx: Tx, found: list[Trace]) -> list[Full]:
    """Traces with their assessments, in the order given: two statements however many there are."""
    known = experiments.by_seq(tx, {trace.experiment for trace in found}) if found else {}
    said = assessments.of(tx, [trace.seq for trace in found])
    return [Full(trace, known[trace.experiment], said.get(trace.seq, [])) for trace in found]


def start(tx: Tx, key: str, draft: TraceDraft, now: float) -> Full:
    """What a client says of its whole trace, at its end. It may have sent spans before: what it says now is what counts."""
    experiment = experiments.active(tx, key, draft.experiment, now)
    before = some(tx, key, [draft.id])
    trace = before[0] if before else fresh(draft.id, experiment.seq, draft.at, draft.state)
    trace.experiment, trace.at, trace.duration, trace.state, trace.client_id = experiment.seq, draft.at, draft.duration, draft.state, draft.client_id
    trace.request = draft.request if draft.request is not None else trace.request
    trace.response = draft.response if draft.response is not None else trace.response
    trace.tag(draft.tags)
    trace.describe({**draft.metadata, FINAL: "true"})
    if before:
        update(tx, [trace])
    else:
        insert(tx, key, [trace])
    if SOURCE_RUN in draft.metadata:
        link(tx, [trace.seq], "run", [draft.metadata[SOURCE_RUN]])
    assessments.put(tx, trace.seq, draft.assessments)
    return Full(trace, experiment, assessments.of(tx, [trace.seq]).get(trace.seq, []))


def begin(tx: Tx, key: str, id_: str, experiment_id: str, at: int, tags: dict[str, str], metadata: dict[str, str], now: float) -> Full:
    """A trace as clients of MLflow 2 begin it; they end it by end()."""
    experiment = experiments.active(tx, key, experiment_id, now)
    trace = fresh(id_, experiment.seq, at, IN_PROGRESS)
    trace.tag(tags)
    trace.describe(metadata)
    insert(tx, key, [trace])
    if SOURCE_RUN in metadata:
        link(tx, [trace.seq], "run", [metadata[SOURCE_RUN]])
    return Full(trace, experiment, [])


def end(tx: Tx, key: str, id_: str, at: int, state: str, tags: dict[str, str], metadata: dict[str, str]) -> Full:
    trace = get(tx, key, id_)
    trace.duration, trace.state = at - trace.at, state
    trace.tag(tags)
    trace.describe(metadata)
    update(tx, [trace])
    if SOURCE_RUN in metadata:
        link(tx, [trace.seq], "run", [metadata[SOURCE_RUN]])
    return load(tx, [trace])[0]


def set_tag(tx: Tx, key: str, id_: str, name: str, value: str) -> None:
    trace = get(tx, key, id_)
    trace.tag({name: value})
    update(tx, [trace])


def delete_tag(tx: Tx, key: str, id_: str, name: str) -> None:
    trace = get(tx, key, id_)
    if (name == NAME and trace.name is None) or (name != NAME and name not in trace.tags):
        raise missing(f"No trace tag with key '{name}' for trace with ID '{id_}'")
    if name == NAME:
        trace.name = None
    trace.tags = {k: v for k, v in trace.tags.items() if k != name}
    update(tx, [trace])


def link_run(tx: Tx, key: str, ids: Sequence[str], run_id: str) -> None:
    """Ids that are no traces of this workspace are passed over."""
    run = runs.get(tx, key, run_id)
    link(tx, [trace.seq for trace in some(tx, key, ids)], "run", [run.id])


def link_prompts(tx: Tx, key: str, id_: str, prompts: Sequence[str]) -> None:
    """prompts: NAME/VERSION."""
    link(tx, [get(tx, key, id_).seq], "prompt", prompts)


def delete(tx: Tx, key: str, experiment_id: str, now: float, limit: int, *, until: int | None = None, ids: Sequence[str] | None = None) -> int:
    """Deletes up to `limit` traces of an experiment, the oldest first, with all that hangs from them, artifacts included: those that
    began at `until` (milliseconds) or before, or those with one of the ids. How many there were."""
    _, account = experiments.workspace(tx, key)
    which = [t.c.workspace == key, t.c.experiment.in_(experiments.seqs(tx, key, [experiment_id]))]
    if until is not None:
        which.append(t.c.at <= until)
    if ids is not None:
        which.append(t.c.id.in_(ids))
    found = tx.execute(sa.select(t.c.seq, t.c.id).where(*which).order_by(t.c.at, t.c.id).limit(limit)).all()
    runs.purge_traces(tx, [row.seq for row in found])
    if account:
        trace_artifacts.drop(tx, account, [row.id for row in found], now)
    return len(found)


def drop_purged(tx: Tx, key: str, now: float, limit: int) -> int:
    """Up to `limit` traces of experiments that are taken out of the bin for good (trash.claim), as delete() does. How many there were."""
    _, account = experiments.workspace(tx, key)
    gone = sa.select(tables.experiment.c.seq).where(tables.experiment.c.workspace == key, tables.experiment.c.stage == "purged")
    found = tx.execute(sa.select(t.c.seq, t.c.id).where(t.c.workspace == key, t.c.experiment.in_(gone)).limit(limit)).all()
    runs.purge_traces(tx, [row.seq for row in found])
    if account:
        trace_artifacts.drop(tx, account, [row.id for row in found], now)
    return len(found)
