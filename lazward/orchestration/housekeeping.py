"""What is done now and then: bytes nobody refers to are removed, old operations forgotten."""

from __future__ import annotations

import logging
import os

from lazward.execution.file_lock import try_lock
from lazward.orchestration.durable import LeaseLost, Outcome, Work, handler
from lazward.storage import tasks
from lazward.storage.db import DatabaseAway

log = logging.getLogger("lazward.worker")

EVERY_S, DAY_S = 60.0, 86400.0
OPERATIONS_KEPT_S = 7 * DAY_S


@handler("housekeeping")
async def keep_house(work: Work) -> Outcome:
    """Goes on for ever: puts itself back, whatever becomes of one round."""
    try:
        await _round(work)
    except (LeaseLost, DatabaseAway):
        raise
    except Exception:  # no room on the disk, say
        log.exception("a round of housekeeping failed; the next one is in %g s", EVERY_S)
    return Outcome("InProgress", delay=EVERY_S)


async def _round(work: Work) -> None:
    runtime = work.services
    now = work.now()
    await runtime.db.write(tasks.prune, now - OPERATIONS_KEPT_S)
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
