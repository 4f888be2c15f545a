"""Who may use what lies in a registry. Jobs and deployments read it in the name of their workspace, so their writers are asked when
they name it: otherwise the right to write in any workspace would be the right to read every registry (S5)."""

from __future__ import annotations

from typing import Any

from lazward.apps.chain import Context
from lazward.contract.ids import ML
from lazward.domain.registries import RIGHT, registries_in
from lazward.storage import resources


async def check_registries(ctx: Context, value: Any) -> None:
    """Raises ArmError 403 when value, or a text inside of it, is the URI of something in a registry that the caller may not read.
    A registry that is not there is told by who looks for it."""
    named = registries_in(value)
    if not named:
        return
    for row in await ctx.db.read(resources.every, f"{ML}/registries"):
        if row.name.lower() in named:
            await ctx.require(RIGHT, row.id)
