"""Who may use what lies in a registry. Jobs and deployments read it in the name of their workspace, so their writers are asked when
they name it: otherwise the right to write in any workspace would be the right to read every registry (S5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lazward.apps.chain import Context
from lazward.contract.ids import ML
from lazward.domain.resources.workspaces import BUILT_IN_REGISTRY
from lazward.storage import resources

_URI = re.compile(r"\s*azureml://registries/+([^/]+)", re.IGNORECASE)
RIGHT = f"{ML}/registries/assets/read"


async def check_registries(ctx: Context, value: Any) -> None:
    """Raises ArmError 403 when value, or a text inside of it, is the URI of something in a registry that the caller may not read.
    A registry that is not there is told by who looks for it."""
    named = {name for name in registries_in(value) if name != BUILT_IN_REGISTRY}
    if not named:
        return
    for row in await ctx.db.read(resources.every, f"{ML}/registries"):
        if row.name.lower() in named:
            await ctx.require(RIGHT, row.id)


def registries_in(value: Any) -> Iterator[str]:
    """Names, in lower case."""
    if isinstance(value, str):
        if match := _URI.match(value):
            yield match.group(1).lower()
    elif isinstance(value, dict):
        for inner in value.values():
            yield from registries_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from registries_in(inner)
