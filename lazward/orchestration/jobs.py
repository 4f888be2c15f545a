"""The life of a command job, as one durable task per job: queued, prepared, launched, finished.

Each phase ends with a checkpoint, so a worker that takes over goes on where the last one was: before the launch it prepares
again, after it it attaches to what runs. A cancel request is a field of the job and an event in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError
from lazward.domain.ports import LaunchSpec
from lazward.orchestration import environments
from lazward.orchestration.admission import Ask
from lazward.orchestration.data import ARTIFACTS, account_of, locate, run_folder
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.job_finish import explain, keep_outputs, register_outputs, set_state, submitter
from lazward.orchestration.job_prepare import log_name, memory_limit, prepare, remove_tree
from lazward.orchestration.job_services import start_services, stop_services
from lazward.orchestration.logs import LineLog, LogPump
from lazward.orchestration.runtime import Runtime, launch_name
from lazward.storage import resources, runs, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task

T = TypeVar("T")
CANCEL_POLL_S = 2.0


class Canceled(Exception):
    """The job was asked to stop."""


def submit(tx: Tx, job: Row, now: float, caller: Any) -> None:
    """In the transaction of the PUT: the run in its experiment, and the task."""
    facts = job.properties
    workspace = job.parent
    check_references(tx, job)
    experiment = runs.create_job_run(
        tx, workspace, job.name, facts["experimentName"], facts["displayName"], caller.name or caller.id, dict(facts.get("tags") or {}), now
    )
    job.doc["lazward"] = {"submittedBy": caller.id, "submitterName": caller.name, "submitterKind": caller.kind, "experimentId": experiment}
    facts["properties"] = {"_azureml.ComputeTargetType": "local", "ContentSnapshotId": str(facts.get("codeId") or "").rsplit("/", 3)[-1], **facts["properties"]}
    resources.update(tx, job, now)
    tasks.enqueue(tx, "job.run", job.key, {"phase": "queued", "attempt": 1}, now)


def check_references(tx: Tx, job: Row) -> None:
    """What the job names must be there when it is submitted: compute, environment, code, inputs, datastores of outputs. Every fault
    is told at once. Raised in the transaction of the PUT, so nothing is stored."""
    workspace = resources.get(tx, job.parent)
    assert workspace is not None
    facts, problems = job.properties, []

    def attempt(target: str, fn: Callable[..., Any], *args: Any) -> None:
        try:
            fn(tx, workspace, *args)
        except ArmError as error:
            problems.append(ArmError(400, error.code, error.message, error.target or target))

    attempt("properties.computeId", _check_compute, str(facts.get("computeId") or ""))
    attempt("properties.environmentId", environments.check, facts["environmentId"], "properties.environmentId")
    if facts.get("codeId"):
        attempt("properties.codeId", locate, facts["codeId"], "properties.codeId", "codes")
    for name, given in facts["inputs"].items():
        if given["jobInputType"] != "literal":
            family = "models" if given["jobInputType"].endswith("_model") else "data"
            attempt(f"properties.inputs.{name}", locate, given["uri"], f"properties.inputs.{name}.uri", family)
    for name, given in facts["outputs"].items():
        attempt(f"properties.outputs.{name}", locate, given["uri"], f"properties.outputs.{name}.uri")
    try:
        ask_of(facts)
    except ArmError as error:
        problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ArmError(400, "ValidationError", " ".join(f"[{p.target}] {p.message}" for p in problems), problems[0].target, problems)


def _check_compute(tx: Tx, workspace: Row, compute: str) -> None:
    """Serverless and local need no record; a named compute must be one of the workspace and not stopped."""
    name = compute.rstrip("/").rsplit("/", 1)[-1]
    if name.lower() in ("", "serverless", "local"):
        return
    row = resources.get(tx, f"{workspace.key}/computes/{name}")
    if row is None:
        have = [r.name for r in resources.every(tx, "microsoft.machinelearningservices/workspaces/computes", parent=workspace.key)]
        shown = f"the workspace has {', '.join(sorted(have)[:10])}" if have else "the workspace has none; leave the compute out for serverless"
        raise ArmError(400, "ComputeNotFound", f"The compute '{name}' was not found: {shown}.", "properties.computeId")
    inner = row.properties.get("properties") or {}
    if inner.get("state") == "Stopped":
        raise ArmError(400, "ComputeStopped", f"The compute instance '{name}' is stopped; start it first.", "properties.computeId")


def request_cancel(tx: Tx, key: str, now: float) -> str | None:
    """Marks the job and starts the task that stops it; None when it is over already."""
    row = resources.get(tx, key)
    if row is None or row.properties.get("status") in ("Completed", "Failed", "Canceled"):
        return None
    set_state(tx, key, "CancelRequested", now)
    return tasks.enqueue(tx, "job.cancel", key, {}, now)


def _fail(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    """The handler raised: the job says why."""

    def word(row: Row) -> None:
        row.properties["error"] = error.as_dict()

    set_state(tx, task.subject, "Failed", now, word)


@handler("job.run", on_failure=_fail)
async def run_job(work: Work) -> Outcome:
    runtime: Runtime = work.services
    job, workspace = await _load(runtime, work.subject)
    if job is None or workspace is None or job.properties["status"] in ("Completed", "Failed", "Canceled"):
        await _forget(work, runtime, runtime.folder("jobs", work.subject))
        return Outcome()
    folder = runtime.folder("jobs", work.subject)
    try:
        return await _phases(work, runtime, job, workspace, folder)
    except Canceled:
        return await _canceled(work, runtime, job, workspace, folder)
    finally:
        await runtime.admission.release(work.subject)
        runtime.canceled.pop(work.subject, None)


async def _phases(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path) -> Outcome:
    if work.state["phase"] == "queued":
        ask = ask_of(job.properties)
        if ask.memory_bytes > runtime.admission.capacity.memory_bytes or ask.gpus > runtime.admission.capacity.gpus:
            have = runtime.admission.capacity
            raise ArmError(400, "ImpossibleResources", f"The job asks for {ask.memory_bytes / 2**30:.1f} GiB and {ask.gpus} GPUs; this machine has {have.memory_bytes / 2**30:.1f} GiB and {have.gpus}.", "properties.resources")

        async def say(reason: str) -> None:
            await runtime.db.write(_note_waiting, work.subject, reason, work.now())

        await _unless_canceled(work, runtime.admission.acquire(work.subject, ask, say))
        now = work.now()
        await work.checkpoint(lambda tx: _to(tx, work.subject, "Preparing", now), phase="preparing")
    runtime.admission.hold(work.subject, ask_of(job.properties))
    name = launch_name(work.subject, work.state["attempt"])
    if work.state["phase"] == "launched" and (await runtime.executor.poll(name)).state == "unknown":
        # A worker died between saying that it launches and doing so: nothing runs, so preparing again is safe.
        await work.checkpoint(phase="preparing")
    if work.state["phase"] == "preparing":
        spec = await _unless_canceled(work, _prepare(work, runtime, job, workspace, folder, name))
        now = work.now()
        await work.checkpoint(lambda tx: _to(tx, work.subject, "Running", now), phase="launched", processes=len(spec.processes))
        await runtime.executor.start(spec)
    if work.state["phase"] == "launched":
        serving = asyncio.create_task(start_services(runtime, job, folder, work.now))
        await _watch(work, runtime, workspace, job, folder, name)
        serving.cancel()
        await work.checkpoint(phase="finishing")
    return await _finish(work, runtime, job, workspace, folder, name)


async def _prepare(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path, name: str) -> LaunchSpec:
    """Environment and files; our own progress goes to system_logs, a build that takes time to azureml-logs."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = folder.with_name(folder.name + ".logs")
    build_log = LineLog(logs / "20_image_build_log.txt")
    say = LineLog(logs / "lazward.log", lambda: timestamp(work.now()))
    account, prefix = account_of(workspace), run_folder(job.name)
    await runtime.blobs.ensure_container(account, ARTIFACTS)
    pump = LogPump(runtime.blobs, account, ARTIFACTS, {
        f"{prefix}/azureml-logs/20_image_build_log.txt": build_log.path, f"{prefix}/system_logs/lazward.log": say.path,
    })
    pumping = asyncio.create_task(pump.run())
    try:
        say(f"preparing the environment {job.properties['environmentId']}")
        packages = await environments.packages_of(runtime, workspace.key, job.properties["environmentId"], "properties.environmentId")
        environment = await environments.build(runtime, packages, build_log)
        say(f"environment {environment.key} (Python {environment.python_version}); fetching code and inputs")
        spec = await prepare(runtime, job, workspace, environment, dict(packages.env), folder, name, say)
        say(f"starting {len(spec.processes)} process(es)")
        return spec
    except ArmError as error:
        say(f"failed: {error.message}")
        raise
    finally:
        pumping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pumping
        await pump.drain()


async def _watch(work: Work, runtime: Runtime, workspace: Row, job: Row, folder: Path, name: str) -> None:
    """Until the launch ends, logs flow."""
    pump = _user_logs(runtime, workspace, job, folder, work.state.get("processes", 1))
    pumping = asyncio.create_task(pump.run())
    try:
        while True:
            status = await runtime.executor.wait(name, CANCEL_POLL_S)
            if status.state == "ended":
                break
            if runtime.cancel_event(work.subject).is_set() or await _cancel_requested(runtime, work.subject):
                await runtime.executor.cancel(name)
    finally:
        pumping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pumping
    await pump.drain()


async def _finish(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path, name: str) -> Outcome:
    status = await runtime.executor.poll(name)
    await _user_logs(runtime, workspace, job, folder, work.state.get("processes", 1)).drain()
    now = work.now()
    await runtime.db.write(set_state, work.subject, "Finalizing", now)
    await stop_services(runtime, job)
    error = explain(status, job.properties, folder / "user_logs")
    try:
        await keep_outputs(runtime, job, workspace, folder)
    except ArmError as problem:
        error = error or problem
    end = "Completed" if error is None else "Canceled" if status.reason == "canceled" else "Failed"
    now = work.now()

    def write(tx: Tx) -> None:
        def word(row: Row) -> None:
            facts = row.properties
            if error is not None and end == "Failed":
                facts["error"] = error.as_dict()
            facts["exit"] = {"reason": status.reason, "code": status.code, "signal": status.signal, "peakMemoryBytes": status.peak_memory_bytes}
            if end == "Completed":
                register_outputs(tx, row, workspace, submitter(row), now)

        set_state(tx, work.subject, end, now, word)

    await work.checkpoint(write, phase="ended")
    await _forget(work, runtime, folder)
    return Outcome()


async def _canceled(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path) -> Outcome:
    """Canceled before it ran: nothing to keep."""
    now = work.now()
    await work.checkpoint(lambda tx: _to(tx, work.subject, "Canceled", now), phase="ended")
    await _forget(work, runtime, folder)
    return Outcome()


@handler("job.cancel")
async def cancel_job(work: Work) -> Outcome:
    """Stops the job and waits until it is over, so that the operation a client polls ends when the job has."""
    runtime: Runtime = work.services
    runtime.cancel_event(work.subject).set()
    job = await runtime.db.read(resources.get, work.subject)
    if job is None or job.properties["status"] in ("Completed", "Failed", "Canceled"):
        runtime.canceled.pop(work.subject, None)
        return Outcome()
    running = await runtime.db.read(tasks.open_for, work.subject, "job.run")
    if running is None:
        now = work.now()
        return Outcome(also=lambda tx: _to(tx, work.subject, "Canceled", now))
    if running.state.get("phase") == "launched":
        await runtime.executor.cancel(launch_name(work.subject, running.state["attempt"]))
    return Outcome("InProgress", delay=0.25)


@handler("job.delete")
async def delete_job(work: Work) -> Outcome:
    """Cancels what runs, then removes record, run and artifacts."""
    runtime: Runtime = work.services
    job, workspace = await _load(runtime, work.subject)
    if job is None or workspace is None:
        return Outcome()
    if job.properties["status"] not in ("Completed", "Failed", "Canceled"):
        await runtime.db.write(request_cancel, work.subject, work.now())
        return Outcome("InProgress", delay=0.25)
    await runtime.blobs.delete_prefix(account_of(workspace), ARTIFACTS, run_folder(job.name) + "/")
    await asyncio.to_thread(remove_tree, runtime.folder("jobs", work.subject))
    now = work.now()

    def gone(tx: Tx) -> None:
        resources.delete(tx, work.subject)
        runs.delete_job_run(tx, workspace.key, job.name, now)

    return Outcome(also=gone)


def ask_of(facts: dict[str, Any]) -> Ask:
    """What a job asks for: resources.properties.cores / gpus / memory, docker_args --memory; one core a process unless told."""
    asked = facts.get("resources") or {}
    more = asked.get("properties") or {}
    distribution = facts.get("distribution") or {}
    processes = int(asked.get("instanceCount") or 1) * int(distribution.get("processCountPerInstance") or 1)
    try:
        cores = float(more.get("cores") or processes)
        gpus = int(more.get("gpus") or 0)
    except (TypeError, ValueError):
        raise ArmError(400, "InvalidResources", "cores and gpus are numbers.", "properties.resources.properties") from None
    return Ask(cores, memory_limit(facts) or 0, gpus)


async def _load(runtime: Runtime, key: str) -> tuple[Row | None, Row | None]:
    def load(tx: Tx) -> tuple[Row | None, Row | None]:
        job = resources.get(tx, key)
        return job, resources.get(tx, job.parent) if job else None

    return await runtime.db.read(load)


async def _unless_canceled(work: Work, doing: Coroutine[Any, Any, T]) -> T:
    """Awaits `doing`, or raises Canceled (and stops it) as soon as the job is asked to stop."""
    runtime: Runtime = work.services
    event = runtime.cancel_event(work.subject)
    task = asyncio.create_task(doing)
    try:
        while not task.done():
            watch = asyncio.create_task(event.wait())
            await asyncio.wait({task, watch}, timeout=CANCEL_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            watch.cancel()
            if task.done():
                break
            if event.is_set() or await _cancel_requested(runtime, work.subject):
                raise Canceled
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _cancel_requested(runtime: Runtime, key: str) -> bool:
    job = await runtime.db.read(resources.get, key)
    return job is None or job.properties.get("status") == "CancelRequested"


def _user_logs(runtime: Runtime, workspace: Row, job: Row, folder: Path, processes: int) -> LogPump:
    prefix = run_folder(job.name)
    names = [log_name(index, processes) for index in range(processes)]
    return LogPump(runtime.blobs, account_of(workspace), ARTIFACTS, {f"{prefix}/user_logs/{n}": folder / "user_logs" / n for n in names})


def _to(tx: Tx, key: str, status: str, now: float) -> None:
    set_state(tx, key, status, now, lambda row: row.properties.pop("waitingFor", None))


def _note_waiting(tx: Tx, key: str, reason: str, now: float) -> None:
    row = resources.get(tx, key)
    if row is not None and row.properties.get("waitingFor") != reason:
        row.properties["waitingFor"] = reason
        resources.update(tx, row, now)


async def _forget(work: Work, runtime: Runtime, folder: Path) -> None:
    """Removes what only a running job needs. After the last checkpoint, so that nothing still wanted is lost."""
    await asyncio.to_thread(remove_tree, folder)
    await asyncio.to_thread(remove_tree, folder.with_name(folder.name + ".logs"))
    if work.state.get("phase") != "queued":
        await runtime.executor.forget(launch_name(work.subject, work.state["attempt"]))


def restore_admissions(tx: Tx) -> dict[str, Ask]:
    """What jobs hold that were past the queue when the last worker ended."""
    out: dict[str, Ask] = {}
    for task in tasks.open_of_kind(tx, "job.run"):
        row = resources.get(tx, task.subject) if task.state.get("phase") != "queued" else None
        if row is not None:
            out[row.key] = ask_of(row.properties)
    return out
