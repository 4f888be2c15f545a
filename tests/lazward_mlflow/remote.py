"""Run as a process of its own, with the spool: does what it is told on stdin, a line of JSON for each wish, and answers each with one.

{"run": "python statements"} -> {"said": what the statements put into `said`} or {"error": [type, text]}; {"die": 9} kills it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import mlflow

    known: dict[str, Any] = {"mlflow": mlflow, "client": mlflow.MlflowClient(), "os": os}
    print(json.dumps({"said": "ready"}), file=out, flush=True)
    for line in sys.stdin:
        wish = json.loads(line)
        if "die" in wish:
            os.kill(os.getpid(), wish["die"])
        known["said"] = None
        try:
            exec(wish["run"], known)
            answer = {"said": known["said"]}
        except Exception as error:
            answer = {"error": [type(error).__name__, str(error)], "trace": traceback.format_exc()}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
