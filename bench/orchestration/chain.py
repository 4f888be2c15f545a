"""Pipelines of 1 and of 10 steps that do nothing, each step a process of its own that waits for the one before it.

Lazward: a pipeline of command components (a `python -c` that writes one value) in a warm environment, force_rerun, so that no step is reused. From its PUT, or
from MLClient.create_or_update, to a client's GET (one every 5 ms) that says Completed. The SDK makes its components at each submission, as it does for anybody.
bare: the same program, started that often one after another by the same environment's Python.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from bench.measure import Row
from bench.orchestration.peers import PEERS, STEPS
from bench.own_environment import CannotInstall
from bench.server import Server, until
from bench.submit import ml_client

COMMAND = """python -c "open('${{outputs.done}}', 'w').write('1')\""""  # the value that the next step waits for, as the peers pass one on
TURNS, TURNS_PEER, TURNS_SLOW = 7, 4, 2  # peers take long enough as it is
AIMS = {10: "under 2 s"}


class Chains:
    """Pipelines on a server that has seen their environment before."""

    def __init__(self, server: Server):
        self.server = server
        self.arm = server.client()
        self.environment = self.arm.put(server.path("environments/bench/versions/1"), {"properties": {"image": "library/python:latest"}})["id"]
        spec = {"type": "command", "command": COMMAND, "environment": f"azureml:{self.environment}", "inputs": {"after": {"type": "string", "optional": True}}, "outputs": {"done": {"type": "string"}}}
        self.component = self.arm.put(server.path("components/noop/versions/1"), {"properties": {"componentSpec": spec}})["id"]
        self.put(1)  # builds the environment
        [self.python] = (server.data_dir / "envs" / "envs").glob("*/bin/python")
        self.ml: Any = None

    def bare(self, count: int) -> float:
        began = monotonic()
        for _ in range(count):
            subprocess.run([self.python, "-c", "pass"], check=True)
        return monotonic() - began

    def put(self, count: int) -> float:
        """Seconds from the PUT of a chain to Completed."""
        self._connect()
        name, began = f"c{uuid.uuid4().hex}", monotonic()
        self.arm.put(self.server.path(f"jobs/{name}"), {"properties": {
            "jobType": "Pipeline", "experimentName": "bench", "settings": {"force_rerun": True}, "jobs": nodes(count, self.component),
        }})
        self._completed(name)
        return monotonic() - began

    def sdk(self, count: int) -> float:
        """Seconds from MLClient.create_or_update to Completed."""
        from azure.ai.ml import dsl

        if self.ml is None:
            self.ml = ml_client(self.server)
        noop = self.ml.components.get("noop", "1")

        @dsl.pipeline(experiment_name="bench", force_rerun=True, default_compute="serverless")
        def chain() -> None:
            last = noop()
            for _ in range(count - 1):
                last = noop(after=last.outputs.done)

        self._connect()
        began = monotonic()
        job = self.ml.jobs.create_or_update(chain())
        self._completed(job.name)
        return monotonic() - began

    def _connect(self) -> None:
        """Peers take so long that the server has closed a connection that was kept."""
        self.arm.close()
        self.arm.get(self.server.path("datastores/workspaceblobstore"))

    def _completed(self, name: str) -> None:
        def status() -> str:
            return self.arm.get(self.server.path(f"jobs/{name}"))["properties"]["status"]

        found = until(lambda: (said := status()) in ("Completed", "Failed", "Canceled") and said, pause=0.005, what=status)
        if found != "Completed":
            raise RuntimeError(f"the pipeline ended {found}: {self.arm.get(self.server.path(f'jobs/{name}'))['properties'].get('error')}")


def nodes(count: int, component: str) -> dict[str, Any]:
    """The `jobs` of a pipeline whose every step waits for the one before it."""
    after = {f"s{at}": {"after": {"job_input_type": "literal", "value": f"${{{{parent.jobs.s{at - 1}.outputs.done}}}}"}} for at in range(1, count)}
    return {f"s{at}": {"type": "command", "componentId": component, "inputs": after.get(f"s{at}", {})} for at in range(count)}


def rows(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="lz") as folder, Server() as server:
        peers, missing = ({}, {}) if quick else installed(Path(folder))
        try:
            chains = Chains(server)
            return [row for count in STEPS for row in measured(count, chains, peers, quick)] + [Row(f"{name} is left out: {why}", []) for name, why in missing.items()]
        finally:
            for peer in peers.values():
                peer.close()


def installed(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The peers that could be installed, and why the others could not."""
    peers, missing = {}, {}
    for name, make in PEERS.items():
        place = folder / name.lower()
        place.mkdir()
        try:
            peers[name] = make(place)
        except (CannotInstall, RuntimeError) as problem:
            missing[name] = str(problem)
            print(f"{name} is left out: {problem}", file=sys.stderr)
    return peers, missing


def measured(count: int, chains: Chains, peers: dict[str, Any], quick: bool) -> list[Row]:
    cases: dict[str, Callable[[int], float]] = {"bare": chains.bare, "put": chains.put}
    if not quick:
        chains.sdk(1)  # its first submission sets up what later ones reuse
        cases["sdk"] = chains.sdk
    cases |= {name: peer.run for name, peer in peers.items()}
    found: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(1 if quick else TURNS):
        for name, case in cases.items():
            if name not in peers or turn < (TURNS_SLOW if peers[name].slow else TURNS_PEER):
                found[name].append(case(count))
    what = "a no-op step" if count == 1 else f"a chain of {count} steps, a process each"
    bare = f"{count} x `python -c pass`"
    out = [Row(f"{what}: PUT to Completed", found["put"], bare, found["bare"], "s", AIMS.get(count, ""))]
    if "sdk" in found:
        out.append(Row(f"{what}: MLClient.create_or_update to Completed", found["sdk"], bare, found["bare"], "s", AIMS.get(count, "")))
    return out + [Row(f"{what}: PUT to Completed", found["put"], f"{name} ({peer.note})", found[name], "s") for name, peer in peers.items()]
