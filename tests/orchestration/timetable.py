"""Schedules on a clock that a test moves: a database, documents written as a PUT writes them, and a worker for each turn, as after the
start of its process. Jobs are submitted, not run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

import lazward.apps.arm.actions_jobs
import lazward.apps.arm.actions_schedules
import lazward.domain.resources
import lazward.orchestration.workspaces  # noqa: F401 - these fill the registries
from lazward.apps.arm import actions_workspaces, engine
from lazward.contract.caller import Caller
from lazward.contract.ids import ML, parse
from lazward.domain.settings import Settings
from lazward.orchestration.bootstrap import GROUP, WORKSPACE, seed_platform
from lazward.orchestration.durable import Worker
from lazward.storage import resources, tables, tasks
from lazward.storage.secrets import Vault

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
HOME = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{ML}/workspaces/{WORKSPACE}"
ME = Caller(id="22222222-2222-2222-2222-222222222222", name="me", tenant="33333333-3333-3333-3333-333333333333")
OTHER = Caller(id="44444444-4444-4444-4444-444444444444", name="other", tenant=ME.tenant)
REGISTRY = HOME.replace(f"workspaces/{WORKSPACE}", "registries/reg1")
PLAIN = f"{HOME}/environments/plain/versions/1"
COMMAND = {"jobType": "Command", "command": "echo hi", "environmentId": PLAIN}
HOURLY = {"triggerType": "Cron", "expression": "0 * * * *", "timeZone": "Pacific Standard Time", "startTime": "2022-07-10T10:00:00"}


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class Timetable:
    """db and clock are the test's. forbidden: callers that have lost their rights, rights that nobody has."""

    def __init__(self, db, clock, folder):
        self.db, self.clock = db, clock
        self.clock.at = at("2027-01-15T08:10:00")
        self.settings = Settings(data_dir=str(folder), location="local")
        self.forbidden: set[str] = set()
        actions_workspaces.use_vault(Vault(b"k" * 32))
        db.write_now(seed_platform, SUBSCRIPTION, ME, self.settings, clock())
        self.environment()

    def environment(self) -> None:
        self.put("environments/plain/versions/1", {"image": "library/python:3.11"})

    async def allowed(self, caller: Caller, action: str, scope: str) -> bool:
        assert (action, scope) in ((f"{ML}/workspaces/jobs/write", HOME.lower()), (f"{ML}/registries/assets/read", REGISTRY))
        return not {caller.id, action} & self.forbidden

    def put(self, path: str, properties: dict[str, Any], caller: Caller = ME) -> resources.Row:
        facts = engine.Facts(caller, self.clock(), self.settings.base_url, self.settings.gateway_url, self.settings.location)
        row, _, _ = self.db.write_now(engine.store, engine.resolve(parse(f"{HOME}/{path}")), {"properties": properties}, facts)
        return row

    async def schedule(self, trigger: dict[str, Any] = HOURLY, definition: dict[str, Any] = COMMAND, name: str = "s", caller: Caller = ME, **more: Any) -> resources.Row:
        row = self.put(f"schedules/{name}", {"trigger": trigger, "action": {"actionType": "CreateJob", "jobDefinition": definition}, **more}, caller)
        await self.work()
        return row

    def delete(self, path: str) -> None:
        facts = engine.Facts(ME, self.clock(), self.settings.base_url, self.settings.gateway_url, self.settings.location)
        self.db.write_now(engine.remove, engine.resolve(parse(f"{HOME}/{path}")), facts)

    def worker(self) -> Worker:
        runtime = SimpleNamespace(db=self.db, settings=self.settings, tokens=self)
        return Worker(self.db, runtime, self.clock, "worker")

    async def work(self) -> None:
        """All that is due."""
        worker = self.worker()
        await self.db.write(tasks.release_worker, "worker", died=True)
        while claimed := await worker._claim():
            for task in claimed:
                await worker._begin(task)
            await asyncio.gather(*(held.run for held in list(worker._running.values())))

    async def jump(self, to: str) -> None:
        self.clock.at = at(to)
        await self.work()

    def jobs(self) -> list[str]:
        found = self.db.read_now(resources.every, f"{ML}/workspaces/jobs", parent=HOME)
        return [row.name for row in found]

    def runs(self) -> int:
        return self.db.read_now(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(tables.run)).scalar_one())

    def get(self, path: str) -> resources.Row | None:
        return self.db.read_now(resources.get, f"{HOME}/{path}")

    def facts(self, path: str) -> dict[str, Any]:
        row = self.get(path)
        assert row is not None
        return row.properties

    def note(self, name: str = "s") -> str:
        return self.facts(f"schedules/{name}")["properties"].get("lazward.lastRefusal", "")

    def due(self, name: str = "s") -> str | None:
        task = self.db.read_now(tasks.open_for, f"{HOME}/schedules/{name}".lower(), "schedule.run")
        return datetime.fromtimestamp(task.due, UTC).isoformat()[:16] if task else None
