"""The job engine, all in one run: `python -m bench.orchestration`. What each row means stands at the head of the part's file.

  chain      a no-op step and a chain of ten, against Metaflow, Prefect, Dagster and bare processes
  sweep      100 trials against Optuna
  planner    a pipeline of 10 000 nodes: planning, submitting, and what other clients notice of it
  parallel   a parallel job over 10 000 files against a plain process pool

Peers get environments of their own, made here by uv from the user's registry; one that cannot be installed is named in the table and left out.
BENCH_PARTS=chain,sweep runs those parts alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from bench.measure import Row, main
from bench.orchestration import chain, parallel, planner, sweep

PARTS: Mapping[str, Callable[[bool], list[Row]]] = {"chain": chain.rows, "sweep": sweep.rows, "planner": planner.rows, "parallel": parallel.rows}


def rows(quick: bool) -> list[Row]:
    wanted = [name for name in os.environ.get("BENCH_PARTS", "").split(",") if name] or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        sys.exit(f"BENCH_PARTS names {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    found: list[Row] = []
    for name in wanted:
        found += (rows := PARTS[name](quick))
        print(*(row.markdown() for row in rows), sep="\n", file=sys.stderr, flush=True)  # all together it takes minutes
    return found


if __name__ == "__main__":
    main(rows, __doc__)
