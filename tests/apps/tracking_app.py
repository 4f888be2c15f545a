"""The MLflow and history surfaces over a real database and blob store, with a stand-in for identity: tokens are names, and a name's
rights are a list. Driven in process (client()) or over TLS (serve(), in tests/conformance)."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2

from lazward.apps.chain import Chain, Surface, render_arm_error
from lazward.apps.control import build_services
from lazward.apps.history.routes import history_routes
from lazward.apps.history.runs import Change
from lazward.apps.mlflow.routes import mlflow_routes
from lazward.apps.model_registry import StoredModels
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.domain.settings import Source, merge
from lazward.storage.blobs.local_extents import LocalExtents
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database
from tests.storage.tracking_data import KEY, WORKSPACE

OWNER = "owner"
PLAIN = f"/mlflow/plain{WORKSPACE}"
PLUGIN = f"/mlflow/v2.0{WORKSPACE}"
HISTORY = f"/history/v1.0{WORKSPACE}"
MASTER_KEY = b"k" * 32


class Authority:
    """Bearer NAME is NAME, when it is known. A right is (action pattern, scope prefix)."""

    def __init__(self) -> None:
        self.rights: dict[str, list[tuple[str, str]]] = {OWNER: [("*", "/")]}
        self.callers: dict[str, Caller] = {}

    async def authenticate(self, authorization: str | None) -> Caller:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.rights:
            raise ArmError(401, "InvalidAuthenticationToken", "The token is missing or not valid.", headers={"WWW-Authenticate": "Bearer"})
        return self.callers.get(token) or Caller(id=token, name=token)

    async def allowed(self, caller: Caller, action: str, scope: str, *, data: bool = False) -> bool:
        token = next((t for t, c in self.callers.items() if c.id == caller.id), caller.id)
        return any(fnmatch.fnmatch(action.lower(), a.lower()) and (scope.lower() + "/").startswith(s.lower()) for a, s in self.rights.get(token, ()))

    async def has_role_below(self, caller: Caller, scope: str) -> bool:
        return bool(self.rights.get(caller.id))


class Jobs:
    """JobsPort in memory: put documents into `docs`."""

    def __init__(self) -> None:
        self.docs: dict[tuple[str, str], dict[str, Any]] = {}

    async def get(self, workspace: str, run_id: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.docs.get((workspace, run_id)))

    async def patch(self, workspace: str, run_id: str, change: Change, caller: Caller) -> None:
        doc = self.docs[workspace, run_id]
        doc.update({k: v for k, v in (("isArchived", change.hidden), ("displayName", change.display_name), ("description", change.description)) if v is not None})
        for name in ("tags", "properties"):
            doc[name] = {**doc.get(name, {}), **(getattr(change, name) or {})}

    async def token(self, workspace: str, run_id: str) -> tuple[str, float] | None:
        doc = self.docs.get((workspace, run_id))
        return ("fresh-token", 1_900_000_000.0) if doc and doc["status"] == "Running" else None

    async def services(self, workspace: str, run_id: str, node: str) -> dict[str, dict[str, Any]] | None:
        return {"my_jupyter": {"type": "jupyter_lab", "endpoint": "https://x", "status": "Running"}} if (workspace, run_id) in self.docs else None


class App:
    def __init__(self, db: Database, folder: Path, now: Callable[[], float], port: int = 8443):
        self.authority = Authority()
        self.db = db
        self.jobs = Jobs()
        self.blobs = BlobStore(db, LocalExtents(folder / "extents"), now)
        settings = merge([Source("test", {"data_dir": str(folder), "port": port})]).settings
        self.models = StoredModels(db, settings)
        self.services = build_services(settings, db, now=now, master_key=MASTER_KEY, authority=self.authority, blobs=self.blobs, jobs=self.jobs, models=self.models)
        self.chain = Chain(self.services, self.routes(), fallback=Surface("arm", render_arm_error))

    def routes(self) -> list[Any]:
        return [*mlflow_routes(self.services), *history_routes(self.services)]

    def client(self, token: str = OWNER) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.chain), base_url="https://localhost:8443", headers={"authorization": f"Bearer {token}"})

    async def raw(self, method: str, path: str, body: bytes = b"", token: str = OWNER) -> tuple[int, bytes]:
        """A request for a path as it stands: client libraries tidy dots away before they send it."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost:8443"), (b"authorization", f"Bearer {token}".encode()), (b"content-length", str(len(body)).encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "scheme": "https", "server": ("localhost", 8443), "client": ("127.0.0.1", 1), "root_path": "",
        }
        await self.chain(scope, receive, send)
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])

    def put_job(self, name: str, **facts: Any) -> None:
        self.jobs.docs[KEY, name] = {"jobType": "Command", "status": "Running", "displayName": name, "tags": {}, "properties": {}, "isArchived": False, **facts}
