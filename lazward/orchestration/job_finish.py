"""The end of a job: why it ended, in words; what it wrote, kept; what it promised to register, registered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from lazward.contract.caller import SYSTEM, Caller
from lazward.contract.envelope import system_data, timestamp
from lazward.contract.errors import ArmError
from lazward.contract.ids import parse
from lazward.domain.jobs.source import end_tags
from lazward.domain.ports import LaunchStatus
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration import events
from lazward.orchestration.data import ARTIFACTS, account_of, locate, run_folder
from lazward.orchestration.gateway import runs_changed
from lazward.orchestration.job_limits import explain_limit
from lazward.orchestration.job_prepare import log_name
from lazward.orchestration.logs import last_lines
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources, runs
from lazward.storage.db import Tx
from lazward.storage.resources import Row

UPLOADS = 4
EVIDENCE_BYTES = 8000


class Evidence(msgspec.Struct, frozen=True):
    """The last lines of one of the job's logs. name: as clients see it."""

    name: str
    text: str


async def evidence_of(runtime: Runtime, launch: str, status: LaunchStatus, processes: int) -> Evidence:
    """Of the process that failed, or the first one."""
    index = status.failed_process or 0
    data = await runtime.executor.read_log(launch, index, -EVIDENCE_BYTES, EVIDENCE_BYTES)
    return Evidence(f"user_logs/{log_name(index, processes)}", last_lines(data))


def explain(status: LaunchStatus, facts: dict[str, Any], evidence: Evidence, kept: bool = True) -> ArmError | None:
    """The job's error: code, cause and evidence; None when the command ended well. kept: whether there was room for its outputs."""
    if status.reason == "exit" and not status.code:
        return None
    name = evidence.name
    shown = f" The last lines of {name}:\n{evidence.text}" if evidence.text.strip() else f" {name} is empty."
    limit = (facts.get("limits") or {}).get("timeout")
    if status.reason == "exit":
        return ArmError(400, "UserError", f"The command ended with exit code {status.code}.{shown}", name)
    if status.reason == "timeout":
        return ArmError(400, "JobTimeout", f"The job ran longer than its limit of {limit} (limits.timeout) and was stopped.{shown}", "limits.timeout")
    if status.reason == "memory":
        return ArmError(400, "OutOfMemory", f"The job used more memory than it may: {status.message}{shown}", "resources")
    if error := explain_limit(status, kept, shown):
        return error
    if status.reason == "signal":
        return ArmError(400, "KilledBySignal", f"A process of the job was ended by signal {status.signal}. {status.message}{shown}", name)
    if status.reason == "canceled":
        return ArmError(400, "Canceled", "The job was canceled.")
    if status.reason == "launch":
        return ArmError(400, "LaunchFailed", f"The command could not be started: {status.message}", "command")
    shown = shown if evidence.text.strip() else ""  # with the records of the launch the way to its log may be gone
    return ArmError(500, "JobLost", f"The processes of the job are gone without a record of their end. {status.message or 'The records of the launch were removed.'}{shown}")


async def keep_outputs(runtime: Runtime, job: Row, workspace: Row, folder: Path) -> None:
    """Uploads ./outputs and ./logs as artifacts and the named outputs to their places. Can be repeated: same names, same bytes."""
    account, prefix = account_of(workspace), run_folder(job.name)
    work: list[tuple[Path, str, str, str]] = []
    for name in ("outputs", "logs"):
        work += [(path, account, ARTIFACTS, f"{prefix}/{name}/{rel}") for path, rel in files_below(folder / "code" / name)]
    for name, facts in (job.properties.get("outputs") or {}).items():
        if name == "default":
            continue
        place = await runtime.db.read(locate, workspace, facts["uri"], f"properties.outputs.{name}")
        source = folder / "outputs" / name
        found = list(files_below(source))
        if not found:
            continue
        if not place.account:
            raise ArmError(400, "OutputNotWritable", f"The output '{name}' is to go to '{facts['uri'][:200]}', which is outside of this server's storage.", f"outputs.{name}")
        base = place.path.rstrip("/")
        if facts.get("jobOutputType") == "uri_file":
            work += [(path, place.account, place.container, base if len(found) == 1 and base else f"{base}/{rel}".lstrip("/")) for path, rel in found]
        else:
            work += [(path, place.account, place.container, f"{base}/{rel}".lstrip("/")) for path, rel in found]
    for where in {(a, c) for _, a, c, _ in work}:
        await runtime.blobs.ensure_container(*where)
    gate = asyncio.Semaphore(UPLOADS)

    async def put(path: Path, to: str, container: str, name: str) -> None:
        async with gate:
            await runtime.blobs.put_file(to, container, name, path)

    await asyncio.gather(*(put(*item) for item in work))


def files_below(root: Path) -> list[tuple[Path, str]]:
    """(path, relative name) of every regular file; links that lead out of the folder are left out (S2)."""
    out: list[tuple[Path, str]] = []
    if not root.is_dir():
        return out
    real = root.resolve()
    for path in sorted(root.rglob("*")):
        if path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(real)):
            out.append((path, path.relative_to(root).as_posix()))
    return out


def register_outputs(tx: Tx, job: Row, workspace: Row, owner: Caller, now: float) -> None:
    """Makes the data or model versions that named outputs ask for (assetName, assetVersion), in the job's last transaction."""
    for facts in (job.properties.get("outputs") or {}).values():
        name = facts.get("assetName")
        if not name:
            continue
        model = str(facts.get("jobOutputType", "")).endswith("_model")
        family = "models" if model else "data"
        container = parse(f"{workspace.id}/{family}/{name}")
        above = resources.get(tx, container.key)
        if above is None:
            doc: dict[str, Any] = {"properties": {"isArchived": False, "tags": {}, "properties": {}, "nextVersion": "1"}, "systemData": system_data(owner, now, None)}
            above = resources.insert(tx, container, doc, now)
        version = str(facts.get("assetVersion") or above.properties.get("nextVersion") or "1")
        rid = parse(f"{above.id}/versions/{version}")
        facts["assetVersion"] = version
        if resources.exists(tx, rid.key):
            continue  # the attempt before this one registered it, or the version was taken: the first stays (versions are immutable)
        uri = _long_uri(workspace, facts["uri"])
        properties: dict[str, Any] = {"isArchived": False, "isAnonymous": False, "tags": {}, "properties": {}, "description": facts.get("description"), "provisioningState": "Succeeded"}
        if model:
            properties |= {"modelUri": uri, "modelType": facts["jobOutputType"], "flavors": {}, "jobName": job.name}
        else:
            properties |= {"dataUri": uri, "dataType": facts.get("jobOutputType", "uri_folder")}
        made = resources.insert(tx, rid, {"properties": properties, "systemData": system_data(owner, now, None)}, now)
        events.version_added(tx, made, job, now)
        above.properties["latestVersion"] = version
        if version.isdecimal():
            above.properties["nextVersion"] = str(max(int(version), int(above.properties.get("nextVersion") or 1) - 1) + 1)
        resources.update(tx, above, now)


def _long_uri(workspace: Row, uri: str) -> str:
    rid = parse(workspace.id)
    if uri.startswith("azureml://datastores/"):
        rest = uri.removeprefix("azureml://")
        return f"azureml://subscriptions/{rid.subscription}/resourcegroups/{rid.group}/workspaces/{rid.name}/{rest}"
    return uri


def set_state(tx: Tx, key: str, status: str, now: float, change: Callable[[Row], None] | None = None) -> Row | None:
    """Writes a job's status into its document and its run. A job that is over stays as it is."""
    row = resources.get(tx, key)
    if row is None or row.properties.get("status") in JOB_OVER:
        return row
    facts = row.properties
    if facts["status"] == "CancelRequested" and status not in JOB_OVER:
        status = "CancelRequested"  # a cancel that came in between is not forgotten
    facts["status"] = status
    stamp = timestamp(now)
    if status == "Running":
        facts.setdefault("startTimeUtc", stamp)
    if status in JOB_OVER:
        facts["endTimeUtc"] = stamp
        facts.pop("waitingFor", None)
        for service in facts.get("services", {}).values():
            if service.get("status"):
                service["status"] = "Stopped"
    if change:
        change(row)
    resources.update(tx, row, now)
    runs.set_status(tx, row.scope, row.name, status, now)
    if status in JOB_OVER:
        runs.set_tags(tx, row.scope, row.name, end_tags(facts), now)
        runs_changed(tx, row.scope, now)
        if row.parent != row.scope:
            tx.stirred.add(row.parent)
        else:
            events.run_ended(tx, row, now)
    return row


def submitter(job: Row) -> Caller:
    facts = job.doc.get("lazward") or {}
    return Caller(id=facts.get("submittedBy", SYSTEM.id), name=facts.get("submitterName", SYSTEM.name), kind=facts.get("submitterKind", "ServicePrincipal"))
