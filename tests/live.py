"""A server for tests with real clients: given routes behind the real Chain, uvicorn and TLS, on a free port of this machine.

    with serve(blob_routes, tmp_path) as live:
        BlobServiceClient(live.account_url("blob"), credential=..., connection_verify=live.ca)

It runs on a thread of the test's process, so tests reach the database and services too. FakeAuthority knows the tokens and grants
that a test gives it. Other tests may use all of it.
"""

from __future__ import annotations

import datetime
import fnmatch
import ipaddress
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lazward.apps.chain import Chain, Route, Surface, render_arm_error
from lazward.apps.control import build_services
from lazward.apps.http_server import server_config
from lazward.apps.services import Services
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.domain.settings import Source, merge
from lazward.storage.db import Database
from lazward.storage.tables import metadata, resource

ARM = Surface("arm", render_arm_error)
MASTER_KEY = b"m" * 32
WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
TEAM = "team.test"  # a name of our own that the certificate is good for
ACCOUNT = "lz0123456789abcdef0123"


class FakeAuthority:
    """tokens: bearer token -> caller. grants: (caller's id, pattern of actions, scope), data actions among them."""

    def __init__(self) -> None:
        self.tokens: dict[str, Caller] = {}
        self.grants: set[tuple[str, str, str]] = set()

    def add(self, token: str, *actions: str, scope: str = WORKSPACE, **facts: Any) -> Caller:
        """A caller who comes with that token and has the actions (patterns such as "*" or ".../read") at scope."""
        facts = {"id": str(uuid.uuid4()), "name": token, "tenant": str(uuid.uuid4()), **facts}
        caller = self.tokens[token] = Caller(**facts)
        self.grants.update((caller.id, action.lower(), scope.lower()) for action in actions)
        return caller

    async def authenticate(self, authorization: str | None) -> Caller:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.", headers={"WWW-Authenticate": "Bearer"})
        return self.tokens[token]

    async def allowed(self, caller: Caller, action: str, scope: str, *, data: bool = False) -> bool:
        return any(
            caller.id == who and fnmatch.fnmatch(action.lower(), what) and (scope.lower() + "/").startswith(where.rstrip("/") + "/")
            for who, what, where in self.grants
        )

    async def has_role_below(self, caller: Caller, scope: str) -> bool:
        return any(caller.id == who for who, _, _ in self.grants)


@dataclass
class Live:
    port: int
    ca: str  # path of the certificate to trust
    services: Services
    db: Database
    authority: FakeAuthority
    base_url: str = field(init=False)

    def __post_init__(self) -> None:
        self.base_url = f"https://localhost:{self.port}"

    def account_url(self, endpoint: str = "blob", account: str = ACCOUNT) -> str:
        """Path style, as `lazward env` gives it to clients."""
        return f"{self.base_url}/{account}.{endpoint}.core.windows.net"


@contextmanager
def serve(
    routes: Callable[[Services], list[Route]], folder: Path, *, db: Database | None = None, authority: FakeAuthority | None = None,
    now: Callable[[], float] = time.time, public_host: str = "localhost",
) -> Iterator[Live]:
    """routes: from the services to the routes. db: by default a fresh SQLite below folder, with a workspace WORKSPACE that has ACCOUNT."""
    own = db is None
    if db is None:
        db = Database(f"sqlite:///{folder}/live.db")
        metadata.create_all(db.engine)
    add_workspace(db)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    settings = merge([Source("test", {"data_dir": str(folder), "port": port, "public_host": public_host})]).settings
    authority = authority or FakeAuthority()
    services = build_services(settings, db, now=now, master_key=MASTER_KEY, authority=authority)
    certificate, key = make_certificate(folder)
    chain = Chain(services, routes(services), fallback=ARM)
    config = server_config(chain, certificate=str(certificate), private_key=str(key), log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the test server did not start")
            time.sleep(0.005)
        yield Live(port, str(certificate), services, db, authority)
    finally:
        server.should_exit = server.force_exit = True  # clients keep their connections open
        thread.join(10)
        listener.close()
        if own:
            db.close()


def add_workspace(db: Database, id: str = WORKSPACE, account: str = ACCOUNT) -> None:
    """A workspace's row, with the storage account that belongs to it."""
    def insert(tx):
        if tx.execute(sa.select(resource.c.seq).where(resource.c.key == id.lower())).first():
            return
        tx.execute(sa.insert(resource).values(
            key=id.lower(), id=id, type="microsoft.machinelearningservices/workspaces", parent=id.lower().rsplit("/providers", 1)[0], scope="",
            name=id.rsplit("/", 1)[-1], lookup=account, archived=False, etag="1", doc={"properties": {}}, created=0.0, updated=0.0,
        ))

    db.write_now(insert)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([
        x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        *(x509.DNSName(f"*.{kind}.core.windows.net") for kind in ("blob", "dfs")), *(x509.DNSName(f"*.{kind}.core.{TEAM}") for kind in ("blob", "dfs")),
    ])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1)).not_valid_after(today + datetime.timedelta(days=1)).add_extension(names, False)
        .add_extension(x509.BasicConstraints(True, 0), True).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "live.pem", folder / "live.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    key_path.chmod(0o600)
    return certificate_path, key_path
