"""Runs the application on uvicorn, at a listening socket."""

from __future__ import annotations

import asyncio
import inspect
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import App

# The gateway closes idle connections, never the worker: else a request could meet a connection that is just being closed.
KEEP_ALIVE_S = 24 * 3600


class Cork:
    """A transport that sends what is written in one turn of the event loop by one system call.

    uvicorn writes the head and the body of an answer apart. Together they reach the gateway as a whole or, when the process
    is killed, not at all; and it is faster.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._call_soon = asyncio.get_event_loop().call_soon

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            data, self._parts = b"".join(self._parts), []
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CorkedProtocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(Cork(transport))  # type: ignore[arg-type]


def serve(app: App, listener: socket.socket, grace_s: float) -> None:
    """Returns after a TERM, when the requests under way are answered, or after grace_s."""
    options: dict[str, Any] = {
        "http": CorkedProtocol,
        "lifespan": "off",
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "date_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": max(1, round(grace_s)),
        "log_level": "warning",
    }
    # The environment may hold an old uvicorn: what it does not know yet is left out.
    known = inspect.signature(uvicorn.Config.__init__).parameters
    config = uvicorn.Config(app, **{name: value for name, value in options.items() if name in known})
    uvicorn.Server(config).run(sockets=[listener])
