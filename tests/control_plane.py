"""The whole control plane in this process: every route over a real database and blob store, driven through ASGI as uvicorn drives it.

Identity is a stand-in (a token is a name, a name's rights are a list) unless `real=True`. Nothing works off the tasks: `settle()` ends
them, as the worker would.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa

from lazward.apps.arm.actions_workspaces import use_vault
from lazward.apps.arm.platform import ARM
from lazward.apps.chain import Chain
from lazward.apps.control import all_routes, build_chain, build_services
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML
from lazward.domain import rbac
from lazward.domain.settings import Source, merge
from lazward.orchestration import removal
from lazward.orchestration.bootstrap import seed_platform
from lazward.storage import resources, runs, tables
from lazward.storage.db import Database, Tx
from lazward.storage.secrets import Vault

OWNER = "owner"
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
VERSION = "api-version=2025-12-01"
MASTER_KEY = bytes(range(32))
Json = dict[str, Any]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Json:
        """The ARM error, its shape checked."""
        error = self.json["error"]
        assert isinstance(error["code"], str) and error["code"], error
        assert isinstance(error["message"], str) and error["message"], error
        return error


class StandInAuthority:
    """Bearer NAME is NAME when it is in `rights`: a list of (action pattern, scope). `asked` holds every question."""

    def __init__(self) -> None:
        self.rights: dict[str, list[tuple[str, str]]] = {OWNER: [("*", "/")]}
        self.asked: list[tuple[str, str]] = []

    async def authenticate(self, authorization: str | None) -> Caller:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.rights:
            raise ArmError(401, "InvalidAuthenticationToken", "The token is missing or not valid.", headers={"WWW-Authenticate": "Bearer"})
        return Caller(id=token, name=token, tenant="tenant")

    async def allowed(self, caller: Caller, action: str, scope: str, *, data: bool = False) -> bool:
        self.asked.append((action, scope))
        return any(rbac.matches(pattern, action) and rbac.within(scope, at) for pattern, at in self.rights.get(caller.id, ()))

    async def has_role_below(self, caller: Caller, scope: str) -> bool:
        return any(rbac.within(at, scope) or rbac.within(scope, at) for _, at in self.rights.get(caller.id, ()))

    async def permissions(self, caller: Caller, scope: str) -> list[rbac.Role]:
        return []

    def changed(self, tx: Tx) -> None:
        pass


class Clock:
    """Unix seconds; each question is a little later than the one before, so that the order of events shows."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        self.at += 0.001
        return self.at


@dataclass
class Plane:
    """One control plane. Paths are sent as they are; `send` gives the answer whatever it is, `ok` fails on anything but success."""

    chain: Chain
    db: Database
    clock: Clock
    authority: Any
    kind: str
    folder: Path
    runner: asyncio.Runner
    token: str = OWNER
    numbers: Iterator[int] = field(default_factory=itertools.count)
    homes: dict[str, str] = field(default_factory=dict)

    # ---- requests ------------------------------------------------------------------------------------------------------

    def send(self, method: str, target: str, body: Any = None, *, token: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """body: bytes as they are, or a value sent as JSON. token: "" for none."""
        return self.runner.run(self.request(method, target, body, token=token, headers=headers))

    def together(self, calls: Sequence[tuple[str, str, Any]]) -> list[Answer]:
        """(method, target, body) of each, all at once."""

        async def every() -> list[Answer]:
            return await asyncio.gather(*(self.request(*call) for call in calls))

        return self.runner.run(every())

    async def request(self, method: str, target: str, body: Any = None, *, token: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        use_vault(self.vault)  # it is the module's, and there may be several planes
        token = self.token if token is None else token
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"host": "localhost:8443", **({"authorization": f"Bearer {token}"} if token else {}), "content-length": str(len(raw))}
        sent.update({k.lower(): v for k, v in (headers or {}).items()})
        path, _, query = target.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https", "path": unquote(path),
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8443),
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in sent.items() if v is not None],
        }
        pieces = [raw[i : i + 65536] for i in range(0, len(raw), 65536)] or [b""]
        messages = iter([{"type": "http.request", "body": p, "more_body": i + 1 < len(pieces)} for i, p in enumerate(pieces)])
        got: list[Any] = []

        async def receive() -> Any:
            return next(messages, {"type": "http.disconnect"})

        async def answer(message: Any) -> None:
            got.append(message)

        await self.chain(scope, receive, answer)  # type: ignore[arg-type]
        start = got[0]
        content = b"".join(m.get("body", b"") for m in got[1:])
        return Answer(start["status"], {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in start["headers"]}, content)

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        answer = self.send(method, path if "api-version=" in path else versioned(path), body, **more)
        assert 200 <= answer.status < 300, (method, path, answer.status, answer.body[:2000])
        return answer

    def put(self, path: str, body: Any, **more: Any) -> Json:
        return self.ok("PUT", path, body, **more).json

    def get(self, path: str, **more: Any) -> Json:
        return self.ok("GET", path, **more).json

    # ---- state ---------------------------------------------------------------------------------------------------------

    @property
    def vault(self) -> Vault:
        return self.chain.services.vault

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{SUBSCRIPTION}"

    def name(self, start: str = "n") -> str:
        return f"{start}{next(self.numbers)}"

    def group(self) -> str:
        return self.put(f"{self.subscription}/resourceGroups/{self.name('Group')}", {"location": "local"})["id"]

    def workspace(self, group: str = "") -> str:
        return self.put(f"{group or self.group()}/providers/{ML}/workspaces/{self.name('Work')}", {"properties": {}})["id"]

    def registry(self, group: str = "") -> str:
        return self.put(f"{group or self.group()}/providers/{ML}/registries/{self.name('Reg')}", {"properties": {}})["id"]

    def shared(self, kind: str) -> str:
        """The workspace ("workspaces") or registry ("registries") for tests that need one but not one of their own."""
        if kind not in self.homes:
            self.homes[kind] = self.workspace() if kind == "workspaces" else self.registry()
        return self.homes[kind]

    def settle(self) -> None:
        """Ends all open tasks as the worker would: what was applied is there, what was to go is gone."""

        def end(tx: Tx) -> None:
            for task_id, kind, subject in tx.execute(sa.select(tables.task.c.id, tables.task.c.kind, tables.task.c.subject).where(tables.task.c.status == "InProgress")).all():
                if kind.endswith(".delete"):
                    job = resources.get(tx, subject) if kind == "job.delete" else None
                    if job is not None:
                        runs.delete_job_run(tx, job.parent, job.name, self.clock())
                    if kind == "workspace.delete":
                        runs.delete_workspace(tx, subject)
                    removal.remove(tx, subject, self.clock())
                elif kind.endswith(".apply"):
                    row = resources.get(tx, subject)
                    if row is not None:
                        row.properties["provisioningState"] = "Succeeded"
                        resources.update(tx, row, self.clock())
                elif kind == "job.run":
                    continue  # jobs are what they were last told to be: see job_is()
                tx.execute(sa.update(tables.task).where(tables.task.c.id == task_id).values(status="Succeeded", ended=self.clock()))

        self.db.write_now(end)

    def job_is(self, job: str, status: str) -> None:
        """Puts a job into a status, as the worker would; one that is over has no open task."""

        def change(tx: Tx) -> None:
            row = resources.get(tx, job)
            assert row is not None
            row.properties["status"] = status
            resources.update(tx, row, self.clock())
            if status in ("Completed", "Failed", "Canceled"):
                tx.execute(sa.update(tables.task).where(tables.task.c.subject == row.key, tables.task.c.status == "InProgress").values(status="Succeeded", ended=self.clock()))

        self.db.write_now(change)

    def dump(self) -> dict[str, list[Any]]:
        """Everything in the database."""

        def read(tx: Tx) -> dict[str, list[Any]]:
            return {t.name: sorted(map(repr, tx.execute(sa.select(t)).all())) for t in tables.metadata.sorted_tables}

        return self.db.read_now(read)

    @functools.cached_property
    def watch(self) -> sqlite3.Connection:
        return sqlite3.connect(str(self.db.engine.url.database))

    def state(self) -> Any:
        """What changes with every write: quicker than dump() where there is much. SQLite counts commits that wrote anything."""
        if self.kind == "sqlite":
            return self.watch.execute("pragma data_version").fetchone()

        def read(tx: Tx) -> dict[str, list[Any]]:
            r = tables.resource.c
            wanted = {t.name: sa.select(t) for t in tables.metadata.sorted_tables} | {"resource": sa.select(r.key, r.etag)}
            return {name: sorted(map(repr, tx.execute(query).all())) for name, query in wanted.items()}

        return self.db.read_now(read)

    def close(self) -> None:
        self.runner.close()
        self.db.close()


def versioned(path: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{VERSION}"


def make_plane(url: str, folder: Path, *, real: bool = False, **settings: Any) -> Plane:
    """url: of an empty database. real: with the real authority and first start, driven with the first principal's token."""
    chosen = merge([Source("flags", {"data_dir": str(folder / "data"), "database_url": url.replace("+psycopg", ""), **settings})]).settings
    for place in (chosen.layout.root, *chosen.layout.folders):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = Database(chosen.database_url)
    tables.metadata.create_all(db.engine)
    clock, runner = Clock(), asyncio.Runner()
    kind = "sqlite" if db.is_sqlite else "postgres"
    if real:
        chain = build_chain(chosen, db)
        authority: Any = chain.services.authority
        first = json.loads(chosen.layout.principal_file.read_bytes())
        token = authority.token_for(Caller(first["object_id"], "local-admin", tenant=first["tenant_id"], app_id=first["client_id"]), "https://management.azure.com/")
        return Plane(chain, db, clock, authority, kind, folder, runner, token)
    authority = StandInAuthority()
    services = build_services(chosen, db, now=clock, master_key=MASTER_KEY, authority=authority)
    chain = Chain(services, all_routes(services), fallback=ARM)
    db.write_now(seed_platform, SUBSCRIPTION, Caller(OWNER, OWNER, tenant="tenant"), chosen, clock())
    return Plane(chain, db, clock, authority, kind, folder, runner)

