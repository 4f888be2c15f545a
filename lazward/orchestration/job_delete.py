"""The deletion of a job of any kind, and of all below it."""

from __future__ import annotations

import asyncio

from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration import children
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.job_prepare import remove_tree
from lazward.orchestration.jobs import load_job, request_cancel
from lazward.orchestration.removal import remove
from lazward.orchestration.runtime import Runtime
from lazward.storage import runs, tasks, trash
from lazward.storage.db import Tx


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
    while await runtime.db.write(_shrink_run, workspace.key, job.name):  # the rest is little enough for one transaction
        pass
    now = work.now()

    def gone(tx: Tx) -> None:
        remove(tx, work.subject, now)
        runs.delete_job_run(tx, workspace.key, job.name, now)
        tx.stirred.add(job.parent)

    return Outcome(also=gone)


def _shrink_run(tx: Tx, workspace: str, name: str) -> bool:
    seq = runs.seq_of(tx, workspace, name)
    return seq is not None and trash.shrink(tx, seq)


def _delete_children(tx: Tx, key: str, now: float) -> bool:
    """Starts the deletion of what hangs below a job; whether there was anything."""
    below = children.of(tx, key)
    for row in below:
        tasks.enqueue(tx, "job.delete", row.key, {}, now)
    return bool(below)
