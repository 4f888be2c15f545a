"""What queries use and SQLite lacks: REGEXP, and percentiles between values as PostgreSQL's percentile_cont."""

from __future__ import annotations

import math
from typing import Any

from lazward.domain.tracking.patterns import matches


class Percentile:
    """percentile(value, p), p of 0 to 100. NULL values do not count; NULL for none."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.p = 50.0

    def step(self, value: float | None, p: float) -> None:
        self.p = p
        if value is not None:
            self.values.append(value)

    def finalize(self) -> float | None:
        if not self.values:
            return None
        self.values.sort()
        place = self.p / 100 * (len(self.values) - 1)
        low = math.floor(place)
        high = min(low + 1, len(self.values) - 1)
        return self.values[low] + (self.values[high] - self.values[low]) * (place - low)


def register(connection: Any) -> None:
    """connection: of sqlite3."""
    connection.create_function("regexp", 2, lambda pattern, text: matches(pattern, None if text is None else str(text)), deterministic=True)
    connection.create_aggregate("percentile", 2, Percentile)
