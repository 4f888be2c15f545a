"""From the submission of a command job to the first line of its code and to its end as a client sees it: `python -m bench.submit`.

The environment is warm, the code is one line of Python that prints the clock. In turn:
  Lazward        a PUT of the job, and MLClient.create_or_update (whose own time on the client is part of it)
  bare process   the same line with the Python of the same environment, from a Popen
  Metaflow       a flow of two steps, `python flow.py run` (installed by this benchmark into an environment of its own)
"first line": the clock that the code read. "in the log": a client that asks for the log every 5 ms has the line.
"Completed": a client that asks for the job every 5 ms has that answer.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import Row, alternate, main
from bench.own_environment import own_environment
from bench.server import Server, until

CODE = "import time; print(time.time(), flush=True)"
FLOW = """
import time
from metaflow import FlowSpec, step

class Bench(FlowSpec):
    @step
    def start(self):
        print("at", time.time(), flush=True)
        self.next(self.end)

    @step
    def end(self):
        print("at", time.time(), flush=True)

if __name__ == "__main__":
    Bench()
"""
AIM = "under 200 ms more"


class Submitter:
    """Submits jobs to a server that has seen their environment before. Each submission returns seconds: first line, in the log, Completed."""

    def __init__(self, server: Server):
        self.server = server
        self.arm = server.client()
        self.blobs = server.client("https://storage.azure.com")
        self.environment = self.arm.put(server.path("environments/bench/versions/1"), {"properties": {"image": "library/python:latest"}})["id"]
        account = self.arm.get(server.path("datastores/workspaceblobstore"))["properties"]["accountName"].rsplit("/", 1)[-1]
        self.artifacts = f"/{account}.blob.core.windows.net/azureml/ExperimentRun"
        self.put()  # builds the environment
        [self.python] = (server.data_dir / "envs" / "envs").glob("*/bin/python")
        self.ml: Any = None

    def put(self) -> tuple[float, float, float]:
        began = time.time()
        return self._seen(self._submit(f'python -c "{CODE}"'), began)

    def ml_client(self) -> tuple[float, float, float]:
        from azure.ai.ml import command

        if self.ml is None:
            self.ml = ml_client(self.server)
        began = time.time()
        job = self.ml.jobs.create_or_update(command(command=f'python -c "{CODE}"', environment="azureml:bench:1", experiment_name="bench"))
        return self._seen(job.name, began)

    def bare(self) -> tuple[float, float]:
        """Seconds to the first line and to the end of a process of the environment's own Python."""
        began = time.time()
        done = subprocess.run([self.python, "-c", CODE], stdout=subprocess.PIPE, check=True)
        ended = time.time()
        return float(done.stdout) - began, ended - began

    def _submit(self, command: str) -> str:
        name = f"b{uuid.uuid4().hex}"
        self.arm.put(self.server.path(f"jobs/{name}"), {"properties": {
            "jobType": "Command", "command": command, "environmentId": self.environment, "experimentName": "bench", "computeId": "",
        }})
        return name

    def _seen(self, name: str, began: float) -> tuple[float, float, float]:
        line = self._log(name)
        read = time.time()
        until(lambda: self._status(name) == "Completed", pause=0.005, what=lambda: self.arm.get(self.server.path(f"jobs/{name}")))
        return float(line) - began, read - began, time.time() - began

    def _status(self, name: str) -> str:
        return self.arm.get(self.server.path(f"jobs/{name}"))["properties"]["status"]

    def _log(self, name: str) -> str:
        """The job's log once there is a line in it."""

        def read() -> str:
            answer = self.blobs.call("GET", f"{self.artifacts}/dcid.{name}/user_logs/std_log.txt", headers={"x-ms-version": "2023-11-03"})
            return answer.body.decode() if answer.status == 200 else ""

        return until(read, pause=0.005, what=lambda: self.arm.get(self.server.path(f"jobs/{name}")))


class Metaflow:
    """Its own environment below `folder`, and a flow in it."""

    def __init__(self, folder: Path):
        self.python = own_environment(folder / "venv", "metaflow")
        self.flow = folder / "flow.py"
        self.flow.write_text(FLOW)
        self.environ = {**os.environ, "METAFLOW_HOME": str(folder), "METAFLOW_USER": "bench", "METAFLOW_DEFAULT_DATASTORE": "local", "METAFLOW_DEFAULT_METADATA": "local", "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder)}
        self.run()

    def run(self) -> tuple[float, float, float]:
        """Seconds from the start of the run to its first step's first line, from there to the second step's, and to the run's end."""
        began = time.time()
        done = subprocess.run([str(self.python), str(self.flow), "run"], cwd=self.flow.parent, env=self.environ, capture_output=True, text=True)
        ended = time.time()
        if done.returncode:
            raise RuntimeError(f"Metaflow failed: {done.stdout}{done.stderr}")
        first, second = (float(line.rsplit(" at ", 1)[1].split()[0]) for line in done.stdout.splitlines() if " at " in line)
        return first - began, second - first, ended - began


def ml_client(server: Server) -> Any:
    """An MLClient of this process, as `eval "$(lazward env)"` makes it work in any shell."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger("azure").setLevel(logging.ERROR)
    os.environ.update(server.env)
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    return MLClient(DefaultAzureCredential(), *(server.env[f"LAZWARD_{name}"] for name in ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE")))


@contextmanager
def metaflow(quick: bool) -> Iterator[Metaflow | None]:
    """None in a quick run: its installation alone takes seconds."""
    if quick:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="lz") as folder:
        yield Metaflow(Path(folder))


def rows(quick: bool) -> list[Row]:
    with metaflow(quick) as peer, Server() as server:
        submitter = Submitter(server)
        cases: dict[str, Any] = {"bare": submitter.bare, "put": submitter.put}
        if peer:
            submitter.ml_client()  # its first submission sets up what later ones reuse
            cases |= {"metaflow": peer.run, "sdk": submitter.ml_client}
        found = alternate(cases, 2 if quick else 11)

    def ms(case: str, at: int) -> list[float]:
        return [sample[at] * 1000 for sample in found[case]]

    out = [
        Row("PUT of a job to the first line of its code", ms("put", 0), "`python -c` of the same environment", ms("bare", 0), aim=AIM),
        Row("PUT of a job to its line in the log a client reads", ms("put", 1), "the same", ms("bare", 0)),
        Row("PUT of a job to Completed at the client", ms("put", 2), "end of the same process", ms("bare", 1)),
    ]
    if peer:
        out += [
            Row("MLClient.create_or_update to the first line", ms("sdk", 0), "`python -c` of the same environment", ms("bare", 0), aim=AIM),
            Row("MLClient.create_or_update to Completed", ms("sdk", 2), "end of the same process", ms("bare", 1)),
            Row("PUT of a job to the first line", ms("put", 0), "Metaflow: `flow.py run` to the first line", ms("metaflow", 0)),
            Row("PUT of a job to the first line", ms("put", 0), "Metaflow: from a step's line to the next step's", ms("metaflow", 1)),
            Row("PUT of a job to Completed", ms("put", 2), "Metaflow: a whole run of two steps", ms("metaflow", 2)),
        ]
    return out


if __name__ == "__main__":
    main(rows, __doc__)
