"""Making a job where no request does: everything a PUT of it checks, and its submission, in one transaction."""

from __future__ import annotations

import uuid
from typing import Any

from lazward.contract.caller import Caller
from lazward.contract.envelope import system_data
from lazward.contract.ids import ResourceId
from lazward.domain.resource import PRIVATE, WriteContext, check_shape
from lazward.domain.resources.jobs import JOBS, fill_job
from lazward.domain.settings import Settings
from lazward.orchestration.job_submit import submit
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row


def create(tx: Tx, ctx: WriteContext, properties: dict[str, Any], private: dict[str, Any] | None = None) -> Row:
    """Makes the job ctx.rid for ctx.caller and submits it. ArmError when it is refused, and then what it wrote is to be undone.

    properties become the job's own. private: what its maker wants to find again in job.doc["lazward"]."""
    doc: dict[str, Any] = {"properties": properties}
    check_shape(JOBS, doc)
    fill_job(doc, None, ctx)
    doc["systemData"] = system_data(ctx.caller, ctx.now, None)
    doc[PRIVATE] = dict(private or {})
    row = resources.insert(tx, ctx.rid, doc, ctx.now)
    submit(tx, row, ctx.now, ctx.caller)
    return row


def context_of(rid: ResourceId, caller: Caller, settings: Settings, now: float) -> WriteContext:
    """What create() has to know, where no request brings it."""
    return WriteContext(rid, caller, now, settings.base_url, settings.gateway_url, settings.location, lambda: str(uuid.uuid4()))
