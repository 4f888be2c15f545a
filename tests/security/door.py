"""The site behind a real socket: uvicorn and TLS as in production, on a thread, and requests as raw bytes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from lazward.apps.http_server import server_config
from tests.control_plane import Answer
from tests.live import make_certificate
from tests.security.site import Site

PATIENCE_S = 30


@dataclass
class Door:
    site: Site
    port: int
    context: ssl.SSLContext

    def connect(self) -> ssl.SSLSocket:
        return self.context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), PATIENCE_S), server_hostname="localhost")

    def raw(self, request: bytes) -> Answer:
        """The answer to the bytes, whatever they are; status 0 when the connection was closed without one."""
        with self.connect() as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                sock.sendall(request)
            return read(sock)

    def get(self, target: str, *headers: str, host: str = "localhost:8443", method: str = "GET", token: str = "", body: bytes = b"") -> Answer:
        """headers: whole lines."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def read(sock: socket.socket) -> Answer:
    """One answer off a connection; what has no length ends with the connection."""
    got = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while b"\r\n\r\n" not in got:
            piece = sock.recv(65536)
            if not piece:
                return Answer(0, {}, got)
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = int(headers.get("content-length", "-1"))
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while length < 0 or len(body) < length:
            piece = sock.recv(65536)
            if not piece:
                break
            body += piece
    return Answer(int(lines[0].split()[1]), headers, body)


@contextlib.contextmanager
def opened(site: Site, folder: Path) -> Iterator[Door]:
    certificate, key = make_certificate(folder)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = uvicorn.Server(server_config(site.plane.chain, certificate=str(certificate), private_key=str(key), log_level="critical", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            thread.join(0.01)
        assert server.started
        yield Door(site, listener.getsockname()[1], ssl.create_default_context(cafile=str(certificate)))
    finally:
        server.should_exit = server.force_exit = True
        thread.join(PATIENCE_S)
        listener.close()
