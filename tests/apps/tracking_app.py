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
from lazward.apps.mlflow.models_port import ModelVersion, RegisteredModel
from lazward.apps.mlflow.routes import mlflow_routes
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


class Models:
    """ModelRegistryPort in memory."""

    def __init__(self, now: Callable[[], float], account: str):
        self._now, self._account = now, account
        self._models: dict[tuple[str, str], RegisteredModel] = {}
        self._versions: dict[tuple[str, str, str], ModelVersion] = {}

    async def models(self, workspace: str) -> list[RegisteredModel]:
        return [copy.deepcopy(m) for (w, _), m in self._models.items() if w == workspace]

    async def model(self, workspace: str, name: str) -> RegisteredModel | None:
        return copy.deepcopy(self._models.get((workspace, name)))

    async def create_model(self, workspace: str, name: str, description: str, tags: dict[str, str], caller: Caller) -> RegisteredModel | None:
        if (workspace, name) in self._models:
            return None
        self._models[workspace, name] = RegisteredModel(name, description, tags, {}, self._now(), self._now())
        return await self.model(workspace, name)

    async def update_model(self, workspace: str, name: str, change: Any, caller: Caller) -> RegisteredModel | None:
        found = self._models.get((workspace, name))
        if found:
            change(found)
            found.updated = self._now()
        return copy.deepcopy(found)

    async def delete_model(self, workspace: str, name: str) -> bool:
        for key in [k for k in self._versions if k[:2] == (workspace, name)]:
            del self._versions[key]
        return self._models.pop((workspace, name), None) is not None

    async def versions(self, workspace: str, name: str | None = None) -> list[ModelVersion]:
        return [copy.deepcopy(v) for (w, n, _), v in self._versions.items() if w == workspace and name in (None, n)]

    async def version(self, workspace: str, name: str, version: str) -> ModelVersion | None:
        return copy.deepcopy(self._versions.get((workspace, name, version)))

    async def create_version(self, workspace: str, draft: ModelVersion, caller: Caller) -> ModelVersion:
        await self.create_model(workspace, draft.name, "", {}, caller)
        draft.version = str(1 + sum(k[:2] == (workspace, draft.name) for k in self._versions))
        self._versions[workspace, draft.name, draft.version] = draft
        return copy.deepcopy(draft)

    async def update_version(self, workspace: str, name: str, version: str, change: Any, caller: Caller) -> ModelVersion | None:
        found = self._versions.get((workspace, name, version))
        if found:
            change(found)
            found.updated = self._now()
        return copy.deepcopy(found)

    async def delete_version(self, workspace: str, name: str, version: str) -> bool:
        return self._versions.pop((workspace, name, version), None) is not None

    async def place(self, workspace: str, name: str, version: str) -> tuple[str, str, str] | None:
        found = self._versions.get((workspace, name, version))
        return (self._account, "azureml", found.uri.split("/paths/", 1)[1]) if found else None


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
        self.models = Models(now, "stws")
        settings = merge([Source("test", {"data_dir": str(folder), "port": port})]).settings
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
