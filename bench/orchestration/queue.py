"""What a long queue costs those who ask the API.

One job holds the whole machine, a thousand wait behind it. Asked in turn of two servers, one with that queue and one with as many jobs that are over:
GET of one job, and of the first page of the jobs' list. Then the job goes and the queue moves on, a job at a time, while the same is asked
again. The figures against which they are held are those of the idle server.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from bench.measure import Row, alternate
from bench.server import Server, until
from bench.submit import Submitter

MANY = 1000
AIM = "near 1x"


class Queue:
    """A server with a job that waits, or has ended, to be asked about."""

    def __init__(self, server: Server):
        self.server = server
        self.arm = server.client()
        self.submitter = Submitter(server)
        self.one = ""

    def submit(self, command: str, **members: Any) -> str:
        """A job that wants the whole machine."""
        name = f"b{uuid.uuid4().hex}"
        self.arm.put(self.server.path(f"jobs/{name}"), {"properties": {
            "jobType": "Command", "command": command, "environmentId": self.submitter.environment, "experimentName": "bench", "computeId": "",
            "resources": {"properties": {"cores": 100_000}}, **members,
        }})
        return name

    def status(self, name: str) -> dict:
        return self.arm.get(self.server.path(f"jobs/{name}"))["properties"]

    def get(self) -> float:
        return self._timed(f"jobs/{self.one}")

    def page(self) -> float:
        return self._timed("jobs")

    def _timed(self, path: str) -> float:
        began = time.perf_counter()
        self.arm.get(self.server.path(path))
        return (time.perf_counter() - began) * 1000


def rows(quick: bool) -> list[Row]:
    many, rounds = (50, 20) if quick else (MANY, 300)
    with Server() as idle_server, Server() as busy_server:
        idle, busy = Queue(idle_server), Queue(busy_server)
        gate = busy_server.data_dir / "go"
        nothing = {"d": {"jobInputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/nothing/"}}
        for _ in range(many):  # as many documents as there; their data is not there, so they are over before they begin
            idle.one = idle.submit("echo hi", inputs=nothing)
        until(lambda: idle.status(idle.one)["status"] == "Failed", seconds=600, what=lambda: idle.status(idle.one))
        blocker = busy.submit(f"while [ ! -e {gate} ]; do sleep 0.05; done")
        began = time.perf_counter()
        busy.one = [busy.submit("echo hi") for _ in range(many)][-1]
        submitting = (time.perf_counter() - began) / many * 1000
        until(lambda: busy.status(busy.one).get("waitingFor"), seconds=60, what=lambda: busy.status(busy.one))
        still = _asked(idle, busy, rounds)
        gate.touch()
        until(lambda: busy.status(blocker)["status"] == "Completed", seconds=60, what=lambda: busy.status(blocker))
        moving = _asked(idle, busy, rounds)
        if busy.status(busy.one)["status"] != "Queued":
            raise RuntimeError("the queue was over before it had been measured")
    return [
        Row(f"GET of a job, {many} jobs waiting", still["busy get"], "an idle server with as many jobs that are over", still["idle get"], aim=AIM),
        Row(f"GET of a page of jobs, {many} jobs waiting", still["busy page"], "the same", still["idle page"], aim=AIM),
        Row("GET of a job while that queue moves on", moving["busy get"], "the same", moving["idle get"]),
        Row("GET of a page of jobs while that queue moves on", moving["busy page"], "the same", moving["idle page"]),
        Row(f"PUT of one of {many} jobs, on average", [submitting]),
    ]


def _asked(idle: Queue, busy: Queue, rounds: int) -> dict[str, list[float]]:
    cases: dict[str, Callable[[], float]] = {"idle get": idle.get, "busy get": busy.get, "idle page": idle.page, "busy page": busy.page}
    return alternate(cases, rounds)
