"""A connection that does as little work of its own as Python can: prepared requests out, whole answers in; and how many of them a second."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator


class Connection:
    """One kept connection to a port of this machine; TLS where `ca` (a file of certificates) is given."""

    def __init__(self, port: int, ca: str = ""):
        plain = socket.create_connection(("127.0.0.1", port), 600)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname="localhost") if ca else plain

    def send(self, request: bytes) -> bytes:
        """Returns the body. RuntimeError for an answer that is not 200 or 201."""
        self.socket.sendall(request)
        data = self.socket.recv(65536)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].lower() + b"\r\n"
        if b"content-length:" in head:
            at = head.index(b"content-length:") + 15
            body = self._exactly(data[end + 4 :], int(head[at : head.index(b"\r\n", at)]))
        elif b"chunked" in head:
            body = self._chunks(data[end + 4 :])
        else:
            raise RuntimeError(f"an answer of unknown length: {head!r}")
        if head[9:12] not in (b"200", b"201"):
            raise RuntimeError((head + b"\n" + body).decode("utf-8", "replace")[:2000])
        return body

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, data: bytes, length: int) -> bytes:
        pieces, have = [data], len(data)
        while have < length:
            pieces.append(self._more())
            have += len(pieces[-1])
        return b"".join(pieces)

    def _chunks(self, data: bytes) -> bytes:
        body: list[bytes] = []
        while True:
            while (end := data.find(b"\r\n")) < 0:
                data += self._more()
            size = int(data[:end].split(b";")[0], 16)
            data = self._exactly(data[end + 2 :], size + 2)
            if size == 0:
                return b"".join(body)
            body.append(data[:size])
            data = data[size + 2 :]

    def _more(self) -> bytes:
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise RuntimeError("the server closed the connection")
        return piece


def request(method: str, path: str, port: int, body: bytes = b"", token: str = "") -> bytes:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{authorization}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def rate(connections: list[Connection], requests: Iterator[bytes], seconds: float) -> float:
    """Answers per second to all connections together, each sending its next request when it has its answer."""
    counts, failures = [0] * len(connections), []
    until = time.perf_counter() + seconds

    def run(at: int) -> None:
        try:
            while time.perf_counter() < until:
                connections[at].send(next(requests))
                counts[at] += 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(connections))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    if failures:
        raise failures[0]
    return sum(counts) / took
