"""The life of a command job, as one durable task per job: queued, prepared, launched, finished.

Each phase ends with a checkpoint, so a worker that takes over goes on where the last one was: before the launch it prepares
again, after it it attaches to what runs. A cancel request is a field of the job and an event in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lazward.contract.errors import ArmError
from lazward.domain.jobs.retries import pause_s, policy_of
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration import job_attempts, job_spool, machines
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.durable import LeaseLost, Outcome, Work, handler
from lazward.orchestration.job_finish import evidence_of, explain, keep_outputs, register_outputs, set_state, submitter
from lazward.orchestration.job_limits import make_room
from lazward.orchestration.job_prepare import log_name, remove_tree
from lazward.orchestration.job_queue import entry_of
from lazward.orchestration.job_ready import get_ready
from lazward.orchestration.job_samples import SamplePump
from lazward.orchestration.job_services import start_services, stop_services
from lazward.orchestration.job_submit import TASKS
from lazward.orchestration.logs import LogPump
from lazward.orchestration.runtime import Runtime, launch_name
from lazward.storage import resources, tasks
from lazward.storage.db import DatabaseAway, Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")

T = TypeVar("T")
CANCEL_POLL_S = 10.0  # the task job.cancel tells at once; this is the safety net
ORDER_LOOKS, ORDER_PAUSE_S = 4, 0.025
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
    number = task.state.get("attempt", 1)

    def word(row: Row) -> None:
        row.properties["error"] = error.as_dict()
        row.properties["exit"] = {"reason": task.state.get("stage", "internal")}
        job_attempts.end(row.properties, number, "Failed", now, row.properties["exit"], error)

    set_state(tx, task.subject, "Failed", now, word)
    tasks.enqueue(tx, "job.clear", task.subject, {"attempt": number}, now)


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
        work.at("lost")
        raise ArmError(500, "JobLost", f"The job ran when the backup of {work.state['backup']} was made from which this server was restored; processes are in no backup. What it had logged by then is there. Submit it again.")
    if work.state["phase"] == "queued":
        await _queue(work, runtime, job)
        now = work.now()
        await work.checkpoint(lambda tx: _to(tx, work.subject, "Preparing", now), phase="preparing")
    runtime.admission.hold(entry_of(job))
    if work.state["phase"] == "launched" and await _launch_is_lost(work, runtime):
        await _start_over(work, runtime, job, workspace, folder)
    if work.state["phase"] == "preparing":
        try:
            spec = await _unless_canceled(work, get_ready(work, runtime, job, workspace, folder, _name(work)))
        except ArmError as error:
            if not _wants_another(work, job, work.state["stage"]):
                raise
            return await _retry(work, runtime, job, workspace, folder, {"reason": work.state["stage"]}, error)
        work.at("launch")
        now, number = work.now(), work.state["attempt"]
        begun = partial(job_attempts.begin, number=number, now=now)
        await work.checkpoint(lambda tx: _to(tx, work.subject, "Running", now, begun), phase="launched", processes=len(spec.processes))
        try:
            await runtime.executor.start(spec)
        except ValueError as error:
            raise ArmError(400, "LaunchFailed", f"The command cannot be started: {error}.", "properties") from None
    work.at("internal")
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
    """Waits for cores, memory and GPUs; after a failed attempt, for a while before that."""
    work.at("resources")
    wants = entry_of(job)
    if not machines.fits(wants.ask, runtime.admission.capacity):
        raise machines.impossible(wants.ask, runtime.admission.capacity, "properties.resources")
    if (pause := work.state.get("not_before", 0.0) - work.now()) > 0:
        await _unless_canceled(work, asyncio.sleep(pause))
    await _unless_canceled(work, runtime.admission.acquire(wants))


async def _launch_is_lost(work: Work, runtime: Runtime) -> bool:
    """No record of the launch, or one that a worker canceled which wanted to start over and died before it could say so."""
    for _ in range(ORDER_LOOKS):
        status = await runtime.executor.poll(_name(work))
        if status.state != "unknown":
            break
        await asyncio.sleep(ORDER_PAUSE_S)  # the worker before us may have given the order a moment before it died
    if status.state == "ended" and status.reason == "canceled":
        return not await _cancel_requested(runtime, work.subject)
    return status.state == "unknown"


async def _start_over(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path) -> None:
    """A worker died between saying that it launches and doing so, or the records of the launch are gone: a new attempt is prepared.

    The old one is canceled first, so that an order that is still on its way to a keeper cannot come to life beside the new one."""
    await runtime.executor.cancel(_name(work))
    while (await runtime.executor.wait(_name(work), 60)).state != "ended":
        log.warning("the launch %s of the job %s does not end", _name(work), job.name)
    error = ArmError(500, "JobLost", "The worker ended before it had started the command, or the records of the launch were lost; it is started again.")
    await _next_attempt(work, runtime, job, workspace, folder, {"reason": "lost"}, error, "Preparing", None, phase="preparing")


async def _next_attempt(
    work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path, exit_: dict[str, Any], error: ArmError, status: str, waiting: str | None, **changes: Any
) -> None:
    """Ends the attempt in the job's document, keeps its logs, and makes the next one this task's, all in one transaction: whoever dies
    before it ends this attempt again, whoever dies after it begins the next."""
    number, now = work.state["attempt"], work.now()
    if work.state["phase"] == "launched":  # later it has been done (_watch), and before that what lies there is of the attempt before
        await _user_logs(work, runtime, workspace, job).drain()
        await _samples(work, runtime, job).drain()
    bases = await job_attempts.keep_logs(runtime.blobs, account_of(workspace), run_folder(job.name), _log_names(work), number)

    def write(tx: Tx) -> None:
        def word(row: Row) -> None:
            job_attempts.end(row.properties, number, "Failed", now, exit_, error, last=False)
            if waiting:
                row.properties["waitingFor"] = waiting

        set_state(tx, work.subject, status, now, word)

    await work.checkpoint(write, attempt=number + 1, log_bases=bases, **changes)


async def _watch(work: Work, runtime: Runtime, workspace: Row, job: Row, folder: Path) -> None:
    """Until the launch has ended, logs and samples flow. Stops it when that is asked for."""
    name, told = _name(work), False
    async with _user_logs(work, runtime, workspace, job).running(), _samples(work, runtime, job).running():
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
                if ending.result().reason == "space":  # before the next write: there may be room for none
                    await stop_services(runtime, job)
                    await asyncio.to_thread(make_room, folder, runtime.settings)
                return
            if not told and (runtime.cancel_event(work.subject).is_set() or await _cancel_requested(runtime, work.subject)):
                await runtime.executor.cancel(name)
                told = True


async def _finish(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path) -> Outcome:
    """What the job leaves is kept, then its end is written. Can be repeated: the files are there until it is. Its log was copied to
    the last byte before the phase began (_watch)."""
    if (later := await job_spool.send(work, runtime, job, workspace, folder)) is not None:
        return later
    status = await runtime.executor.poll(_name(work))
    if status.reason == "space":
        await stop_services(runtime, job)
    kept = status.reason != "space" or await asyncio.to_thread(make_room, folder, runtime.settings)
    error = explain(status, job.properties, await evidence_of(runtime, _name(work), status, work.state.get("processes", 1)), kept)
    if error is not None and _wants_another(work, job, status.reason):
        return await _retry(work, runtime, job, workspace, folder, job_attempts.exit_of(status), error)
    work.at("outputs")
    await stop_services(runtime, job)
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
            facts["exit"] = job_attempts.exit_of(status)
            job_attempts.end(facts, work.state["attempt"], end, now, facts["exit"], error)
            if end == "Completed":
                register_outputs(tx, row, workspace, submitter(row), now)

        set_state(tx, work.subject, end, now, word)

    await work.checkpoint(write, phase="ended")
    await _clear(runtime, work)
    return Outcome()


def _wants_another(work: Work, job: Row, reason: str | None) -> bool:
    return policy_of(job.properties).again(reason, work.state.get("failures", 0))


async def _retry(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path, exit_: dict[str, Any], error: ArmError) -> Outcome:
    """The attempt failed, and the job wants another: back into the queue, where its old place is in front of all that came later."""
    await stop_services(runtime, job)
    failures = work.state.get("failures", 0) + 1
    pause, left = pause_s(failures), policy_of(job.properties).retries - failures
    waiting = f"Waiting {pause:g} s before attempt {work.state['attempt'] + 1} ({left} more after it): {error.message.splitlines()[0][:200]}"
    changes = {"failures": failures, "not_before": work.now() + pause, "tries": 0}
    await _next_attempt(work, runtime, job, workspace, folder, exit_, error, "Queued", waiting, phase="queued", **changes)
    await runtime.admission.release(work.subject)
    return Outcome("InProgress")


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
    await asyncio.to_thread(remove_tree, job_spool.folder_of(folder))


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


def _user_logs(work: Work, runtime: Runtime, workspace: Row, job: Row) -> LogPump:
    sources = [partial(runtime.executor.read_log, _name(work), index) for index in range(work.state.get("processes", 1))]
    logs = job_attempts.logs_of(run_folder(job.name), dict(zip(_log_names(work), sources, strict=True)), work.state["attempt"], work.state.get("log_bases") or {})
    return LogPump(runtime.blobs, account_of(workspace), ARTIFACTS, logs, runtime.log_gate)


def _samples(work: Work, runtime: Runtime, job: Row) -> SamplePump:
    return SamplePump(runtime.db, job, partial(runtime.executor.read_samples, _name(work)), runtime.settings.system_metrics_interval_s)


def _log_names(work: Work) -> list[str]:
    processes = work.state.get("processes", 1)
    return [log_name(index, processes) for index in range(processes)]


def _name(work: Work) -> str:
    return launch_name(work.subject, work.state["attempt"])


def _to(tx: Tx, key: str, status: str, now: float, also: Callable[[dict[str, Any]], None] | None = None) -> None:
    """also: gets the job's properties to change."""

    def word(row: Row) -> None:
        row.properties.pop("waitingFor", None)
        if also:
            also(row.properties)

    set_state(tx, key, status, now, word)
