"""A worker and everything it acts on, in the test's own process: a database, a blob store, real launches, and environments that are
one bare virtual environment of this Python. Documents are written as a PUT writes them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lazward.apps.arm.actions_endpoints
import lazward.apps.arm.actions_jobs
import lazward.domain.resources
import lazward.orchestration.endpoints
import lazward.orchestration.job_delete
import lazward.orchestration.pipelines
import lazward.orchestration.sweeps
import lazward.orchestration.workspaces  # noqa: F401 - these fill the registries
from lazward.apps.arm import actions_workspaces, engine
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, parse
from lazward.domain.package_set import PackageSet
from lazward.domain.ports import Capacity
from lazward.domain.queue.order import Limits
from lazward.domain.settings import Settings
from lazward.execution.local import LocalExecutor
from lazward.execution.overlay import Environment
from lazward.orchestration.admission import Admission
from lazward.orchestration.bootstrap import GROUP, WORKSPACE, seed_platform
from lazward.orchestration.data import ARTIFACTS, account_of
from lazward.orchestration.durable import Worker
from lazward.orchestration.job_queue import QueueTeller, restore_admissions
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources, run_search, tasks
from lazward.storage.blobs.extents import Extents
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database
from lazward.storage.secrets import Vault

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
HOME = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{ML}/workspaces/{WORKSPACE}"
ME = Caller(id="22222222-2222-2222-2222-222222222222", name="me", tenant="33333333-3333-3333-3333-333333333333")
MASTER_KEY = b"k" * 32
PATIENCE_S = 30


class Environments:
    """Instead of the cache: one bare environment for all. asked: what for. hold: while set, builds wait. error: what they end in."""

    def __init__(self, folder: Path):
        path = folder / "envs" / "bare"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        self.environment = Environment(path, path / "bin" / "python", path / "bin", "bare", version, "")
        self.asked: list[PackageSet] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: ArmError | None = None

    async def ensure(self, packages: PackageSet, log: Callable[[str], None], extra: Any = (), *, context: Path | None = None) -> Environment:
        self.asked.append(packages)
        log("building")
        await self.open.wait()
        if self.error:
            raise self.error
        return self.environment

    async def prune(self, max_bytes: int | None, max_days: float | None) -> list[Any]:
        return []


class GatewayLog:
    """Instead of Envoy: what it was told to serve."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    async def update(self, state: Any) -> bool:
        self.states.append(state)
        return True

    def sockets(self, endpoint: str) -> dict[str, tuple[str, ...]]:
        """By deployment, as of the last word."""
        return {name: d.sockets for e in self.states[-1].endpoints if e.name == endpoint for name, d in e.deployments.items()}


class Place:
    def __init__(self, db: Database, folder: Path):
        self.db = db
        self.folder = folder
        self.settings = Settings(data_dir=str(folder), location="local")
        self.vault = Vault(MASTER_KEY)
        actions_workspaces.use_vault(self.vault)
        self.environments = Environments(folder)
        self.gateway = GatewayLog()
        self.blobs = BlobStore(db, Extents.from_url(str(folder / "blobs")), time.time)
        self.executor = LocalExecutor(folder / "run" / "launches")
        self.limits = Limits()  # of the queue, from the next start on
        self._stop = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        db.write_now(seed_platform, SUBSCRIPTION, ME, self.settings, time.time())
        self.put("environments/plain/versions/1", {"image": "library/python:3.11"})
        self.runtime = self._runtime()

    def _runtime(self) -> Runtime:
        tokens = SimpleNamespace(
            for_job=lambda owner, workspace, job: ("token", "secret"), issuer="https://localhost/i", issuers=["https://localhost/i"], audiences={"a"},
            signing_keys=SimpleNamespace(jwks=lambda: {"keys": []}), principals_allowed=lambda right, scope: [], refresh_now=lambda: None,
        )
        return Runtime(
            db=self.db, blobs=self.blobs, executor=self.executor, environments=self.environments, admission=Admission(Capacity(2, 2**33, 0), self.limits, QueueTeller(self.db, self.blobs, time.time), 0.01), settings=self.settings,
            tokens=tokens, now=time.time, master_key=MASTER_KEY, data_dir=self.folder, vault=self.vault, gateway=self.gateway,
        )

    # ---- the worker -----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """A worker as after the start of its process: nothing in its memory."""
        self.runtime = self._runtime()
        for job in await self.db.read(restore_admissions):
            self.runtime.admission.hold(job)
        worker = Worker(self.db, self.runtime, time.time, "worker")
        loop = asyncio.get_running_loop()
        self.db.on_tasks = lambda: loop.call_soon_threadsafe(worker.wake.set)
        self.db.on_stirred = lambda keys: loop.call_soon_threadsafe(self.runtime.stir, keys)
        self._stop = asyncio.Event()
        self._worker = asyncio.create_task(worker.run(self._stop))

    async def stop(self) -> None:
        if self._worker:
            self._stop.set()
            await self._worker
            self._worker = None

    async def close(self) -> None:
        await self.stop()
        self.db.on_tasks = self.db.on_stirred = None
        for path in (self.folder / "run" / "launches").glob("*.*"):
            (path / "cancel").touch()  # whatever a test left running; its keeper looks for this every second
        self.executor.close()

    # ---- what clients do ------------------------------------------------------------------------------------------------------

    def put(self, path: str, properties: dict[str, Any], **members: Any) -> resources.Row:
        target = engine.resolve(parse(f"{HOME}/{path}"))
        facts = engine.Facts(ME, time.time(), self.settings.base_url, self.settings.gateway_url, self.settings.location)
        row, _, _ = self.db.write_now(engine.store, target, {"properties": properties, **members}, facts)
        return row

    def delete(self, path: str) -> None:
        target = engine.resolve(parse(f"{HOME}/{path}"))
        self.db.write_now(engine.remove, target, engine.Facts(ME, time.time(), self.settings.base_url, self.settings.gateway_url, self.settings.location))

    def job(self, name: str, command: str, **properties: Any) -> str:
        """Submits a command job; its key."""
        return self.put(f"jobs/{name}", {"jobType": "Command", "command": command, "environmentId": f"{HOME}/environments/plain/versions/1", **properties}).key

    async def code(self, name: str, files: dict[str, str]) -> str:
        """A code asset; its id."""
        account = self.account
        await self.blobs.ensure_container(account, "code")
        for path, text in files.items():
            await self.blobs.put(account, "code", f"{name}/{path}", text.encode())
        return self.put(f"codes/{name}/versions/1", {"codeUri": f"https://{account}.blob.core.windows.net/code/{name}"}).id

    # ---- what is seen ---------------------------------------------------------------------------------------------------------

    def get(self, path: str) -> resources.Row | None:
        return self.db.read_now(resources.get, f"{HOME}/{path}")

    def facts(self, path: str) -> dict[str, Any]:
        row = self.get(path)
        assert row is not None, path
        return row.properties

    def tags(self, run: str) -> dict[str, str]:
        return dict(self.db.read_now(run_search.one, HOME.lower(), run).tags)

    async def until(self, condition: Callable[[], Any], what: Callable[[], Any] = lambda: "") -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            assert time.monotonic() < deadline, f"it did not happen: {what()}"
            await asyncio.sleep(0.01)
        return found

    async def over(self, name: str) -> dict[str, Any]:
        """The job's document when it is over and its task has ended."""
        key = f"{HOME}/jobs/{name}".lower()

        def done() -> bool:
            status = self.facts(f"jobs/{name}")["status"]
            return status in ("Completed", "Failed", "Canceled") and not self.open_tasks(key)

        await self.until(done, lambda: self.facts(f"jobs/{name}"))
        return self.facts(f"jobs/{name}")

    def open_tasks(self, key: str) -> list[tasks.Task]:
        kinds = ("job.run", "job.cancel", "job.clear", "job.delete", "pipeline.run", "sweep.run", "deployment.apply", "deployment.delete", "deployment.keep", "endpoint.delete")
        return [task for kind in kinds if (task := self.db.read_now(tasks.open_for, key.lower(), kind)) is not None]

    @property
    def account(self) -> str:
        home = self.db.read_now(resources.get, HOME)
        assert home is not None
        return account_of(home)

    async def log(self, job: str, name: str = "user_logs/std_log.txt") -> str:
        return (await self.blobs.read_all(self.account, ARTIFACTS, f"ExperimentRun/dcid.{job}/{name}")).decode()

    def launches(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "run" / "launches").glob("*.*") if not path.name.startswith("."))

    def folders(self, kind: str) -> list[str]:
        root = self.folder / kind
        return sorted(path.name for path in root.iterdir()) if root.exists() else []
