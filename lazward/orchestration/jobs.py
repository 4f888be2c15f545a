"""The life of a command job, as one durable task per job: queued, prepared, launched, finished.

Each phase ends with a checkpoint, so a worker that takes over goes on where the last one was: before the launch it prepares
again, after it it attaches to what runs. A cancel request is a field of the job and an event in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError
from lazward.domain.ports import LaunchSpec
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration import children, environments
from lazward.orchestration.admission import Ask
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.durable import LeaseLost, Outcome, Work, handler
from lazward.orchestration.job_finish import explain, keep_outputs, register_outputs, set_state, submitter
from lazward.orchestration.job_prepare import log_name, prepare, remove_tree
from lazward.orchestration.job_references import ask_of
from lazward.orchestration.job_services import start_services, stop_services
from lazward.orchestration.job_submit import TASKS
from lazward.orchestration.logs import FAST, LineLog, LogPump
from lazward.orchestration.removal import remove
from lazward.orchestration.runtime import Runtime, launch_name
from lazward.storage import resources, runs, tasks
from lazward.storage.db import DatabaseAway, Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")

T = TypeVar("T")
CANCEL_POLL_S = 10.0  # the task job.cancel tells at once; this is the safety net
FINISH_TRIES, FINISH_PAUSE_S = 8, 1.0  # the pause doubles with each try


class Canceled(Exception):
    """The job was asked to stop."""


def request_cancel(tx: Tx, key: str, now: float) -> str | None:
    """Marks the job and starts the task that stops it; None when it is over already."""
    row = resources.get(tx, key)
    if row is None or row.properties.get("status") in JOB_OVER:
        return None
    set_state(tx, key, "CancelRequested", now)
    return tasks.enqueue(tx, "job.cancel", key, {}, now)


def _fail(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    """The handler raised: the job says why, and what it left on this machine is cleared away."""

    def word(row: Row) -> None:
        row.properties["error"] = error.as_dict()

    set_state(tx, task.subject, "Failed", now, word)
    tasks.enqueue(tx, "job.clear", task.subject, {"attempt": task.state.get("attempt", 1)}, now)


@handler("job.run", on_failure=_fail)
async def run_job(work: Work) -> Outcome:
    runtime: Runtime = work.services
    goes_on = False
    try:
        job, workspace = await load_job(runtime, work.subject)
        if job is None or workspace is None or job.properties["status"] in JOB_OVER:
            await _clear(runtime, work)
            return Outcome()
        outcome = await _phases(work, runtime, job, workspace, runtime.folder("jobs", work.subject))
        goes_on = outcome.status == "InProgress"
        return outcome
    except Canceled:
        return await _canceled(work, runtime)
    except DatabaseAway:
        goes_on = True
        raise
    finally:
        if not goes_on:  # what goes on holds what it holds: its processes may run
            await runtime.admission.release(work.subject)
            runtime.canceled.pop(work.subject, None)


async def _phases(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path) -> Outcome:
    if work.state["phase"] == "restored":  # orchestration/restored.py
        if job.properties["status"] == "CancelRequested":
            raise Canceled
        raise ArmError(500, "JobLost", f"The job ran when the backup of {work.state['backup']} was made from which this server was restored; processes are in no backup. What it had logged by then is there. Submit it again.")
    if work.state["phase"] == "queued":
        await _queue(work, runtime, job)
        now = work.now()
        await work.checkpoint(lambda tx: _to(tx, work.subject, "Preparing", now), phase="preparing")
    runtime.admission.hold(work.subject, ask_of(job.properties))
    if work.state["phase"] == "launched" and await _launch_is_lost(work, runtime):
        await _start_over(work, runtime, job, workspace)
    if work.state["phase"] == "preparing":
        spec = await _unless_canceled(work, _prepare(work, runtime, job, workspace, folder))
        now = work.now()
        await work.checkpoint(lambda tx: _to(tx, work.subject, "Running", now), phase="launched", processes=len(spec.processes))
        try:
            await runtime.executor.start(spec)
        except ValueError as error:
            raise ArmError(400, "LaunchFailed", f"The command cannot be started: {error}.", "properties") from None
    try:
        if work.state["phase"] == "launched":
            serving = asyncio.create_task(start_services(runtime, job, folder, work.now))
            try:
                await _watch(work, runtime, workspace, job, folder)
            finally:
                serving.cancel()
            now = work.now()
            await work.checkpoint(lambda tx: set_state(tx, work.subject, "Finalizing", now), phase="finishing")
        return await _finish(work, runtime, job, workspace, folder)
    except (Canceled, DatabaseAway, LeaseLost):
        raise
    except Exception as cause:
        # The job itself has ended well or badly, or runs; a store that is away or full for a while must not turn that into a failure.
        tries = work.state.get("tries", 0) + 1
        if tries > FINISH_TRIES or (isinstance(cause, ArmError) and cause.status < 500):
            raise
        log.exception("could not keep what the job %s leaves; try %d", job.name, tries)
        work.task.state = {**work.state, "tries": tries}
        return Outcome("InProgress", delay=FINISH_PAUSE_S * 2**tries)


async def _queue(work: Work, runtime: Runtime, job: Row) -> None:
    """Waits for cores, memory and GPUs."""
    ask, have = ask_of(job.properties), runtime.admission.capacity
    if ask.memory_bytes > have.memory_bytes or ask.gpus > have.gpus:
        raise ArmError(400, "ImpossibleResources", f"The job asks for {ask.memory_bytes / 2**30:.1f} GiB and {ask.gpus} GPUs; this machine has {have.memory_bytes / 2**30:.1f} GiB and {have.gpus}.", "properties.resources")

    async def say(reason: str) -> None:
        await runtime.db.write(_note_waiting, work.subject, reason, work.now())

    await _unless_canceled(work, runtime.admission.acquire(work.subject, ask, say))


async def _launch_is_lost(work: Work, runtime: Runtime) -> bool:
    """No record of the launch, or one that a worker canceled which wanted to start over and died before it could say so."""
    status = await runtime.executor.poll(_name(work))
    if status.state == "ended" and status.reason == "canceled":
        return not await _cancel_requested(runtime, work.subject)
    return status.state == "unknown"


async def _start_over(work: Work, runtime: Runtime, job: Row, workspace: Row) -> None:
    """A worker died between saying that it launches and doing so, or the records of the launch are gone: a new attempt is prepared.

    The old one is canceled first, so that an order that is still on its way to a keeper cannot come to life beside the new one."""
    await runtime.executor.cancel(_name(work))
    while (await runtime.executor.wait(_name(work), 60)).state != "ended":
        log.warning("the launch %s of the job %s does not end", _name(work), job.name)
    await runtime.blobs.delete_prefix(account_of(workspace), ARTIFACTS, f"{run_folder(job.name)}/user_logs/")
    now = work.now()
    await work.checkpoint(lambda tx: _to(tx, work.subject, "Preparing", now), phase="preparing", attempt=work.state["attempt"] + 1)


async def _prepare(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path) -> LaunchSpec:
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
    async with pump.running(FAST):  # a warm preparation is over by then, and one append says it all
        try:
            say(f"preparing the environment {job.properties['environmentId']}")
            wanted = await environments.definition_of(runtime, workspace.key, job.properties["environmentId"], "properties.environmentId")
            environment = await environments.build(runtime, wanted, build_log)
            if environment.loosened:
                await runtime.db.write(environments.tell_loosened, job.key, environment, work.now())
            say(f"environment {environment.key} (Python {environment.python_version}); fetching code and inputs")
            spec = await prepare(runtime, job, workspace, environment, dict(wanted.packages.env), folder, _name(work), say)
            say(f"starting {len(spec.processes)} process(es)")
            return spec
        except ArmError as error:
            say(f"failed: {error.message}")
            raise


async def _watch(work: Work, runtime: Runtime, workspace: Row, job: Row, folder: Path) -> None:
    """Until the launch has ended, logs flow. Stops it when that is asked for."""
    name, told = _name(work), False
    async with _user_logs(work, runtime, workspace, job, folder).running():
        while True:
            asked = asyncio.create_task(runtime.cancel_event(work.subject).wait())
            ending = asyncio.create_task(runtime.executor.wait(name, CANCEL_POLL_S))
            try:
                await asyncio.wait({ending} if told else {ending, asked}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                asked.cancel()
                ending.cancel()  # nothing for one that is done
            # "unknown" after the start: somebody has removed the records, and the keeper stops what nobody could watch any more.
            if ending.done() and not ending.cancelled() and ending.result().state != "running":
                return
            if not told and (runtime.cancel_event(work.subject).is_set() or await _cancel_requested(runtime, work.subject)):
                await runtime.executor.cancel(name)
                told = True


async def _finish(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path) -> Outcome:
    """What the job leaves is kept, then its end is written. Can be repeated: the files are there until it is. Its log was copied to
    the last byte before the phase began (_watch)."""
    status = await runtime.executor.poll(_name(work))
    await stop_services(runtime, job)
    error = await asyncio.to_thread(explain, status, job.properties, folder / "user_logs")
    try:
        await keep_outputs(runtime, job, workspace, folder)
    except ArmError as problem:
        if problem.status >= 500:
            raise
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
    await _clear(runtime, work)
    return Outcome()


async def _canceled(work: Work, runtime: Runtime) -> Outcome:
    """Canceled before it ran: nothing to keep."""
    now = work.now()
    await work.checkpoint(lambda tx: _to(tx, work.subject, "Canceled", now), phase="ended")
    await _clear(runtime, work)
    return Outcome()


@handler("job.clear")
async def clear_job(work: Work) -> Outcome:
    """After a job whose handler failed, at whatever point, or was given up before it could begin."""
    await _clear(work.services, work)
    await work.services.admission.release(work.subject)
    return Outcome()


async def _clear(runtime: Runtime, work: Work) -> None:
    """Removes what only a job that is not over needs: its processes, should one still run, their records, and its files. After the
    last checkpoint, so that nothing still wanted is lost."""
    for attempt in range(1, work.state.get("attempt", 1) + 1):
        name = launch_name(work.subject, attempt)
        if (await runtime.executor.poll(name)).state == "running":
            await runtime.executor.cancel(name)
            while (await runtime.executor.wait(name, 60)).state == "running":
                log.warning("the launch %s does not end", name)
        await runtime.executor.forget(name)
    folder = runtime.folder("jobs", work.subject)
    await asyncio.to_thread(remove_tree, folder)
    await asyncio.to_thread(remove_tree, folder.with_name(folder.name + ".logs"))


@handler("job.cancel")
async def cancel_job(work: Work) -> Outcome:
    """Tells the job's own task, which alone acts on its launch, and waits until the job is over, so that the operation a client
    polls ends when the job has."""
    runtime: Runtime = work.services
    runtime.cancel_event(work.subject).set()
    job = await runtime.db.read(resources.get, work.subject)
    if job is None or job.properties["status"] in JOB_OVER:
        runtime.canceled.pop(work.subject, None)
        return Outcome()
    running = await runtime.db.read(tasks.open_for, work.subject, TASKS[job.properties["jobType"]])
    if running is None:
        runtime.canceled.pop(work.subject, None)
        now = work.now()
        return Outcome(also=lambda tx: _to(tx, work.subject, "Canceled", now))
    return Outcome("InProgress", delay=0.25)


@handler("job.delete")
async def delete_job(work: Work) -> Outcome:
    """Cancels what runs, then removes record, run and artifacts; the jobs below it first, so that none is left without its parent."""
    runtime: Runtime = work.services
    job, workspace = await load_job(runtime, work.subject)
    if job is None or workspace is None:
        return Outcome()
    if job.properties["status"] not in JOB_OVER:
        await runtime.db.write(request_cancel, work.subject, work.now())
        return Outcome("InProgress", delay=0.25)
    if await runtime.db.write(_delete_children, work.subject, work.now()):
        return Outcome("InProgress", delay=0.25)
    await runtime.blobs.delete_prefix(account_of(workspace), ARTIFACTS, run_folder(job.name) + "/")
    await asyncio.to_thread(remove_tree, runtime.folder("jobs", work.subject))
    now = work.now()

    def gone(tx: Tx) -> None:
        remove(tx, work.subject, now)
        runs.delete_job_run(tx, workspace.key, job.name, now)
        tx.stirred.add(job.parent)

    return Outcome(also=gone)


def _delete_children(tx: Tx, key: str, now: float) -> bool:
    """Starts the deletion of what hangs below a job; whether there was anything."""
    below = children.of(tx, key)
    for row in below:
        tasks.enqueue(tx, "job.delete", row.key, {}, now)
    return bool(below)


async def load_job(runtime: Runtime, key: str) -> tuple[Row | None, Row | None]:
    def load(tx: Tx) -> tuple[Row | None, Row | None]:
        job = resources.get(tx, key)
        return job, resources.get(tx, job.scope) if job else None

    return await runtime.db.read(load)


async def _unless_canceled(work: Work, doing: Coroutine[Any, Any, T]) -> T:
    """Awaits `doing`, or raises Canceled (and stops it) as soon as the job is asked to stop."""
    runtime: Runtime = work.services
    event = runtime.cancel_event(work.subject)
    task = asyncio.create_task(doing)
    try:
        while not task.done():
            watch = asyncio.create_task(event.wait())
            try:
                await asyncio.wait({task, watch}, timeout=CANCEL_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
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


def _user_logs(work: Work, runtime: Runtime, workspace: Row, job: Row, folder: Path) -> LogPump:
    prefix, processes = run_folder(job.name), work.state.get("processes", 1)
    names = [log_name(index, processes) for index in range(processes)]
    return LogPump(runtime.blobs, account_of(workspace), ARTIFACTS, {f"{prefix}/user_logs/{n}": folder / "user_logs" / n for n in names})


def _name(work: Work) -> str:
    return launch_name(work.subject, work.state["attempt"])


def _to(tx: Tx, key: str, status: str, now: float) -> None:
    set_state(tx, key, status, now, lambda row: row.properties.pop("waitingFor", None))


def _note_waiting(tx: Tx, key: str, reason: str, now: float) -> None:
    row = resources.get(tx, key)
    if row is not None and row.properties["status"] == "Queued" and row.properties.get("waitingFor") != reason:
        row.properties["waitingFor"] = reason
        resources.update(tx, row, now)


def restore_admissions(tx: Tx) -> dict[str, Ask]:
    """What jobs hold that were past the queue when the last worker ended."""
    out: dict[str, Ask] = {}
    for task in tasks.open_of_kind(tx, "job.run"):
        row = resources.get(tx, task.subject) if task.state.get("phase") != "queued" else None
        if row is not None:
            out[row.key] = ask_of(row.properties)
    return out
