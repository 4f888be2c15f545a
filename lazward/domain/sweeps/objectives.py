"""Several objectives of one sweep: an addition of Lazward's, said in the job's property `lazward.objectives` beside its objective.

The property is JSON, a list like the objective of a sweep's YAML: [{"primary_metric": "latency", "goal": "minimize"}].
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lazward.domain.tracking.names import is_key

PROPERTY = "lazward.objectives"
FRONT = "lazward.paretoFront"  # property of a sweep that has ended: JSON list of the trials' names
MOST = 7  # beside the first

K = TypeVar("K")


@dataclass(frozen=True)
class Objective:
    metric: str
    maximize: bool


def read_objectives(text: Any, first: str) -> tuple[tuple[Objective, ...], str]:
    """The objectives beside the first, and what is wrong with them ("" when nothing is)."""
    if text is None:
        return (), ""
    try:
        given = json.loads(text)
    except (TypeError, ValueError):
        return (), f"It is JSON, not '{str(text)[:60]}'."
    if not isinstance(given, list) or not given or len(given) > MOST:
        return (), f"It is a list of 1 to {MOST} objectives."
    out: list[Objective] = []
    for one in given:
        metric, goal = (one.get("primary_metric"), str(one.get("goal") or "").lower()) if isinstance(one, dict) else (None, "")
        if not isinstance(metric, str) or not is_key(metric) or goal not in ("minimize", "maximize"):
            return (), f"Each has a primary_metric and a goal, minimize or maximize; '{json.dumps(one)[:80]}' has not."
        out.append(Objective(metric, goal == "maximize"))
    names = [first, *(one.metric for one in out)]
    if len(set(names)) < len(names):
        return (), "Each metric is named once."
    return tuple(out), ""


def front(scores: Mapping[K, Sequence[float]], maximize: Sequence[bool]) -> list[K]:
    """Those that no other one beats: none is as good in every objective and better in one. In the order given; of equal ones all."""
    signed = {key: tuple(-value if up else value for value, up in zip(values, maximize, strict=True)) for key, values in scores.items()}
    distinct = set(signed.values())

    def beaten(one: tuple[float, ...]) -> bool:
        return any(other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in distinct)

    best = {values for values in distinct if not beaten(values)}
    return [key for key, values in signed.items() if values in best]
