"""The life of a deployment: build, load beside the old one, switch, drain the old one; then keep what should run running.

A generation is one set of instances (process groups, each with its model server). A new spec makes a new generation on sockets of
its own; the gateway switches when every new instance is ready, so no request is dropped, and a spec that fails leaves the old
generation serving. The state of the task names every process that may run before its document does, so a worker that takes over
at any point leaves none behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Coroutine
from typing import Any

import msgspec

from lazward.contract.errors import ArmError, as_arm_error
from lazward.orchestration import environments
from lazward.orchestration.data import locate
from lazward.orchestration.deployment_build import build
from lazward.orchestration.durable import LeaseLost, Outcome, Work, handler
from lazward.orchestration.gateway import sync_gateway
from lazward.orchestration.instances import (
    Instance,
    Lost,
    all_run,
    end_generation,
    facts_of,
    generation_folder,
    instances_of,
    launch_of,
    log_folder,
    start,
    to_builtins,
    until_all_ready,
)
from lazward.orchestration.job_prepare import remove_tree
from lazward.orchestration.removal import remove
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources, tasks
from lazward.storage.db import DatabaseAway, Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")

__all__ = ["end_deployments", "log_folder"]

# What a running instance depends on. A PUT that changes none of it changes no process.
SPEC = ("model", "environmentId", "codeConfiguration", "environmentVariables", "instanceType", "requestSettings", "modelMountPath")
LOOK_S = 10.0  # the handlers are told by events; this is the safety net
LOST_TRIES = 3  # starts of a model server whose processes are killed from outside while it loads
STABLE_S = 60.0  # an instance that ran so long starts again without a pause
FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 30.0


class Unwanted(Exception):
    """The deployment is being deleted."""


def check_references(tx: Tx, deployment: Row) -> None:
    """What the deployment names must be there when it is written. ArmError 400 naming the member; nothing is stored then."""
    workspace = resources.get(tx, deployment.scope)
    assert workspace is not None
    facts = deployment.properties
    code = (facts.get("codeConfiguration") or {}).get("codeId")
    for member, given, check in (
        ("model", facts.get("model"), lambda text, target: locate(tx, workspace, text, target, "models")),
        ("environmentId", facts.get("environmentId"), lambda text, target: environments.check(tx, workspace, text, target)),
        ("codeConfiguration.codeId", code, lambda text, target: locate(tx, workspace, text, target, "codes")),
    ):
        if given:
            try:
                check(given, f"properties.{member}")
            except ArmError as error:
                raise ArmError(400, error.code, error.message, f"properties.{member}") from None


def digest_of(row: Row) -> str:
    facts = {name: row.properties.get(name) for name in SPEC}
    return hashlib.sha256(msgspec.json.encode([facts, (row.doc.get("sku") or {}).get("capacity")], order="deterministic")).hexdigest()[:16]


def _failed(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    row = resources.get(tx, task.subject)
    if row is not None and not _going(row):
        row.properties["provisioningState"] = "Failed"
        row.doc.setdefault("lazward", {})["error"] = error.as_dict()
        resources.update(tx, row, now)


@handler("deployment.apply", on_failure=_failed)
async def apply_deployment(work: Work) -> Outcome:
    runtime: Runtime = work.services
    row = await runtime.db.read(resources.get, work.subject)
    phase = work.state.get("phase")
    if phase == "failed":
        await _undo(work, runtime)
        raise _error_from(work.state["error"])
    if phase != "switched":
        if row is None or _going(row):
            await _undo(work, runtime)
            return Outcome("Canceled")
        if phase is None and facts_of(row).get("digest") == digest_of(row) and await all_run(runtime, row.key, facts_of(row)):
            await sync_gateway(runtime)
            return _done(work)
        try:
            await _unless_unwanted(work, runtime, _bring_up(work, runtime, row))
        except Unwanted:
            await _undo(work, runtime)
            return Outcome("Canceled")
        except (LeaseLost, DatabaseAway):
            raise
        except Exception as cause:
            await work.checkpoint(phase="failed", error=as_arm_error(cause).as_dict())
            await _undo(work, runtime)
            raise
    await sync_gateway(runtime)
    if old := work.state.get("old"):
        await end_generation(runtime, work.subject, old["generation"], instances_of(old))
    return _done(work)


async def _bring_up(work: Work, runtime: Runtime, row: Row) -> None:
    """From a spec to a generation that serves; goes on where a worker before this one was."""
    if work.state.get("phase") != "starting":
        await _begin_generation(work)
        instances = await build(runtime, row, work.state["generation"])
        await work.checkpoint(phase="starting", instances=to_builtins(instances))
    generation, instances = work.state["generation"], instances_of(work.state)
    for tries_left in range(LOST_TRIES, -1, -1):
        if await _count_ended(runtime, row.key, generation, instances):
            await work.checkpoint(instances=to_builtins(instances))
        for instance in instances:
            await start(runtime, row.key, generation, instance)
        try:
            await until_all_ready(runtime, row.key, generation, instances)
            break
        except Lost:
            if not tries_left:
                raise ArmError(500, "DeploymentFailed", "The processes of the model server are killed again and again while it loads.") from None
    now, digest = work.now(), digest_of(row)
    current = facts_of(row)
    old = {"generation": current["generation"], "instances": current["instances"]} if current.get("instances") else None

    def switch(tx: Tx) -> None:
        found = resources.get(tx, row.key)
        if found is None or _going(found):
            raise Unwanted
        found.doc["lazward"] = {"generation": generation, "digest": digest, "instances": to_builtins(instances), "made": generation}
        resources.update(tx, found, now)
        tasks.enqueue(tx, "deployment.keep", row.key, {}, now)

    await work.checkpoint(switch, phase="switched", old=old)


async def _begin_generation(work: Work) -> None:
    """A number that no generation before had, so that no process or socket of a failed one is taken for ours."""
    if "generation" in work.state:
        return
    number = 0

    def count(tx: Tx) -> None:
        nonlocal number
        found = resources.get(tx, work.subject)
        if found is None:
            raise Unwanted
        facts = found.doc.setdefault("lazward", {})
        number = facts["made"] = max(int(facts.get("made") or 0), int(facts.get("generation") or 0)) + 1
        resources.update(tx, found, work.now())

    await work.services.db.write(count)
    await work.checkpoint(phase="building", generation=number)


async def _count_ended(runtime: Runtime, key: str, generation: int, instances: list[Instance]) -> bool:
    """Instances that ended while no worker watched (a restart of the machine) get a new launch; whether there are any."""
    ended = [i for i in instances if (await runtime.executor.poll(launch_of(key, generation, i))).state == "ended"]
    for instance in ended:
        instance.restarts += 1
    return bool(ended)


async def _undo(work: Work, runtime: Runtime) -> None:
    """Ends what was begun of a generation that is not to serve. Can be repeated."""
    if "generation" in work.state:
        await end_generation(runtime, work.subject, work.state["generation"], instances_of(work.state))


async def _unless_unwanted(work: Work, runtime: Runtime, doing: Coroutine[Any, Any, None]) -> None:
    """Awaits `doing`; raises Unwanted (and stops it) as soon as the deployment is to be deleted."""
    event = runtime.cancel_event(work.subject)
    task = asyncio.create_task(doing)
    try:
        while not task.done():
            watch = asyncio.create_task(event.wait())
            try:
                await asyncio.wait({task, watch}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                watch.cancel()
            if not task.done() and (event.is_set() or _going(await runtime.db.read(resources.get, work.subject))):
                raise Unwanted
        await task
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


def _done(work: Work) -> Outcome:
    now = work.now()

    def succeeded(tx: Tx) -> None:
        row = resources.get(tx, work.subject)
        if row is not None and not _going(row):
            row.properties["provisioningState"] = "Succeeded"
            row.doc.get("lazward", {}).pop("error", None)
            resources.update(tx, row, now)

    return Outcome(also=succeeded)


@handler("deployment.delete")
async def delete_deployment(work: Work) -> Outcome:
    runtime: Runtime = work.services
    await sync_gateway(runtime)  # it is marked, so the gateway sends it no further request
    if not await end_deployments(runtime, [work.subject], work.now()):
        return Outcome("InProgress", delay=0.1)
    now = work.now()
    return Outcome(also=lambda tx: remove(tx, work.subject, now) and None)


async def end_deployments(runtime: Runtime, keys: list[str], now: float) -> bool:
    """Marks deployments as going, and ends their processes once nothing can start them any more. False: call it again soon."""

    def mark(tx: Tx) -> list[Row]:
        rows = [row for key in keys if (row := resources.get(tx, key)) is not None]
        for row in rows:
            if not _going(row):
                row.properties["provisioningState"] = "Deleting"
                resources.update(tx, row, now)
        return rows

    def busy(tx: Tx) -> bool:
        return any(tasks.open_for(tx, key, kind) for key in keys for kind in ("deployment.apply", "deployment.keep"))

    rows = await runtime.db.write(mark)
    for key in keys:
        runtime.cancel_event(key).set()
    if await runtime.db.read(busy):
        return False
    for row in rows:
        facts = facts_of(row)
        await end_generation(runtime, row.key, int(facts.get("generation") or 0), instances_of(facts))
        await asyncio.to_thread(remove_tree, generation_folder(runtime, row.key, 0).parent)
    for key in keys:
        runtime.canceled.pop(key, None)
    return True


def _keep_on(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    """Whoever keeps things running must not be ended by a fault."""
    tasks.enqueue(tx, "deployment.keep", task.subject, {}, now, due=now + LAST_PAUSE_S)


@handler("deployment.keep", on_failure=_keep_on)
async def keep_deployment(work: Work) -> Outcome:
    """Starts again what ended by itself (a crash of the model server, a restart of the machine), with a growing pause."""
    runtime: Runtime = work.services
    while True:
        row = await runtime.db.read(resources.get, work.subject)
        facts = facts_of(row)
        if row is None or _going(row) or not facts.get("instances"):
            return Outcome()
        generation, instances = facts["generation"], instances_of(facts)
        pauses = [await _keep(runtime, row.key, generation, instance) for instance in instances]
        waits: list[Coroutine[Any, Any, Any]] = [runtime.cancel_event(row.key).wait()]
        for instance, pause in zip(instances, pauses, strict=True):
            waits.append(asyncio.sleep(pause) if pause else runtime.executor.wait(launch_of(row.key, generation, instance), LOOK_S))
        await _first(waits)


async def _first(waits: list[Coroutine[Any, Any, Any]]) -> None:
    """Returns when one of them has ended."""
    doing = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)


async def _keep(runtime: Runtime, key: str, generation: int, instance: Instance) -> float:
    """Starts an instance that does not run. 0.0, or the seconds after which it is to be looked at again."""
    try:
        return await _start_again(runtime, key, generation, instance)
    except Exception:  # no memory for a process now, say: whoever keeps things running must not be ended by that
        log.exception("could not start instance %d of %s again", instance.index, key)
        return LOOK_S


async def _start_again(runtime: Runtime, key: str, generation: int, instance: Instance) -> float:
    name = launch_of(key, generation, instance)
    status = await runtime.executor.poll(name)
    if status.state == "running":
        return 0.0
    now = runtime.now()
    if status.state == "ended":
        ended = status.ended or now
        # Canceled: the server was stopped in good order, and took it with it.
        good = status.reason == "canceled" or ended - (status.started or ended) > STABLE_S
        instance.crashes = 0 if good else instance.crashes + 1
        left = ended + min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(instance.crashes, 10)) - now if instance.crashes else 0.0
        if left > 0:
            return min(left, LOOK_S)
        instance.restarts += 1
        # The count is written first: a worker that dies here starts the same launch again, not a second one.
        if not await runtime.db.write(_count_restart, key, generation, instance, now):
            return 0.0
        await runtime.executor.forget(name)
    await start(runtime, key, generation, instance)
    return 0.0


def _count_restart(tx: Tx, key: str, generation: int, instance: Instance, now: float) -> bool:
    """False when it is not to be started again: the deployment goes, or another generation serves."""
    row = resources.get(tx, key)
    facts = facts_of(row)
    if row is None or _going(row) or facts.get("generation") != generation:
        return False
    [mine] = to_builtins([instance])
    facts["instances"] = [mine if given["index"] == instance.index else given for given in facts["instances"]]
    resources.update(tx, row, now)
    return True


def _going(row: Row | None) -> bool:
    return row is None or row.properties.get("provisioningState") == "Deleting"


def _error_from(given: dict[str, Any]) -> ArmError:
    return ArmError(400, given["code"], given["message"], given.get("target"))
