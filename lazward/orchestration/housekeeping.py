"""What is done now and then: bytes nobody refers to are removed, old operations forgotten."""

from __future__ import annotations

from lazward.orchestration.durable import Outcome, Work, handler
from lazward.storage import tasks

EVERY_S, DAY_S = 60.0, 86400.0
OPERATIONS_KEPT_S = 7 * DAY_S


@handler("housekeeping")
async def keep_house(work: Work) -> Outcome:
    """Goes on for ever: puts itself back. A fault of one round is logged by the worker and the next start begins anew."""
    runtime = work.services
    now = work.now()
    await runtime.blobs.collect()
    await runtime.db.write(tasks.prune, now - OPERATIONS_KEPT_S)
    swept = work.state.get("swept", 0.0)
    if now - swept >= DAY_S:
        await runtime.blobs.sweep()
        await work.checkpoint(swept=now)
    return Outcome("InProgress", delay=EVERY_S)
