"""What a job's processes had logged and could not send any more, because they ended, or were killed, while the control plane was away: the
worker sends it before the job is over. What cannot be sent is kept among the job's logs, with the reason."""

from __future__ import annotations

import asyncio
import logging
import shutil
from functools import partial
from pathlib import Path

from lazward.contract.ids import parse
from lazward.orchestration.durable import Outcome, Work
from lazward.orchestration.runtime import Runtime
from lazward.storage.resources import Row
from lazward_mlflow import places
from lazward_mlflow.senders import PlainSender
from lazward_mlflow.sync import LEFT, LIVE, sync

EXIT_WAIT_S = 5  # of the job's processes: the worker has more time
PATIENCE_S, PAUSE_S, TIMEOUT_S = 900.0, 2.0, 60.0
LEFT_IN = "lazward-spool"  # below the job's logs

log = logging.getLogger("lazward.worker")


def folder_of(folder: Path) -> Path:
    """folder: the job's own, which every attempt begins anew; this one stays."""
    return folder.with_name(folder.name + ".spool")


def variables(folder: Path) -> dict[str, str]:
    return {"LAZWARD_SPOOL": "on", "LAZWARD_SPOOL_DIR": str(folder_of(folder)), "LAZWARD_SPOOL_EXIT_WAIT": str(EXIT_WAIT_S)}


async def send(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path) -> Outcome | None:
    """None when the job can go on to its end; else the work is to be done again in a while."""
    spool = folder_of(folder)
    if not spool.is_dir():
        return None
    left = await asyncio.to_thread(_send, runtime, job, workspace, spool)
    if left:
        now = work.now()
        since = work.state.get("spooled_since") or now
        if now - since < PATIENCE_S:
            if not work.state.get("spooled_since"):
                log.warning("what the job %s has logged cannot be sent yet: %s", job.name, left)
                await work.checkpoint(spooled_since=since)
            return Outcome("InProgress", delay=PAUSE_S)
        log.error("what the job %s has logged could not be sent; it is kept in its logs, below %s: %s", job.name, LEFT_IN, left)
    await asyncio.to_thread(_keep, spool, folder / "code" / "logs" / LEFT_IN)
    return None


def _send(runtime: Runtime, job: Row, workspace: Row, spool: Path) -> str:
    """Why something is left; "" when it is not. Only to this server, whatever a journal names: its address is the job's word."""
    owner = (job.doc.get("lazward") or {}).get("submittedBy", "")
    home = f"{runtime.settings.base_url}/mlflow/v2.0{parse(workspace.id)}"
    environ = {"SSL_CERT_FILE": str(runtime.settings.layout.bundle)}
    reasons = []
    for place in places.find(str(spool)):
        if not _is_ours(place.base, runtime.settings.base_url):
            continue
        auth = partial(_token, runtime, owner, workspace.key, job.name)
        for result in sync(place.folder, lambda _: PlainSender(home, auth, environ, TIMEOUT_S)):  # noqa: B023 - used at once
            if result.how in (LEFT, LIVE):
                reasons.append(result.reason or "a process of it still runs")
    return "; ".join(reasons)


def _token(runtime: Runtime, owner: str, workspace: str, name: str, again: bool) -> str:
    return f"Bearer {runtime.tokens.for_job(owner, workspace, name)[0]}"


def _is_ours(base: str, server: str) -> bool:
    return base.startswith(f"{server}/mlflow/")


def _keep(spool: Path, into: Path) -> None:
    """What was refused, or is for another server, goes where the job's logs are kept from."""
    left = places.find(str(spool))
    for place in left:
        source = Path(place.folder)
        target = into / source.relative_to(spool)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)
    shutil.rmtree(spool, ignore_errors=True)
