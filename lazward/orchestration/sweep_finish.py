"""The end of a sweep: which trial was the best, its outputs as the sweep's own, and if there is none, why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lazward.contract.errors import ArmError
from lazward.domain.sweeps.machine import End
from lazward.domain.sweeps.objectives import FRONT
from lazward.domain.sweeps.plan import Sweep
from lazward.domain.tracking.system import PREFIX
from lazward.orchestration.copying import copy
from lazward.orchestration.data import locate, run_folder
from lazward.orchestration.job_finish import register_outputs, submitter
from lazward.orchestration.runtime import Runtime
from lazward.orchestration.sweep_trials import trial_of
from lazward.storage import run_search, runs
from lazward.storage.db import Tx
from lazward.storage.resources import Row

SHOWN = 3000  # characters of a trial's error that are repeated in the sweep's


def error_of(end: End, job: Row, rows: Mapping[int, Row], plan: Sweep, best: Row | None, logged: list[str]) -> ArmError | None:
    """Why a sweep did not end well, with evidence. logged: names of the metrics that its trials have logged."""
    failed = [row for row in rows.values() if row.properties["status"] == "Failed"]
    if end.code == "SweepTimeout":
        limit = (job.properties.get("limits") or {}).get("timeout")
        return ArmError(400, end.code, f"The sweep ran longer than its limit of {limit} (limits.timeout) and was stopped after {len(rows)} of {plan.plan.total} trials.", "limits.timeout")
    if end.code == "TrialsFailed":
        last = failed[-1]
        error = last.properties.get("error") or {}
        shown = f"The last one, {last.name}: ({error.get('code')}) {error.get('message', '')}"[:SHOWN]
        return ArmError(400, end.code, f"No trial ended well: {len(failed)} of {len(rows)} trials failed. {shown}", "trial")
    if end.code:
        return ArmError(400, end.code, f"No trial ended well: all {len(rows)} were canceled.", "trial")
    if end.status == "Completed" and best is None:
        have = f"What they logged: {', '.join(logged[:20])}." if logged else "They logged no metric at all."
        return ArmError(
            400, "PrimaryMetricNotLogged",
            f"No completed trial has logged a value of the primary metric '{plan.metric}', so there is no best one. {have} The trials and what they made are kept.", "objective.primaryMetric",
        )
    return None


def metrics_of(tx: Tx, rows: Mapping[int, Row]) -> list[str]:
    """Names of the metrics that the first completed trials have logged themselves."""
    done = [row for row in rows.values() if row.properties["status"] == "Completed"][:5]
    return sorted({m[0] for row in done for m in run_search.one(tx, row.scope, row.name).metrics if not m[0].startswith(PREFIX)})


async def take_outputs(runtime: Runtime, workspace: Row, job: Row, best: Row) -> None:
    """Makes the named outputs of the best trial the sweep's, at the places that the sweep's outputs name. Can be
    repeated."""
    for name, given in (job.properties.get("outputs") or {}).items():
        source = (best.properties.get("outputs") or {}).get(name)
        if name == "default" or source is None:
            continue
        target = f"outputs.{name}"
        here = await runtime.db.read(locate, workspace, source["uri"], target)
        there = await runtime.db.read(locate, workspace, given["uri"], target)
        await copy(runtime, here, there, target)


def write_end(tx: Tx, row: Row, workspace: Row, end: End, best: Row | None, front: list[Row], error: ArmError | None, now: float) -> None:
    """The sweep's document at its end, in its last transaction. The names of the properties are those Azure's clients look for. front: with
    several objectives, the trials that no other one beats."""
    facts: dict[str, Any] = row.properties
    if error is not None:
        facts["error"] = error.as_dict()
    if best is not None:
        score = str(trial_of(best)["score"])
        facts["properties"] |= {
            "best_child_run_id": best.name, "score": score, "best_metric_status": "Succeeded", "best_data_container_id": run_folder(best.name).rsplit("/", 1)[-1],
        }
        runs.set_tags(tx, row.scope, row.name, {"best_child_run_id": best.name, "score": score}, now)
    if front:
        facts["properties"] |= {FRONT: json.dumps([trial.name for trial in front])}
        for trial in front:
            runs.set_tags(tx, trial.scope, trial.name, {"pareto_front": "true"}, now)
    if end.status == "Completed" and error is None:
        register_outputs(tx, row, workspace, submitter(row), now)
