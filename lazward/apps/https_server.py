"""uvicorn's server with an end that does not wait for clients who keep an idle connection, as all SDKs do."""

from __future__ import annotations

import socket

import uvicorn


class Server(uvicorn.Server):
    """uvicorn closes an idle TLS connection by asking the client to say good-bye, and an idle client does not listen: the server
    then took its whole grace to end, and answered nobody in that time. Requests that are answered just now are waited for."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            cycle, transport = getattr(connection, "cycle", None), getattr(connection, "transport", None)
            idle = cycle is None or cycle.response_complete
            if transport is not None and idle and not transport.get_write_buffer_size():
                transport.abort()
        await super().shutdown(sockets)
