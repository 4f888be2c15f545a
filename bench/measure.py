"""How benchmarks measure and show: cases in turn (A, B, A, B), so that whatever else the machine does meanwhile meets all of them alike;
medians with the least and the most; one Markdown table.

A benchmark module is `rows(quick) -> list[Row]` and ends with `main(rows, __doc__)`; `python -m bench.X` prints its table.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

HEADER = "| what | Lazward | against | its figure | ratio | difference | aim |\n|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """One comparison. ours, peer: samples in `unit`: "ms", "s", or a rate such as "/s" or "MiB/s". An empty peer: a figure alone."""

    what: str
    ours: Sequence[float]
    against: str = ""
    peer: Sequence[float] = ()
    unit: str = "ms"
    aim: str = ""

    def markdown(self) -> str:
        ratio = difference = ""
        if self.peer:
            mine, its = statistics.median(self.ours), statistics.median(self.peer)
            ratio = f"{mine / its:.2f}x"
            difference = "" if self.unit.endswith("/s") else f"{mine - its:+{precision(mine - its)}} {self.unit}"
        return "| " + " | ".join((self.what, shown(self.ours, self.unit), self.against, shown(self.peer, self.unit), ratio, difference, self.aim)) + " |"


def shown(samples: Sequence[float], unit: str) -> str:
    """"12.3 ms (11.9-14.0, n=7)"."""
    if not samples:
        return ""
    middle = statistics.median(samples)
    how = precision(middle)
    if len(samples) == 1:
        return f"{middle:{how}} {unit}"
    return f"{middle:{how}} {unit} ({min(samples):{how}}-{max(samples):{how}}, n={len(samples)})"


def precision(value: float) -> str:
    """A format with three digits that count."""
    return ".2f" if abs(value) < 10 else ".1f" if abs(value) < 100 else ".0f"


def alternate(cases: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Runs every case once per round, in turn; what each returned, by case."""
    found: dict[str, list[T]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    return found


def as_installed() -> None:
    """Makes the checkout start as an installed package does: with its bytecode on disk. Without that each process compiles every module anew."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    compileall.compile_dir(str(Path(__file__).parent.parent / "lazward"), quiet=2)


def machine() -> str:
    """What the figures were taken on: no name of a host, no path."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}; load before: {load}"


def main(rows: Callable[[bool], list[Row]], about: str | None) -> None:
    options = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="as few samples as will do to see that it works")
    options.add_argument("--rows", action="store_true", help="the rows of the table alone")
    given = options.parse_args()
    as_installed()
    before = machine()
    found = rows(given.quick)
    if not given.rows:
        print(f"{before}\n\n{HEADER}")
    for row in found:
        print(row.markdown())
