"""The model servers of a deployment as launches: their names, their start, whether they are ready, their end.

A generation is one set of instances. Each start of an instance is a launch with a name of its own, so starting can be repeated
by whoever takes over: the same name is attached to, never started twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from lazward.contract.errors import ArmError
from lazward.domain.ports import LaunchSpec
from lazward.execution import serving
from lazward.execution.serving import Service
from lazward.orchestration.job_prepare import remove_tree
from lazward.orchestration.logs import tail
from lazward.orchestration.runtime import Runtime, launch_name
from lazward.storage.resources import Row

READY_S = 900.0  # a model may be large; one that fails says so at once
STOP_S = 40.0  # more than a model server takes to finish its requests


class Instance(msgspec.Struct):
    """One model server of a generation. restarts: makes the name of each launch its own. crashes: ends in a row, each soon after
    the start."""

    index: int
    service: Service
    restarts: int = 0
    crashes: int = 0


def instances_of(facts: dict[str, Any]) -> list[Instance]:
    """Of what a deployment's document (its "lazward" member) or the state of its task holds."""
    return [msgspec.convert(given, Instance, dec_hook=lambda kind, value: Path(value) if kind is Path else value) for given in facts.get("instances") or []]


def to_builtins(instances: Iterable[Instance]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(instance, enc_hook=str) for instance in instances]


def facts_of(row: Row | None) -> dict[str, Any]:
    """Our own record in a deployment's document: generation, digest, instances of what serves; `made`, the last generation begun."""
    return (row.doc.get("lazward") or {}) if row is not None else {}


def launch_of(key: str, generation: int, instance: Instance) -> str:
    return launch_name(f"{key}#{generation}.{instance.index}", instance.restarts)


def generation_folder(runtime: Runtime, key: str, generation: int) -> Path:
    return runtime.folder("serving", key) / str(generation)


def log_folder(data_dir: Path, key: str) -> Path:
    """Where the logs of a deployment lie, whatever its generation."""
    return data_dir / "serving" / hashlib.sha256(key.encode()).hexdigest()[:24] / "logs"


async def start(runtime: Runtime, key: str, generation: int, instance: Instance) -> None:
    """Starts an instance, or attaches to it. Raises ArmError 400 for a service that cannot be meant."""
    name, service = launch_of(key, generation, instance), instance.service
    if (await runtime.executor.poll(name)).state == "unknown":
        await asyncio.to_thread(service.state.unlink, missing_ok=True)  # of a launch before this one: it may say "ready"
    try:
        spec = LaunchSpec(name=name, processes=(serving.process_spec(service),), cwd=str(service.app_root), grace_s=service.grace_s + 5)
        await runtime.executor.start(spec)
    except ValueError as error:
        raise ArmError(400, "InvalidDeployment", str(error), "properties") from None


class Lost(Exception):
    """A model server is gone without any fault of its own: its keeper was killed, or the machine was restarted."""


async def until_all_ready(runtime: Runtime, key: str, generation: int, instances: Iterable[Instance]) -> None:
    """Returns when every model is loaded. Raises Lost, or ArmError as soon as it is known that one will not be."""
    waits = [asyncio.create_task(_until_ready(runtime, key, generation, instance)) for instance in instances]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_EXCEPTION)
        for wait in done:
            wait.result()
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _until_ready(runtime: Runtime, key: str, generation: int, instance: Instance) -> None:
    name, service = launch_of(key, generation, instance), instance.service
    deadline = runtime.now() + READY_S
    while runtime.now() < deadline:
        status = await asyncio.to_thread(serving.read_status, service.state)
        if status is not None and status.ready:
            return
        launch = await runtime.executor.wait(name, 0.05)
        if launch.reason == "lost":
            raise Lost
        if launch.state != "running" or (status is not None and status.status == "failed"):
            status = await asyncio.to_thread(serving.read_status, service.state)
            evidence = (status.traceback or status.error or "") if status else ""
            evidence = evidence or tail(service.log, 20) or launch.message
            raise ArmError(400, "DeploymentFailed", f"The model server could not load the model:\n{evidence}", "properties")
    raise ArmError(400, "DeploymentTimedOut", f"The model was not ready within {READY_S:g} s:\n{tail(service.log, 20)}", "properties")


async def all_run(runtime: Runtime, key: str, facts: dict[str, Any]) -> bool:
    states = [(await runtime.executor.poll(launch_of(key, facts["generation"], i))).state for i in instances_of(facts)]
    return bool(states) and all(state == "running" for state in states)


async def end_generation(runtime: Runtime, key: str, generation: int, instances: Iterable[Instance]) -> None:
    """Stops the model servers (TERM lets them finish what they are at), forgets them, removes their files. Can be repeated."""
    await asyncio.gather(*(_end(runtime, launch_of(key, generation, instance)) for instance in instances))
    await asyncio.to_thread(remove_tree, generation_folder(runtime, key, generation))


async def _end(runtime: Runtime, name: str) -> None:
    await runtime.executor.cancel(name)  # one that is not known is never started then
    if (await runtime.executor.wait(name, STOP_S)).state == "ended":
        await runtime.executor.forget(name)
