"""One Envoy for the session, and model servers that run real scoring scripts."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lazward.apps.serving.gateway import Gateway
from lazward.domain.serving import DeploymentState
from lazward.execution.serving import Service, probe_socket, process_spec, read_status, worker_sockets
from tests.execution.runtime.serve.processes import DEADLINE_S, wait_for


@pytest.fixture(scope="session")
def folder():
    """Short, for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="lz-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def certificate(folder):
    """(certificate, key) PEM files for localhost."""
    return write_certificate(folder / "tls")


@pytest.fixture
def make_certificate():
    return write_certificate


def write_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


@pytest.fixture(scope="session")
def envoy(folder, certificate):
    """(gateway, base URL) of a running Envoy."""
    gateway = Gateway(folder / "gw", "127.0.0.1", free_port(), *certificate)
    gateway.prepare()
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(gateway.argv(threads=1), stdout=log, stderr=log)
    try:
        asyncio.run(gateway.wait_running())
        yield gateway, f"https://localhost:{gateway.port}"
    finally:
        process.terminate()
        process.wait()
    assert "[critical]" not in (folder / "envoy.log").read_text()


@pytest.fixture
def gateway(envoy):
    return envoy[0]


@pytest.fixture
def client(envoy, certificate):
    """An async HTTP client on the gateway."""
    context = ssl.create_default_context(cafile=certificate[0])
    limits = httpx2.Limits(max_connections=100)
    return httpx2.AsyncClient(base_url=envoy[1], verify=context, timeout=30, limits=limits)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """A model server that runs `script`."""

    def __init__(self, folder: Path, name: str, script: str, workers: int, timeout_s: float, env: dict[str, str]) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        (self.folder / "score.py").write_text(script)
        self.service = Service(
            python=Path(sys.executable),
            socket=self.folder / "s",
            state=self.folder / "state.json",
            log=self.folder / "log",
            app_root=self.folder,
            entry_script="score.py",
            workers=workers,
            timeout_s=timeout_s,
            grace_s=10,
            env={"HOME": str(self.folder), **env},
        )
        spec = process_spec(self.service)
        with open(spec.log, "ab") as log:
            self.process = subprocess.Popen(spec.argv, env=dict(spec.env), stdout=log, stderr=log, cwd=self.folder)

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.log()
            return self.status is not None and all(worker.ready for worker in self.status.workers)

        wait_for(ready, self.log)

    @property
    def status(self):
        return read_status(self.service.state)

    def log(self) -> str:
        return Path(self.service.log).read_text()

    def deployment(self, **more) -> DeploymentState:
        values = {"timeout_s": self.service.timeout_s, "max_parallel": 64, **more}
        return DeploymentState(worker_sockets(self.service), probe_socket(self.service), **values)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def serve(folder):
    """serve(script, workers=1, timeout_s=5) starts a model server; ready=False does not wait for it."""
    servers = []

    def start(script: str, workers: int = 1, timeout_s: float = 5.0, ready: bool = True, env=None) -> Server:
        name = f"m{len(list(folder.iterdir()))}"
        server = Server(folder, name, script, workers, timeout_s, env or {})
        servers.append(server)
        if ready:
            server.wait_ready()
        return server

    yield start
    for server in servers:
        server.stop()

