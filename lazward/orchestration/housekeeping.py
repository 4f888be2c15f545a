"""What is done now and then: bytes nobody refers to are removed, old operations forgotten, caches kept within their limits."""

from __future__ import annotations

import asyncio
import logging

from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.environments import remove_left_contexts
from lazward.orchestration.runtime import Runtime
from lazward.storage import tasks
from lazward.storage.blobs import materialize

EVERY_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
OPERATIONS_KEPT_S = 7 * DAY_S

log = logging.getLogger("lazward.worker")


@handler("housekeeping")
async def keep_house(work: Work) -> Outcome:
    """Goes on for ever: puts itself back. A fault of one round is logged by the worker and the next start begins anew."""
    runtime: Runtime = work.services
    now = work.now()
    await runtime.blobs.collect()
    await runtime.db.write(tasks.prune, now - OPERATIONS_KEPT_S)
    if now - work.state.get("pruned", 0.0) >= HOUR_S:
        await prune_caches(runtime)
        await work.checkpoint(pruned=now)
    swept = work.state.get("swept", 0.0)
    if now - swept >= DAY_S:
        await runtime.blobs.sweep()
        await work.checkpoint(swept=now)
    return Outcome("InProgress", delay=EVERY_S)


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
