"""A pipeline of 10 000 nodes: 100 layers of 100, each node with a value from one of the layer before it.

planner   the graph built from the JSON of its nodes, and every event of a run played through it (began, ended, what can start now), pure,
          against graphlib.TopologicalSorter that is given the edges alone
submit    its PUT (check, graph, 3 MB stored and answered) by one client, and what another client's GET of a datastore takes, asked for
          without a pause: when nothing goes on, during that PUT, and while the pipeline's steps run
"""

from __future__ import annotations

import statistics
import sys
import threading
import uuid
from collections.abc import Callable
from graphlib import TopologicalSorter
from time import monotonic, sleep
from typing import Any

from bench.measure import Row, alternate
from bench.orchestration.chain import Chains
from bench.server import Server
from lazward.domain.pipelines.graph import build
from lazward.domain.pipelines.machine import Progress

WIDTH = 100
ROOM = 64  # steps at once, as orchestration/pipelines.py has them
RUNNING_S = 10.0


def layered(count: int, component: str) -> dict[str, Any]:
    """The `jobs` of the pipeline."""
    out = {}
    for at in range(count):
        inputs = {"after": {"job_input_type": "literal", "value": f"${{{{parent.jobs.n{at - WIDTH}.outputs.done}}}}"}} if at >= WIDTH else {}
        out[f"n{at}"] = {"type": "command", "componentId": component, "inputs": inputs}
    return out


def planned(jobs: dict[str, Any]) -> float:
    """Seconds from the JSON of the nodes to the end of a run in which every step ends well."""
    began = monotonic()
    graph, problems = build(jobs)
    assert not problems
    progress, running = Progress(graph), []
    while not progress.over:
        for name in progress.startable(ROOM - len(running)):
            progress.began(name)
            running.append(name)
        progress.ended(running.pop(0), "completed")
    assert progress.result() == "completed"
    return monotonic() - began


def sorted_by_graphlib(count: int) -> float:
    edges = {f"n{at}": [f"n{at - WIDTH}"] if at >= WIDTH else [] for at in range(count)}
    began = monotonic()
    order, waiting = TopologicalSorter(edges), []
    order.prepare()
    while order.is_active():
        waiting += order.get_ready()
        order.done(waiting.pop(0))
    return monotonic() - began


class Asking:
    """GETs of another client, one after the other, while `doing` goes on: seconds each."""

    def __init__(self, server: Server):
        self.client = server.client()
        self.path = server.path("datastores/workspaceblobstore")
        self.client.get(self.path)

    def during(self, doing: Callable[[], object]) -> list[float]:
        thread = threading.Thread(target=doing)
        thread.start()
        took = []
        while thread.is_alive():
            began = monotonic()
            self.client.get(self.path)
            took.append(monotonic() - began)
        thread.join()
        return took


def rows(quick: bool) -> list[Row]:
    count = 1000 if quick else 10_000
    jobs = layered(count, "/subscriptions/s/components/c/versions/1")
    found = alternate({"ours": lambda: planned(jobs), "graphlib": lambda: sorted_by_graphlib(count)}, 2 if quick else 7)
    out = [Row(f"planner: {count:,} nodes from JSON to the end of a run", [x * 1000 for x in found["ours"]], "graphlib.TopologicalSorter, edges alone", [x * 1000 for x in found["graphlib"]])]
    with Server() as server:
        return out + submitted(server, count, quick)


def submitted(server: Server, count: int, quick: bool) -> list[Row]:
    chains, asking, client = Chains(server), Asking(server), server.client()
    body = {"properties": {"jobType": "Pipeline", "experimentName": "bench", "settings": {"force_rerun": True}, "jobs": layered(count, chains.component)}}
    took: list[float] = []
    names: list[str] = []

    def put() -> None:
        names.append(f"p{uuid.uuid4().hex}")
        began = monotonic()
        client.put(server.path(f"jobs/{names[-1]}"), body)
        took.append(monotonic() - began)

    def stop() -> None:
        while names:
            client.post(server.path(f"jobs/{names.pop()}/cancel"))

    idle, submitting, running = [], [], []
    for _ in range(1 if quick else 3):
        idle += asking.during(lambda: sleep(2))
        submitting += asking.during(put)
        running += asking.during(lambda: sleep(2 if quick else RUNNING_S))
        stop()
        sleep(3)

    def ms(samples: list[float]) -> list[float]:
        return [x * 1000 for x in samples]

    print(f"longest of the other client's GETs: idle {max(idle) * 1000:.0f} ms, during the PUT {max(submitting) * 1000:.0f} ms, while it runs {max(running) * 1000:.0f} ms; "
          f"the 95th of 100: {_late(idle):.1f}, {_late(submitting):.1f}, {_late(running):.1f} ms", file=sys.stderr)
    return [
        Row(f"PUT of a pipeline of {count:,} nodes to its answer", took, unit="s"),
        Row(f"another client's GET during that PUT ({count:,} nodes)", ms(submitting), "the same when nothing goes on", ms(idle)),
        Row(f"another client's GET while the pipeline of {count:,} nodes runs", ms(running), "the same when nothing goes on", ms(idle)),
    ]


def _late(samples: list[float]) -> float:
    return statistics.quantiles(samples, n=20)[-1] * 1000 if len(samples) > 1 else samples[0] * 1000
