"""The issuer, cloud metadata and ARM's authorisation over a real database, with principals of every role. In process."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2

from lazward.apps.arm.authorization import authorization_routes
from lazward.apps.arm.platform import ARM, platform_routes
from lazward.apps.chain import Chain, Route
from lazward.apps.control import build_services
from lazward.apps.metadata import metadata_routes
from lazward.apps.token.routes import token_routes
from lazward.contract.caller import Caller
from lazward.contract.envelope import timestamp
from lazward.contract.ids import ResourceId, parse
from lazward.domain.rbac_roles import OWNER
from lazward.domain.settings import Settings, Source, merge
from lazward.identity.tokens import hash_secret, new_key, new_secret
from lazward.orchestration import signing
from lazward.orchestration.authority import Authority
from lazward.storage import access, resources
from lazward.storage.access import Principal
from lazward.storage.db import Database, Tx
from lazward.storage.secrets import Vault
from lazward.storage.tables import metadata

MASTER_KEY = b"m" * 32
KEY = new_key()  # one for all tests of a process: making one takes a tenth of a second
TENANT = "0f1e2d3c-4b5a-4968-8776-655443322110"
SUB, GROUP = "11111111-1111-4111-8111-111111111111", "g"
AT_SUB = f"/subscriptions/{SUB}"
AT_GROUP = f"{AT_SUB}/resourceGroups/{GROUP}"
AT_WS = f"{AT_GROUP}/providers/Microsoft.MachineLearningServices/workspaces/w"
API = "api-version=2022-04-01"


def settings_of(**values: Any) -> Settings:
    return merge([Source("test", {"data_dir": tempfile.gettempdir(), "port": 8443, **values})]).settings


@contextlib.asynccontextmanager
async def world_in(folder: Path, *clocks: Callable[[], float], **settings: Any) -> AsyncIterator[World]:
    """A world of its own on SQLite: what depends on the database is tested on both kinds below the surfaces."""
    db = Database(f"sqlite:///{folder}/world.db")
    metadata.create_all(db.engine)
    world = World(db, *clocks, **settings)
    try:
        yield world
    finally:
        await world.client.aclose()
        db.close()


class World:
    """owner: has Owner at "/". client: HTTP in process, at https://localhost:8443."""

    def __init__(self, db: Database, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic, **settings: Any):
        self.db, self.now = db, now
        self.settings = settings_of(**settings)
        self.vault = Vault(MASTER_KEY)
        self.authority = self.another_process(clock)
        db.write_now(self._seed)
        self.secrets: dict[str, str] = {}
        self.owner = self.principal("owner", OWNER, "/")
        no_bytes: Any = SimpleNamespace()  # no surface here has any
        services = build_services(self.settings, db, now=now, master_key=MASTER_KEY, authority=self.authority, blobs=no_bytes)
        self.routes: list[Route] = [*metadata_routes(services), *token_routes(services), *authorization_routes(services), *platform_routes()]
        self.chain = Chain(services, self.routes, fallback=ARM)
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.chain, client=("127.0.0.1", 50000)), base_url="https://localhost:8443")

    def another_process(self, clock: Callable[[], float]) -> Authority:
        return Authority(
            self.db, Vault(MASTER_KEY), MASTER_KEY, base_url=self.settings.base_url, tenant=TENANT, lifetime=self.settings.access_token_lifetime,
            key_lifetime=self.settings.signing_key_lifetime, now=self.now, clock=clock,
        )

    def _seed(self, tx: Tx) -> None:
        self.vault.put(tx, f"{signing.PREFIX}{timestamp(self.now())}:{KEY[0]}", KEY[1], self.now())
        sub, group = ResourceId(SUB), ResourceId(SUB, GROUP)
        resources.insert(tx, sub, {"displayName": "S"}, self.now(), type_="microsoft.resources/subscriptions", parent="")
        resources.insert(tx, group, {"location": "local", "tags": {}, "properties": {}}, self.now(), type_="microsoft.resources/subscriptions/resourcegroups", parent=sub.key)

    def principal(self, name: str, role: str = "", scope: str = "", kind: str = "ServicePrincipal") -> Principal:
        secret = new_secret()

        def make(tx: Tx) -> Principal:
            made = access.create_principal(tx, name, kind, hash_secret(MASTER_KEY, secret), self.now())
            if role:
                access.assign(tx, scope, made.id, role, self.now())
            self.authority.changed(tx)
            return made

        made = self.db.write_now(make)
        self.secrets[made.id] = secret
        return made

    def set_job(self, name: str, status: str) -> None:
        """A job of the workspace AT_WS, with that status."""

        def write(tx: Tx) -> None:
            rid = parse(f"{AT_WS}/jobs/{name}")
            row = resources.get(tx, rid.key)
            if row is None:
                resources.insert(tx, rid, {"properties": {"status": status}}, self.now())
            else:
                row.properties["status"] = status
                resources.update(tx, row, self.now())

        self.db.write_now(write)

    def token(self, principal: Principal, audience: str = "https://management.azure.com/", **limits: str) -> str:
        caller = self.authority.caller_of(principal)
        if limits:
            caller = Caller(id=caller.id, name=caller.name, kind=caller.kind, tenant=caller.tenant, app_id=caller.app_id, **limits)
        return self.authority.token_for(caller, audience)

    def headers(self, principal: Principal, **limits: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(principal, **limits)}"}

    async def arm(self, method: str, path: str, principal: Principal | None = None, body: Any = None, query: str = API, **limits: str) -> httpx2.Response:
        """One request to ARM; by the owner unless told."""
        return await self.client.request(method, f"{path}?{query}", headers=self.headers(principal or self.owner, **limits), json=body)

    async def form(self, path: str, **fields: str) -> httpx2.Response:
        return await self.client.post(path, data=fields)
