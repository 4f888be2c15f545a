"""Effects of versions of models and data: schedules that wait for one hear of it."""

from __future__ import annotations

from lazward.apps.arm.hooks import written
from lazward.domain.resource import Doc, WriteContext
from lazward.orchestration import events
from lazward.storage.db import Tx
from lazward.storage.resources import Row


@written("workspaces/models/versions")
def model_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    if before is None:
        events.version_added(tx, row, events.maker_of(tx, row.scope, ctx.caller), ctx.now)


@written("workspaces/data/versions")
def data_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    if before is None:
        events.version_added(tx, row, events.maker_of(tx, row.scope, ctx.caller), ctx.now)
