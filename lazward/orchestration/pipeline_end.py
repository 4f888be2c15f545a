"""The end of a pipeline: its outputs are those of its steps, its error is theirs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lazward.contract.errors import ArmError
from lazward.domain.pipelines.binding import whole
from lazward.domain.pipelines.ports import read
from lazward.orchestration.durable import Work
from lazward.orchestration.job_finish import register_outputs, set_state, submitter
from lazward.orchestration.pipeline_values import CONTROL
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row

if TYPE_CHECKING:
    from lazward.orchestration.pipelines import PipelineRun

SHOWN = 5  # failed steps that the error tells of
STATUS = {"completed": "Completed", "failed": "Failed", "canceled": "Canceled"}


async def finish(work: Work, runtime: Runtime, job: Row, workspace: Row, run: PipelineRun, end: str) -> None:
    """Writes the pipeline's end, in one transaction with the assets its outputs register."""
    error = await _error(runtime, run) if end == "failed" else None
    places, said = await _outputs(run) if end == "completed" else ({}, {})
    now = work.now()

    def write(tx: Tx) -> None:
        def word(row: Row) -> None:
            facts = row.properties
            if error is not None:
                facts["error"] = error.as_dict()
            for name, uri in places.items():
                facts["outputs"].setdefault(name, {})["uri"] = uri
            if said:
                facts["properties"] = {**facts["properties"], CONTROL: json.dumps(said)}
            if end == "completed":
                register_outputs(tx, row, workspace, submitter(row), now)

        set_state(tx, work.subject, STATUS[end], now, word)

    await work.checkpoint(write, phase="ended")


async def _outputs(run: PipelineRun) -> tuple[dict[str, str], dict[str, Any]]:
    """Where the pipeline's outputs lie in the end (a reused step left them elsewhere), and its single values."""
    places: dict[str, str] = {}
    said: dict[str, Any] = {}
    for node in run.graph.nodes.values():
        for name, given in (node.raw.get("outputs") or {}).items():
            target = whole(given.get("value") if isinstance(given, dict) else given)
            if target is None or target.kind != "output":
                continue
            if found := run.values.gathered.get((node.name, name)):
                if found["jobInputType"] == "literal":
                    said[target.name] = found["value"]
                else:
                    places[target.name] = found["uri"]
            elif child := run.values.children.get(node.name):
                port = read(run.values.specs[node.name].get("outputs")).get(name)
                if port is not None and port.primitive:
                    said[target.name] = await run.values.control(child, name)
                else:
                    places[target.name] = (await run.values.output(child, name, run.values.specs[node.name]))["uri"]
    return places, said


async def _error(runtime: Runtime, run: PipelineRun) -> ArmError:
    told: list[ArmError] = []
    for name in run.progress.failed():
        if name in run.errors:
            cause = run.errors[name]
            told.append(ArmError(400, cause.code, cause.message, f"jobs.{name}"))
            continue
        for key, status in run.outcomes(name):
            row = await runtime.db.read(resources.get, key)
            error = (row.properties.get("error") or {}) if row else {}
            error = error.get("error", error)
            if status == "Failed" and row is not None:
                told.append(ArmError(400, error.get("code") or "StepFailed", error.get("message") or "The step failed.", f"jobs.{name}"))
            if len(told) > SHOWN:
                break
    if not told:
        return ArmError(400, "PipelineFailed", "A step was canceled.", "jobs")
    names = ", ".join(dict.fromkeys(str(e.target).removeprefix("jobs.") for e in told[:SHOWN]))
    return ArmError(400, "PipelineFailed", f"Failed: {names}. The first error: [{told[0].code}] {told[0].message}", told[0].target, told[:SHOWN])
