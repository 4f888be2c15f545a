"""A training that logs with MLflow as released, and notes what was acknowledged. Run as a process of its own, or as a rank of a job.

logger.py WITNESS CALLS PAUSE: so many calls of ten values each, a pause (seconds) after each. A line of the witness is a step that was
acknowledged. Of a job it continues the job's run.
"""

from __future__ import annotations

import os
import sys
import time

import mlflow

VALUES = 10


def main(witness: str, calls: int, pause: float) -> None:
    rank = os.environ.get("RANK", "")
    with mlflow.start_run(run_name=os.path.basename(witness)) as run, open(witness, "a") as out:
        print(f"run {run.info.run_id}", file=out, flush=True)
        for step in range(calls):
            mlflow.log_metrics({f"m{rank}.{n}": step + n / 10 for n in range(VALUES)}, step=step)
            print(step, file=out, flush=True)
            time.sleep(pause)
        mlflow.set_tag(f"last{rank}", str(calls - 1))
        mlflow.log_text("x" * 1000, f"texts/{rank or 0}.txt")
    print("ended", file=open(witness, "a"), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
