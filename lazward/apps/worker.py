"""The worker's composition: the runtime that durable steps act on."""

from __future__ import annotations

import time

import lazward.domain.resources
import lazward.orchestration.endpoints
import lazward.orchestration.housekeeping
import lazward.orchestration.job_delete
import lazward.orchestration.jobs
import lazward.orchestration.pipelines
import lazward.orchestration.run_watch
import lazward.orchestration.schedule_events
import lazward.orchestration.schedules
import lazward.orchestration.sweeps
import lazward.orchestration.webhooks
import lazward.orchestration.workspaces  # noqa: F401 - these register the handlers
from lazward.apps.serving.gateway import Gateway
from lazward.apps.shared import build_authority, build_blobs, load_master_key
from lazward.domain.ports import Capacity
from lazward.domain.queue.order import Limits
from lazward.domain.settings import Settings
from lazward.execution.environments import EnvironmentCache
from lazward.execution.local import LocalExecutor
from lazward.orchestration.admission import Admission
from lazward.orchestration.gateway import DEPLOYMENTS
from lazward.orchestration.instances import facts_of
from lazward.orchestration.job_queue import QueueTeller
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources, tasks
from lazward.storage.db import Database, Tx


def build_runtime(settings: Settings, db: Database) -> Runtime:
    layout = settings.layout
    master_key = load_master_key(settings)
    vault, authority = build_authority(settings, db, master_key)
    executor = LocalExecutor(layout.run / "launches")
    gateway = Gateway(layout.gateway, settings.host, settings.gateway_port, layout.server_certificate, layout.server_key, (settings.public_host,), on_demand=True)
    blobs = build_blobs(settings, db)
    return Runtime(
        db=db, blobs=blobs, executor=executor,
        environments=EnvironmentCache(layout.envs, python_downloads=settings.allow_python_download, strict=settings.environments_strict, gpus={"cpu": False, "cuda": True}.get(settings.torch_backend)),
        admission=Admission(limited(executor.capacity(), settings), limits_of(settings), QueueTeller(db, blobs, time.time)), settings=settings, tokens=authority, now=time.time, master_key=master_key,
        data_dir=layout.root, vault=vault, gateway=gateway,
    )


def limited(capacity: Capacity, settings: Settings) -> Capacity:
    """What jobs may take together: the machine, or less where the settings say so."""
    return Capacity(
        min(capacity.cores, settings.max_job_cores or capacity.cores), min(capacity.memory_bytes, settings.max_job_memory_bytes or capacity.memory_bytes), capacity.gpus
    )


def limits_of(settings: Settings) -> Limits:
    return Limits(settings.max_workspace_jobs, settings.max_workspace_cores, settings.max_user_jobs, settings.max_user_cores)


def standing_work(tx: Tx, now: float) -> None:
    """Work that must always be there: the gateway in step with the database, a keeper for every deployment."""
    tasks.enqueue(tx, "gateway.sync", "gateway", {}, now)
    tasks.enqueue(tx, "housekeeping", "server", {}, now + 5)
    for row in resources.every(tx, DEPLOYMENTS):
        if facts_of(row).get("instances"):
            tasks.enqueue(tx, "deployment.keep", row.key, {}, now)
