"""System metrics of a job: whether and how often they are taken, and what their samples become in its run.

A sample is a line of execution/runtime/sampler.py. Its names are MLflow's own; those about the job alone, for which MLflow has none,
begin with "job_" (or "rank_N/job_" for one of several processes).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from lazward.domain.tracking.names import INT64, MAX_KEY, Metric

PREFIX = "system/"
SWITCH, INTERVAL, NODE = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "MLFLOW_SYSTEM_METRICS_NODE_ID"
TAG = "lazward.systemMetrics"
TELLTALE = "cpu_utilization_percentage"  # MLflow's own monitor logs it wherever it runs
LEAST_S = 1.0  # what a job may ask for
MAX_LINE = 65_536
MAX_VALUES = 2000
_NAME = re.compile(r"[a-z0-9_]{1,60}(/[a-z0-9_]{1,60})?")
_NODE = re.compile(r"[\w.-]{1,100}")
_TRUE, _FALSE = ("true", "1"), ("false", "0")  # as MLflow reads its variables


class Sample(msgspec.Struct, frozen=True):
    """at: unix milliseconds. values: by name, without a prefix."""

    at: int
    step: int
    values: dict[str, float]


def interval_of(facts: dict[str, Any], env: Mapping[str, str], setting_s: float) -> float | None:
    """Seconds between two samples of a job, None for none. facts: its properties; env: the variables it runs with; setting_s: the
    server's, which a job may make rarer or more frequent, and switch off, but not on."""
    if not setting_s or env.get(SWITCH, "").lower() in _FALSE or str((facts.get("tags") or {}).get(TAG, "")).lower() in _FALSE:
        return None
    try:
        asked = float(env.get(INTERVAL) or setting_s)
    except ValueError:
        return setting_s
    return max(asked, LEAST_S) if INTERVAL in env and math.isfinite(asked) and asked > 0 else setting_s


def logs_its_own(facts: dict[str, Any]) -> bool:
    """Whether MLflow in the job logs the machine's metrics itself, so that only those of the job are added."""
    return str((facts.get("environmentVariables") or {}).get(SWITCH, "")).lower() in _TRUE


def prefix_of(facts: dict[str, Any]) -> str:
    """"system/", or "system/NODE/" where the job says which node it is, as to MLflow."""
    node = str((facts.get("environmentVariables") or {}).get(NODE) or "")
    return f"{PREFIX}{node}/" if _NODE.fullmatch(node) and node not in (".", "..") else PREFIX


def is_own(name: str) -> bool:
    """Whether it is about the job alone: no other monitor logs that."""
    return name.startswith("job_") or (name.startswith("rank_") and "/job_" in name)


def parse(line: bytes) -> Sample | None:
    """None for what is no sample: the file lies where the job could write."""
    try:
        raw = msgspec.json.decode(line, type=dict[str, float | int])
    except (msgspec.DecodeError, RecursionError):
        return None
    at, step = raw.pop("at", None), raw.pop("step", None)
    if type(at) is not int or type(step) is not int or not (0 <= at < INT64 and 0 <= step < INT64) or len(raw) > MAX_VALUES:
        return None
    if not all(_NAME.fullmatch(name) and abs(value) < 1e300 for name, value in raw.items()):
        return None
    return Sample(at, step, {name: float(value) for name, value in raw.items()})


def metrics_of(samples: Iterable[Sample], prefix: str, own_only: bool) -> list[Metric]:
    return [
        Metric(f"{prefix}{name}"[:MAX_KEY], sample.at, sample.step, value)
        for sample in samples for name, value in sample.values.items() if not own_only or is_own(name)
    ]
