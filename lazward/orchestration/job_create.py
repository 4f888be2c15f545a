"""Making a job where no request does (a step, a trial, a schedule's run): everything a PUT of it checks, and its submission, in one
transaction."""

from __future__ import annotations

import uuid
from typing import Any

from lazward.contract.caller import Caller
from lazward.contract.envelope import system_data
from lazward.contract.ids import ResourceId
from lazward.domain.resource import PRIVATE, Doc, WriteContext, check_shape
from lazward.domain.resources.jobs import JOBS, fill_job, fingerprint_of
from lazward.domain.settings import Settings
from lazward.orchestration.job_submit import submit
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row


def create(tx: Tx, ctx: WriteContext, properties: dict[str, Any], private: dict[str, Any] | None = None, parent: Row | None = None) -> Row:
    """Makes the job ctx.rid for ctx.caller and submits it. ArmError when it is refused, and then what it wrote is to be undone.

    properties become the job's own. private: what its maker wants to find again in job.doc["lazward"]. parent: the job it is a part of."""
    row = insert(tx, ctx, draft(ctx, properties, private), parent)
    submit(tx, row, ctx.now, ctx.caller, parent)
    return row


def draft(ctx: WriteContext, properties: dict[str, Any], private: dict[str, Any] | None) -> Doc:
    """The document of a job, checked and filled in as that of a PUT."""
    doc: Doc = {"properties": properties}
    check_shape(JOBS, doc)
    fill_job(doc, None, ctx)
    doc["systemData"] = system_data(ctx.caller, ctx.now, None)
    doc[PRIVATE] = dict(private or {})
    return doc


def insert(tx: Tx, ctx: WriteContext, doc: Doc, parent: Row | None = None) -> Row:
    return resources.insert(tx, ctx.rid, doc, ctx.now, parent=parent.key if parent else None, lookup=fingerprint_of(doc))


def context_of(rid: ResourceId, caller: Caller, settings: Settings, now: float) -> WriteContext:
    """What create() has to know, where no request brings it."""
    return WriteContext(rid, caller, now, settings.base_url, settings.gateway_url, settings.location, lambda: str(uuid.uuid4()))
