"""The HTTP server of the control plane: uvicorn, made to end when its work is done.

At its end a TLS server tells each client that it closes and waits for the client to say the same. A client that keeps a connection for
its next request (every SDK does) does not read until then, so uvicorn would wait its whole grace for nobody, and whoever asks
meanwhile waits for the next control plane as long. So a connection that has nothing more to send is cut shortly after it was told."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

TOLD_S = 0.3  # a client that listens has closed by then
_LOOK_S = 0.05


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cutting = asyncio.create_task(self._cut_idle())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_idle(self) -> None:
        loop = asyncio.get_running_loop()
        idle_since: dict[Any, float] = {}
        while True:
            now = loop.time()
            for connection in list(self.server_state.connections):
                if not _is_idle(connection):
                    idle_since.pop(connection, None)
                elif now - idle_since.setdefault(connection, now) >= TOLD_S:
                    connection.transport.abort()
            await asyncio.sleep(_LOOK_S)


def _is_idle(connection: Any) -> bool:
    """Whether every answer is written, to the last byte, to the kernel."""
    return (connection.cycle is None or connection.cycle.response_complete) and connection.transport.get_write_buffer_size() == 0
