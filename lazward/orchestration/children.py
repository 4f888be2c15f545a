"""Jobs below a job: the steps of a pipeline, the trials of a sweep.

A child is a job like any other (its own run, task, logs, cancel) whose row hangs below its parent's, so lists of a workspace's jobs
show roots only. Its name follows from its parent and its place there, so a parent whose worker died submits it again and finds it.
The children are a parent's memory: after a crash it reads them and knows what was started and how it ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from lazward.contract.envelope import timestamp
from lazward.contract.ids import parse
from lazward.domain.queue.priority import inherited
from lazward.domain.resource import WriteContext
from lazward.domain.resources.jobs import JOBS
from lazward.domain.settings import Settings
from lazward.orchestration.environments import LOOSENED
from lazward.orchestration.job_create import context_of, create, draft, insert
from lazward.orchestration.job_finish import submitter
from lazward.orchestration.job_submit import record
from lazward.storage import metrics, resources, runs
from lazward.storage.db import Tx
from lazward.storage.resources import Row


def name_of(parent: Row, place: str) -> str:
    """The name of the child at a place ("train", "loop_3") below its parent: the same for ever. No name begins with another's, since
    clients find the files of a run by the beginning of their path."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{parent.key}#{place}"))


def submit_child(tx: Tx, settings: Settings, parent: Row, name: str, properties: dict[str, Any], now: float, private: dict[str, Any] | None = None) -> Row:
    """Submits a job below another, for its submitter and with all checks of a PUT; one that is there already is left as it is.

    private: what the parent wants to find again in child.doc["lazward"] (its node, its parameters, its fingerprint)."""
    ctx = _context(parent, name, settings, now)
    return resources.get(tx, ctx.rid.key) or create(tx, ctx, _of_parent(parent, properties), private, parent)


def take_over(
    tx: Tx, settings: Settings, parent: Row, name: str, properties: dict[str, Any], source: Row, now: float, private: dict[str, Any]
) -> Row:
    """A child that is complete from the start: its outputs, single values, metrics and logs are those of an equal step before it."""
    ctx = _context(parent, name, settings, now)
    if (there := resources.get(tx, ctx.rid.key)) is not None:
        return there
    doc = draft(ctx, _of_parent(parent, properties), private)
    facts, stamp = doc["properties"], timestamp(now)
    said = source.properties.get("properties") or {}
    facts["outputs"] = {**facts["outputs"], **{k: v for k, v in source.properties["outputs"].items() if k != "default"}}
    facts["properties"] |= {k: v for k, v in said.items() if k.startswith("azureml.pipeline.control") or k == LOOSENED}
    facts["properties"] |= {"azureml.isreused": "true", "azureml.reusedrunid": source.name, "azureml.reuse": f"reused: {source.name}, which completed at {source.properties.get('endTimeUtc')}"}
    facts |= {"status": "Completed", "startTimeUtc": stamp, "endTimeUtc": stamp}
    row = insert(tx, ctx, doc, parent)
    record(tx, row, now, ctx.caller, parent)
    metrics.take_over(tx, row.scope, source.name, row.name)
    runs.set_status(tx, row.scope, row.name, "Completed", now)
    tx.stirred.add(parent.key)
    return row


def of(tx: Tx, parent: str) -> list[Row]:
    """The children of a job, in the order of their submission."""
    return resources.every(tx, JOBS.key, parent=parent)


def news(tx: Tx, parent: Row, known: Mapping[str, Row]) -> tuple[Row | None, list[Row], set[str]]:
    """The parent as it is now; those of the known children, by key, that are other than known; and the keys of those that are gone.

    By etag, not by time: a document carries the time at which its writer began, which may be a while before it was there to be seen.
    A parent that has not changed is not read again: that of a large pipeline is megabytes, and this is asked for at each child's end."""
    changed, gone = resources.changed(tx, {row.key: row.etag for row in (parent, *known.values())})
    now = next((row for row in changed if row.key == parent.key), None if parent.key in gone else parent)
    return now, [row for row in changed if row.key != parent.key], gone - {parent.key}


def _of_parent(parent: Row, properties: dict[str, Any]) -> dict[str, Any]:
    """What a child has from its parent, where it does not say it itself."""
    return {
        "experimentName": parent.properties["experimentName"], **properties,
        "queueSettings": inherited(properties.get("queueSettings"), parent.properties.get("queueSettings")),
    }


def _context(parent: Row, name: str, settings: Settings, now: float) -> WriteContext:
    return context_of(parse(parent.id).parent.child("jobs", name), submitter(parent), settings, now)
