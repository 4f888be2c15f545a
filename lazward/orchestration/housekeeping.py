"""What is done now and then: bytes nobody refers to are removed, old operations forgotten, caches kept within their limits."""

from __future__ import annotations

import asyncio
import logging
import os

from lazward.execution.file_lock import try_lock
from lazward.orchestration.durable import LeaseLost, Outcome, Work, handler
from lazward.orchestration.environments import remove_left_contexts
from lazward.orchestration.reuse_cap import trim
from lazward.orchestration.runtime import Runtime
from lazward.orchestration.tracking_trash import empty_old
from lazward.storage import tasks
from lazward.storage.blobs import materialize
from lazward.storage.db import DatabaseAway

EVERY_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
OPERATIONS_KEPT_S = 7 * DAY_S

log = logging.getLogger("lazward.worker")


@handler("housekeeping")
async def keep_house(work: Work) -> Outcome:
    """Goes on for ever: puts itself back, whatever becomes of one round."""
    for part in (_forget, _prune, _collect):  # one that fails, for want of room say, does not keep the others from theirs
        try:
            await part(work)
        except (LeaseLost, DatabaseAway):
            raise
        except Exception:
            log.exception("a part of housekeeping failed; it is tried again in %g s", EVERY_S)
    return Outcome("InProgress", delay=EVERY_S)


async def _forget(work: Work) -> None:
    await work.services.db.write(tasks.prune, work.now() - OPERATIONS_KEPT_S)


async def _prune(work: Work) -> None:
    now = work.now()
    if now - work.state.get("pruned", 0.0) >= HOUR_S:
        await prune_caches(work.services)
        if freed := await trim(work.services):
            log.info("removed %d bytes that steps of pipelines had left, kept for reuse only", freed)
        if gone := await empty_old(work.services):
            log.info("%d runs, experiments and logged models were in the bin for long enough", gone)
        await work.checkpoint(pruned=now)


async def _collect(work: Work) -> None:
    runtime: Runtime = work.services
    now = work.now()
    lock = try_lock(runtime.settings.layout.removal_lock)
    if lock is None:
        return  # a backup is made: the bytes that its snapshot names must stay
    try:
        await runtime.blobs.collect()
        if now - work.state.get("swept", 0.0) >= DAY_S:
            await runtime.blobs.sweep()
            await work.checkpoint(swept=now)
    finally:
        os.close(lock)


async def prune_caches(runtime: Runtime) -> None:
    """Built environments and the files of inputs, down to the limits of the settings; never what a job or deployment uses. May be
    killed at any moment: each removal is one step, and the next round clears what one that was killed had moved aside."""
    settings = runtime.settings
    for gone in await runtime.environments.prune(settings.environments_max_bytes or None, settings.environments_max_days or None):
        log.info("removed the environment %s (%d bytes), unused for long", gone.key, gone.bytes)
    freed = await asyncio.to_thread(materialize.prune, runtime.data_dir / "cache" / "inputs", settings.input_cache_bytes)
    await asyncio.to_thread(remove_left_contexts, runtime.data_dir)
    if freed:
        log.info("removed %d bytes of the cache of inputs", freed)
