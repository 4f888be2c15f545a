"""Jobs below a job: the steps of a pipeline, the trials of a sweep.

A child is a job like any other (its own run, task, logs, cancel) whose row hangs below its parent's, so lists of a workspace's jobs
show roots only. Its name follows from its parent and its place there, so a parent whose worker died submits it again and finds it.
The children are a parent's memory: after a crash it reads them and knows what was started and how it ended.
"""

from __future__ import annotations

import uuid
from typing import Any

from lazward.contract.caller import Caller
from lazward.contract.envelope import system_data, timestamp
from lazward.contract.ids import parse
from lazward.domain.resource import WriteContext
from lazward.domain.resources.jobs import fill_job, fingerprint_of
from lazward.domain.settings import Settings
from lazward.orchestration.job_finish import submitter
from lazward.orchestration.job_submit import record, submit
from lazward.storage import metrics, resources, runs
from lazward.storage.db import Tx
from lazward.storage.resources import Row

JOBS = "microsoft.machinelearningservices/workspaces/jobs"


def name_of(parent: Row, place: str) -> str:
    """The name of the child at a place ("train", "loop_3") below its parent: the same for ever. No name begins with another's, since
    clients find the files of a run by the beginning of their path."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{parent.key}#{place}"))


def submit_child(tx: Tx, settings: Settings, parent: Row, name: str, properties: dict[str, Any], now: float, private: dict[str, Any] | None = None) -> Row:
    """Submits a job below another, for its submitter and with all checks of a PUT; one that is there already is left as it is.

    private: what the parent wants to find again in child.doc["lazward"] (its node, its parameters, its fingerprint)."""
    rid = parse(parent.id).parent.child("jobs", name)
    if (there := resources.get(tx, rid.key)) is not None:
        return there
    caller = submitter(parent)
    doc: dict[str, Any] = {"properties": {"experimentName": parent.properties["experimentName"], **properties}}
    fill_job(doc, None, _context(rid, caller, settings, now))
    doc["systemData"] = system_data(caller, now, None)
    doc["lazward"] = dict(private or {})
    row = resources.insert(tx, rid, doc, now, parent=parent.key, lookup=fingerprint_of(doc))
    submit(tx, row, now, caller, parent)
    return row


def take_over(
    tx: Tx, settings: Settings, parent: Row, name: str, properties: dict[str, Any], source: Row, now: float, private: dict[str, Any]
) -> Row:
    """A child that is complete from the start: its outputs, single values, metrics and logs are those of an equal step before it."""
    rid = parse(parent.id).parent.child("jobs", name)
    if (there := resources.get(tx, rid.key)) is not None:
        return there
    caller = submitter(parent)
    doc: dict[str, Any] = {"properties": {"experimentName": parent.properties["experimentName"], **properties}}
    fill_job(doc, None, _context(rid, caller, settings, now))
    facts, stamp = doc["properties"], timestamp(now)
    said = source.properties.get("properties") or {}
    facts["outputs"] = {**facts["outputs"], **{k: v for k, v in source.properties["outputs"].items() if k != "default"}}
    facts["properties"] |= {k: v for k, v in said.items() if k.startswith("azureml.pipeline.control")}
    facts["properties"] |= {"azureml.isreused": "true", "azureml.reusedrunid": source.name, "azureml.reuse": f"reused: {source.name}, which completed at {source.properties.get('endTimeUtc')}"}
    facts |= {"status": "Completed", "startTimeUtc": stamp, "endTimeUtc": stamp}
    doc["systemData"], doc["lazward"] = system_data(caller, now, None), private
    row = resources.insert(tx, rid, doc, now, parent=parent.key)
    record(tx, row, now, caller, parent)
    metrics.take_over(tx, row.scope, source.name, row.name)
    runs.set_status(tx, row.scope, row.name, "Completed", now)
    tx.stirred.add(parent.key)
    return row


def of(tx: Tx, parent: str, since: float = 0.0) -> list[Row]:
    """The children of a job, in the order of their submission. since: those written at or after it only."""
    return resources.every(tx, JOBS, parent=parent, since=since)


def _context(rid: Any, caller: Caller, settings: Settings, now: float) -> WriteContext:
    return WriteContext(rid, caller, now, settings.base_url, settings.gateway_url, settings.location, lambda: str(uuid.uuid4()))
