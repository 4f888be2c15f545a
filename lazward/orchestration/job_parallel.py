"""What a parallel job needs beside a command job: its runner, and the runner's plan (execution/runtime/parallel/plan.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lazward.execution.runtime.parallel
from lazward.contract.errors import ArmError
from lazward.domain.commands import Value
from lazward.domain.jobs import parallel

RUNNER = Path(lazward.execution.runtime.parallel.__file__).parent
AS_FILES = ("readonlymount", "readwritemount", "download")


def input_name(facts: dict[str, Any]) -> str | None:
    """The input that is split into mini-batches. It is brought here whatever its mode; None for a job that is not parallel."""
    return parallel.settings_of(facts["parallel"]).input_name if facts.get("parallel") else None


def variables(facts: dict[str, Any], inputs: Mapping[str, Value], outputs: Mapping[str, Value], folder: Path, cores: float) -> dict[str, str]:
    """Writes the plan into the job's folder; the variables by which the job's command finds it. Nothing for a job that is not parallel."""
    if not facts.get("parallel"):
        return {}
    settings = parallel.settings_of(facts["parallel"])
    source = inputs.get(settings.input_name)
    if source is None:
        raise ArmError(400, "InvalidInput", f"The job has no input '{settings.input_name}'.", f"{parallel.MEMBER}.input_data")
    plan = asdict(settings) | {
        "input": source.text,
        "input_kind": _kind(facts["inputs"][settings.input_name]),
        "workers_per_instance": parallel.workers(settings, cores),
        "append_row_to": _rows(settings, outputs),
    }
    path = folder / "parallel.json"
    path.write_text(json.dumps(plan))
    return {"LAZWARD_PARALLEL": str(RUNNER), "LAZWARD_PARALLEL_PLAN": str(path)}


def _kind(given: dict[str, Any]) -> str:
    """A table that is mounted or downloaded is a list of files, as Azure has it; else it is what its MLTable file says."""
    if given["jobInputType"] != "mltable":
        return "folder"
    return "files" if str(given.get("mode") or "").lower() in AS_FILES else "table"


def _rows(settings: parallel.Settings, outputs: Mapping[str, Value]) -> str | None:
    if settings.append_row_to is None:
        return None
    name, inner = settings.append_row_to
    if name not in outputs:
        raise ArmError(400, "InvalidOutput", f"The job has no output '{name}'.", f"{parallel.MEMBER}.task.append_row_to")
    return f"{outputs[name].text}/{inner}" if inner else outputs[name].text
