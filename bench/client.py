"""What the server adds to the start of a script with azure-ai-ml: `python -m bench.client`.

A fresh process imports azure-ai-ml and azure-identity, makes an MLClient with a bare DefaultAzureCredential and gets a datastore (cloud
metadata, token, ARM); in turn with a process that only does the imports. The second get shows what a request costs once that is done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from bench.measure import Row, alternate, main
from bench.server import Server

IMPORTS = """
import time
began = time.perf_counter()
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential
imported = time.perf_counter()
"""
GET = IMPORTS + """
import json, os
client = MLClient(DefaultAzureCredential(), *(os.environ["LAZWARD_" + name] for name in ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE")))
made = time.perf_counter()
client.datastores.get("workspaceblobstore")
first = time.perf_counter()
client.datastores.get("workspaceblobstore")
second = time.perf_counter()
print(json.dumps([imported - began, made - imported, first - made, second - first]))
"""


def rows(quick: bool) -> list[Row]:
    with Server() as server:
        environ = {**os.environ, **server.env, "PYTHONWARNINGS": "ignore"}
        script(GET, environ)  # writes the bytecode of the packages, if nobody has
        found = alternate({"imports": lambda: script(IMPORTS, environ), "get": lambda: script(GET, environ)}, 1 if quick else 9)

    def ms(at: int) -> list[float]:
        return [steps[at] * 1000 for _, steps in found["get"]]

    imports = [took * 1000 for took, _ in found["imports"]]
    return [
        Row("MLClient and first get, imports included (whole process)", [took * 1000 for took, _ in found["get"]], "a process that imports azure-ai-ml and azure-identity", imports),
        Row("MLClient and first get, imports excluded", [a + b for a, b in zip(ms(1), ms(2), strict=True)], "the imports alone, same process", ms(0)),
        Row("the next get", ms(3)),
    ]


def script(text: str, environ: dict[str, str]) -> tuple[float, list[float]]:
    """Seconds that the process took, and those it printed."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", text], env=environ, capture_output=True, text=True)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr)
    return took, json.loads(done.stdout.splitlines()[-1]) if done.stdout else []


if __name__ == "__main__":
    main(rows, __doc__)
