"""Other orchestrators, each in an environment of its own, with a chain of steps that do nothing.

Every peer is told to run 1 or 10 such steps and returns the seconds from the start of its command to the command's end. All of them
are warm: installed, run once before, their server (where there is one) up.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.own_environment import own_environment

STEPS = (1, 10)

METAFLOW = """
from metaflow import FlowSpec, step

class Chain{count}(FlowSpec):
    @step
    def start(self):
        self.next({first})
{middle}
    @step
    def end(self):
        pass

if __name__ == "__main__":
    Chain{count}()
"""
METAFLOW_STEP = """
    @step
    def s{at}(self):
        self.next({after})
"""
PREFECT = """
import sys
from prefect import flow, task

@task
def step(n):
    return n + 1

@flow
def chain(count):
    n = 0
    for _ in range(count):
        n = step(n)

if __name__ == "__main__":
    chain(int(sys.argv[1]))
"""
DAGSTER = """
from dagster import job, op

@op
def first():
    return 0

@op
def step(n):
    return n + 1

@job
def chain():
    n = first()
    for _ in range({count} - 1):
        n = step(n)
"""


class Metaflow:
    """A process per step. A flow has a first and a last step, so its shortest chain is of two."""

    note = "process per step"
    packages = ("metaflow",)
    slow = False

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = own_environment(folder / "venv", *self.packages)
        self.environ = {**os.environ, "METAFLOW_HOME": str(folder), "METAFLOW_USER": "bench", "METAFLOW_DEFAULT_DATASTORE": "local", "METAFLOW_DEFAULT_METADATA": "local", "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder)}
        for count in STEPS:
            names = [*(f"s{at}" for at in range(count - 2)), "end"]
            middle = "".join(METAFLOW_STEP.format(at=at, after=f"self.{names[at + 1]}") for at in range(count - 2))
            (folder / f"flow{count}.py").write_text(METAFLOW.format(count=count, first=f"self.{names[0]}", middle=middle))
            self.run(count)

    def run(self, count: int) -> float:
        return timed([str(self.python), f"flow{count}.py", "run"], self.folder, self.environ)

    def close(self) -> None:
        pass


class Prefect:
    """Tasks as functions of one process, which reports to a server that is up."""

    note = "all steps in one process, its server up"
    packages = ("prefect", "fastapi<0.120")  # its server does not start with a newer FastAPI
    slow = False

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = own_environment(folder / "venv", *self.packages)
        (folder / "chain.py").write_text(PREFECT)
        (folder / "home").mkdir()
        port = _free_port()
        self.environ = {**os.environ, "PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        command = [str(self.python), "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with (folder / "server.log").open("w") as log:
            self.server = subprocess.Popen(command, cwd=folder, env=self.environ, stdout=log, stderr=log)
        try:
            self._wait(f"http://127.0.0.1:{port}/api/health")
            self.run(STEPS[0])
        except BaseException:
            self.close()
            raise

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
                return
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Prefect's server did not start: " + (self.folder / "server.log").read_text(errors="replace")[-500:])
            time.sleep(0.2)

    def run(self, count: int) -> float:
        return timed([str(self.python), "chain.py", str(count)], self.folder, self.environ)

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(30)


class Dagster:
    """`dagster job execute`, whose executor starts a process per step."""

    note = "process per step"
    packages = ("dagster",)
    slow = True

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = own_environment(folder / "venv", *self.packages)
        (folder / "home").mkdir()
        (folder / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        self.environ = {**os.environ, "DAGSTER_HOME": str(folder / "home"), "DO_NOT_TRACK": "1"}
        for count in STEPS:
            (folder / f"chain{count}.py").write_text(DAGSTER.format(count=count))
        self.run(STEPS[0])

    def run(self, count: int) -> float:
        return timed([str(self.python), "-m", "dagster", "job", "execute", "-f", f"chain{count}.py"], self.folder, self.environ)

    def close(self) -> None:
        pass


PEERS: Mapping[str, Callable[[Path], Metaflow | Prefect | Dagster]] = {"Metaflow": Metaflow, "Prefect": Prefect, "Dagster": Dagster}


def timed(command: list[str], folder: Path, environ: Mapping[str, str]) -> float:
    """Seconds from the start of a command to its end; RuntimeError when it failed."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=dict(environ), capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"{Path(command[1]).name} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return took


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
