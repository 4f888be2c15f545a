"""What people see of a move: progress, and what became of it."""

from __future__ import annotations

import sys
import time
from typing import Any

from lazward.cli.moving.intake import Done
from lazward.cli.output import duration, progress, show, size

_EVERY_S = 2.0
_REFUSALS = 50


class Progress:
    """A line now and then on stderr: what is done, of how much, and about how long it takes."""

    def __init__(self, totals: dict[str, int]):
        self._total = sum(totals.values())
        self._began = self._last = time.monotonic()

    def __call__(self, done: Done) -> None:
        now = time.monotonic()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        count = sum(n for kinds in (done.made, done.same) for kind, n in kinds.items() if kind != "files") + done.refused_count
        line = ", ".join(f"{n} {kind}" for kind, n in done.made.items()) or "nothing yet"
        if self._total and count:
            share = min(1.0, count / self._total)
            left = (now - self._began) * (1 - share) / share
            line += f"; {share:.0%}" + (f", about {duration(left)} left before files" if share < 1 else ", files")
        progress(f"lazward: {line}; {done.values} metric values, {size(done.bytes)} of files")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


def summary(done: Done, seconds: float, json: bool) -> dict[str, Any] | None:
    """Prints what became of it; with json, returns it to be printed."""
    rate = max(seconds, 1e-6)
    if json:
        return {
            "imported": done.made, "already_there": done.same, "metric_values": done.values, "bytes": done.bytes, "seconds": round(seconds, 3),
            "refused": [{"what": what, "why": why} for what, why in done.refused], "refused_count": done.refused_count, "experiment_ids": done.moved_experiments,
        }
    for title, counts in (("imported", done.made), ("already there", done.same)):
        show(f"{title}: " + (", ".join(f"{n} {kind}" for kind, n in counts.items()) or "nothing"))
    show(f"{done.values} metric values, {size(done.bytes)} of files, in {seconds:.1f} s ({done.made.get('runs', 0) / rate:.0f} runs/s, {done.values / rate:.0f} values/s)")
    for there, here in done.moved_experiments.items():
        show(f"experiment {there} is {here} here")
    for what, why in done.refused[:_REFUSALS]:
        print(f"refused: {what}: {why}", file=sys.stderr)
    if done.refused_count > _REFUSALS:
        print(f"... and {done.refused_count - _REFUSALS} more (--json shows up to a thousand)", file=sys.stderr)
    return None
