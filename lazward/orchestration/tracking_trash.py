"""What is taken out of tracking's bin goes: files first, then rows, then the room both took (storage/trash.py)."""

from __future__ import annotations

from typing import Any

from lazward.contract.ids import ML
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources, tasks, traces, trash
from lazward.storage.db import Tx

DAY_S = 86400.0
SOME = 100
PAGES = 1000
TRACES = 500  # that go in one transaction
_VERSIONS = ("/models/versions", "/data/versions", "/components/versions", "/environments/versions")


def empty(tx: Tx, workspace: str, now: float, **which: Any) -> tuple[str | None, trash.Claimed]:
    """Claims, and leaves the work: (id of the task, what was taken); no task when there is nothing. which: as trash.claim."""
    claimed = trash.claim(tx, workspace, **which)
    return (tasks.enqueue(tx, "tracking.purge", workspace, {}, now) if claimed.total else None), claimed


async def empty_old(runtime: Runtime) -> int:
    """What has been in the bin longer than the setting trash_days allows; how many things that are."""
    days = runtime.settings.trash_days
    if not days:
        return 0
    now, taken = runtime.now(), 0
    for workspace in await runtime.db.read(resources.every, f"{ML}/workspaces"):
        _, claimed = await runtime.db.write(empty, workspace.key, now, before=now - days * DAY_S)
        taken += claimed.total
    return taken


@handler("tracking.purge", tries=9)
async def purge(work: Work) -> Outcome:
    """Goes on until nothing claimed is left. Its state counts what went: runs, models, files, bytes."""
    runtime: Runtime = work.services
    workspace = await runtime.db.read(resources.get, work.subject)
    if workspace is None:
        return Outcome()
    waiting = False
    while True:
        runs, models = await runtime.db.read(trash.left, work.subject, SOME)
        mine = [run for run in runs if not run.is_job]
        jobs = [run for run in runs if run.is_job]
        if jobs:
            waiting |= await runtime.db.write(_delete_jobs, work.subject, [job.id for job in jobs], work.now())
        for model in models:
            folder = model.folder or run_folder(model.id)
            files, size = await _remove(runtime, account_of(workspace), folder + "/", await _needed(runtime, work.subject, folder, []))
            await work.checkpoint(lambda tx, m=model: trash.drop_model(tx, m.seq, m.id), **_counted(work, "models", files, size))
        for run in mine:
            kept = await runtime.db.read(trash.folders_in_use, work.subject, run.id)
            folder = run_folder(run.id)
            files, size = await _remove(runtime, account_of(workspace), folder + "/", await _needed(runtime, work.subject, folder, kept))
            while await runtime.db.write(trash.shrink, run.seq):
                pass
            await work.checkpoint(lambda tx, r=run: trash.drop_run(tx, r.seq), **_counted(work, "runs", files, size))
        if not mine and not models:
            break
    while await runtime.db.write(traces.drop_purged, work.subject, work.now(), TRACES):
        pass
    await runtime.db.write(trash.drop_experiments, work.subject)
    while await runtime.db.write(_shrink_file):
        pass
    return Outcome("InProgress", delay=0.5) if waiting else Outcome()


def _counted(work: Work, what: str, files: int, size: int) -> dict[str, int]:
    state = work.state
    return {what: state.get(what, 0) + 1, "files": state.get("files", 0) + files, "bytes": state.get("bytes", 0) + size}


def _delete_jobs(tx: Tx, workspace: str, names: list[str], now: float) -> bool:
    """A job goes as a whole, and its run with it. Whether any is left to wait for; the run of a job that is gone is nobody's."""
    there = False
    for name in names:
        key = f"{workspace}/jobs/{name}".lower()
        if resources.exists(tx, key):
            tasks.enqueue(tx, "job.delete", key, {}, now)
            there = True
        else:
            trash.disown(tx, workspace, name)
    return there


async def _needed(runtime: Runtime, workspace: str, folder: str, kept: list[str]) -> list[str]:
    """Folders below `folder` that must stay: of logged models that stay, and what versions of assets were made from."""
    rows = await runtime.db.read(resources.holding, [f"{folder}/", f'{folder}"'])
    mine = [row for row in rows if row.scope == workspace and row.type.endswith(_VERSIONS)]
    for row in mine:
        for member in ("modelUri", "dataUri", "path"):
            uri = row.properties.get(member)
            if isinstance(uri, str) and folder in uri:
                kept = [*kept, folder + uri.split(folder, 1)[1].rstrip("/")]
    return kept


async def _remove(runtime: Runtime, account: str, prefix: str, kept: list[str]) -> tuple[int, int]:
    """(files, bytes) below the prefix that were removed: all, but for what is kept."""
    files = size = 0
    marker = ""
    while True:
        try:
            page = await runtime.blobs.list(account, ARTIFACTS, prefix=prefix, marker=marker)
        except Exception as error:
            if getattr(error, "code", "") == "ContainerNotFound":
                return 0, 0
            raise
        for blob in page.blobs:
            if not any(blob.name == folder or blob.name.startswith(folder + "/") for folder in kept):
                files, size = files + await runtime.blobs.delete(account, ARTIFACTS, blob.name), size + blob.size
        marker = page.next_marker
        if not marker:
            return files, size


def _shrink_file(tx: Tx) -> bool:
    """Gives some of a SQLite file's free pages back to the disk, where the file was made for that. Whether there are more."""
    if not tx.sqlite or tx.raw("PRAGMA auto_vacuum").fetchone()[0] != 2:
        return False
    free = tx.raw("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, PAGES)):
        tx.raw("PRAGMA incremental_vacuum(1)")  # a page at each step, and Python's driver takes one step of such a statement
    return free > PAGES
