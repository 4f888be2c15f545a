"""Effects of models, prompts and data: schedules and webhooks that wait for a change hear of it; a name is a model's or a prompt's."""

from __future__ import annotations

from lazward.apps.arm.hooks import written
from lazward.contract.errors import conflict
from lazward.contract.ids import parse
from lazward.domain.resource import Doc, WriteContext
from lazward.orchestration import events, webhooks
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row


@written("workspaces/models")
def container_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    if before is None:
        _check_no_prompt(tx, row.scope, row.name)
    webhooks.container_written(tx, row, before, ctx.now)


@written("workspaces/models/versions")
def model_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    if before is None:
        _check_no_prompt(tx, row.scope, parse(row.id).parent.name)
        events.version_added(tx, row, events.maker_of(tx, row.scope, ctx.caller), ctx.now)
    webhooks.version_written(tx, row, before, ctx.now)


@written("workspaces/prompts")
def prompt_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    webhooks.container_written(tx, row, before, ctx.now)


@written("workspaces/prompts/versions")
def prompt_version_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    webhooks.version_written(tx, row, before, ctx.now)


@written("workspaces/data/versions")
def data_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    if before is None:
        events.version_added(tx, row, events.maker_of(tx, row.scope, ctx.caller), ctx.now)


def _check_no_prompt(tx: Tx, workspace: str, name: str) -> None:
    """Raises ArmError 409: to MLflow, models and prompts have one space of names."""
    if resources.exists(tx, f"{workspace}/prompts/{name}"):
        raise conflict(f"'{name}' is the name of a prompt of this workspace.", code="NameOfPrompt")
