"""The trials of a sweep in the database. What a trial is (its number, its point, why it was stopped, its score) is kept in the private
part of its own document, written with the change it belongs to: the children are the sweep's whole memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lazward.contract.mlflow import MlflowError
from lazward.domain.sweeps.machine import State, Trial
from lazward.domain.sweeps.objectives import front
from lazward.domain.sweeps.plan import Sweep
from lazward.domain.sweeps.space import Point, inputs_of
from lazward.domain.sweeps.trial import trial_properties
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration import children
from lazward.orchestration.bayesian import Past
from lazward.orchestration.jobs import request_cancel
from lazward.storage import metric_history, resources, run_search, runs
from lazward.storage.db import Tx
from lazward.storage.resources import Row

_STATES: dict[str, State] = {"Completed": "completed", "Failed": "failed", "CancelRequested": "stopping"}


def trial_of(row: Row) -> dict[str, Any]:
    """{number, values, active: numbers of its point, stopped: why we stopped it, settled: its end was taken in, score, others: its last
    values of the objectives beside the first}."""
    return row.doc["lazward"]["trial"]


def state_of(row: Row) -> Trial:
    facts, status = trial_of(row), row.properties["status"]
    if status == "Canceled":
        return Trial(facts["number"], "stopped" if facts.get("stopped") else "canceled")
    return Trial(facts["number"], _STATES.get(status, "live"))


def past_of(row: Row) -> Past:
    facts = trial_of(row)
    return Past(facts["number"], facts["active"], row.properties["status"] in JOB_OVER, scores_of(row), bool(facts.get("stopped")))


def scores_of(row: Row) -> tuple[float | None, ...]:
    facts = trial_of(row)
    return (facts.get("score"), *(facts.get("others") or ()))


def submit_trial(tx: Tx, settings: Any, sweep: Row, plan: Sweep, number: int, point: Point, now: float) -> Row:
    """Submits trial `number`; one that is there already stays as it is, with the point it has."""
    values = plan.space.values(point)
    private = {"trial": {"number": number, "values": values, "active": plan.space.active(point)}}
    return children.submit_child(tx, settings, sweep, children.name_of(sweep, f"trial/{number}"), trial_properties(sweep.properties, number, values), now, private)


def stop_trial(tx: Tx, key: str, reason: str, now: float) -> None:
    """Asks a trial to stop, and notes why, for people in its properties and tags."""
    row = resources.get(tx, key)
    if row is None or row.properties["status"] in JOB_OVER:
        return
    trial_of(row)["stopped"] = reason
    row.properties["properties"]["earlyTermination"] = reason
    row.properties["tags"]["early_terminated"] = "true"
    resources.update(tx, row, now)
    runs.set_tags(tx, row.scope, row.name, {"early_terminated": "true"}, now)
    request_cancel(tx, key, now)


def settle(tx: Tx, key: str, plan: Sweep, now: float) -> Row | None:
    """Takes in the end of a trial: its score, and as params of its run those parameters that its script has not logged itself (one
    that it has keeps the script's value, which MLflow would not let be changed)."""
    row = resources.get(tx, key)
    if row is None or trial_of(row).get("settled"):
        return row
    facts = trial_of(row)
    extent = metric_history.extents(tx, row.scope, [row.name], plan.metric).get(row.name)
    best = (extent.high if plan.maximize else extent.low) if extent else None
    last = [metric_history.extents(tx, row.scope, [row.name], one.metric).get(row.name) for one in plan.others]
    if plan.others and extent is not None:  # values that belong together: where the trial ended
        best = extent.value if extent.low is not None else None
    facts |= {"settled": True, "score": _finite(best)}
    if plan.others:
        facts["others"] = [_finite(one.value) if one and one.low is not None else None for one in last]
    try:
        full = run_search.one(tx, row.scope, row.name)
        logged = {name for name, _ in full.params}
        runs.log_params(tx, full.run.seq, full.run.id, [(name, str(value)) for name, value in inputs_of(facts["values"]).items() if name not in logged])
    except MlflowError:
        pass  # somebody has purged the run: nothing to add to
    return resources.update(tx, row, now)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def front_of(rows: Mapping[int, Row], plan: Sweep) -> list[Row]:
    """Of a sweep with several objectives, the completed trials that no other one beats."""
    done = {number: values for number, row in rows.items() if row.properties["status"] == "Completed" and None not in (values := scores_of(row))}
    return [rows[number] for number in front(done, plan.goals)]  # type: ignore[arg-type]


def best_of(rows: Mapping[int, Row], maximize: bool) -> Row | None:
    """The completed trial with the best score; of equals the first."""
    done = [r for r in rows.values() if r.properties["status"] == "Completed" and trial_of(r).get("score") is not None]
    sign = -1 if maximize else 1
    return min(done, key=lambda r: (sign * trial_of(r)["score"], trial_of(r)["number"]), default=None)
