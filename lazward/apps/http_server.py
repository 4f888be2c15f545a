"""uvicorn as this server runs it: no header of a proxy is believed, and what a client may send before a request is understood has an
end, in bytes and in time. What comes after that is bounded by the route (chain.Context.stream)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from lazward.contract.errors import ArmError

MAX_HEAD = 64 * 1024  # bytes of request line and headers; a token may have 16 KiB, a signed address a few
HEAD_S = 30.0  # from a request's first byte, or from the connection, to the end of its headers
BODY_S = 300.0  # between two pieces of a body
DRAINED = 64 * 1024 * 1024  # bytes of a body that is refused already: clients such as urllib3 read the answer once they have sent it all
TOLD_S = 0.3  # from the server's good-bye to the cut, at its end; a client that listens has closed by then
_LOOK_S = 0.05
JOINED = 64 * 1024  # bytes of a body's first piece that is copied to stand behind its head
LINGER_S = 2.0  # for a refusal to be read, before the connection is cut
WHOLE = "lazward.whole"  # ASGI extension: answer(status, headers, body) sends all of an answer at once; False, and nothing, where it cannot


def server_config(app: Any, *, certificate: str, private_key: str, **more: Any) -> uvicorn.Config:
    """more: what else uvicorn.Config takes."""
    return uvicorn.Config(
        app, http=GuardedProtocol, ws="none", lifespan="off", ssl_certfile=certificate, ssl_keyfile=private_key, access_log=False, server_header=False,
        # Anybody can send X-Forwarded-For. Who guesses secrets would be another peer with each try, and a signature bound to an
        # address (sip) would hold for who names that address (S6, S8).
        proxy_headers=False, **more,
    )


class GuardedProtocol(HttpToolsProtocol):
    """One connection. Its state besides uvicorn's: bytes since the last sign of progress (a head's end, a piece of a body), and when to
    give up waiting."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._waiting_bytes = self._drained = 0
        self._progress = self._refused = self._head_is_over = False
        self._heard = self.loop.time()
        self._patience: asyncio.TimerHandle | None = None
        self._due: Callable[[], None] | None = None  # begins the waiting for what the request still lacks
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._progress, self._heard = False, self.loop.time()
        self._most_head = self._waiting_bytes + len(data)
        super().data_received(data)
        self._waiting_bytes = 0 if self._progress else self._most_head
        if self._due is not None and not self._refused:  # most requests come whole, and nobody waits for anything
            self._due()
            self._due = None
        if self._waiting_bytes > MAX_HEAD and not self._refused:
            self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_is_over, self._drained = False, 0
        if self._patience is None:
            self._due = self._wait_for_head

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_is_over:  # what comes behind a body (a trailer) is no header, least of all one that says who calls
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._progress = self._head_is_over = True
        if self._most_head > MAX_HEAD and len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD:
            self._refuse()
            raise ValueError("the head of the request is too large")  # ends the parser's work on this connection
        self._stop_waiting()
        super().on_headers_complete()
        self.scope["extensions"] = {WHOLE: partial(self._answer_whole, self.cycle)}  # type: ignore[typeddict-item]
        self.cycle.transport = OneWrite(self.transport, self.loop)  # type: ignore[assignment]
        self._due = self._wait_for_body

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)
        if self.cycle.response_complete:
            self._drained += len(body)
            if self._drained > DRAINED:
                self.transport.abort()

    def on_message_complete(self) -> None:
        self._progress = True
        self._stop_waiting()
        super().on_message_complete()

    def _answer_whole(self, cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """What cycle.send() does with an answer's head and its body, in one step; headers must have the body's length. Most answers are
        small JSON, of which the two messages take longer than all else that uvicorn does."""
        if cycle.response_started or cycle.disconnected or not cycle.keep_alive or self.flow.write_paused or cycle.scope["method"] == "HEAD" or status < 200 or status in (204, 304):
            return False
        if HEADER_VALUE_RE.search(b"\t".join([value for _, value in headers])):
            return False
        lines = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n")
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        if len(body) <= JOINED:
            lines.append(body)
        self.transport.write(b"".join(lines))
        if len(body) > JOINED:
            self.transport.write(body)
        cycle.message_event.set()
        cycle.on_response()
        del cycle.scope["extensions"]  # type: ignore[typeddict-item] - they lead back to the cycle: nothing but the collector would free it
        return True

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            self._refused = True
            self._answer(400, "Bad Request", ArmError(400, "BadRequest", "What was sent is no HTTP/1.1 request."))

    def _refuse(self) -> None:
        self._refused = True
        self._answer(431, "Request Header Fields Too Large", ArmError(431, "RequestHeadersTooLarge", f"The address and headers of a request have at most {MAX_HEAD} bytes."))

    def _answer(self, status: int, phrase: str, error: ArmError) -> None:
        body = msgspec.json.encode(error.body())
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\nx-ms-error-code: {error.code}\r\n\r\n"
        self._stop_waiting()
        self.transport.write(head.encode() + body)
        # Not close(): a TLS connection that is closed reads on, until the other side has said goodbye too.
        self.transport.pause_reading()
        self.loop.call_later(LINGER_S, self.transport.abort)

    # ---- patience ----------------------------------------------------------------------------------------------------------

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_S, self.transport.abort)

    def _wait_for_body(self) -> None:
        self._patience = self.loop.call_later(BODY_S, self._look_after_body)

    def _stop_waiting(self) -> None:
        self._due = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _look_after_body(self) -> None:
        """Ends a connection whose body has stopped coming; one that we do not read from is not at fault."""
        left = self._heard + BODY_S - self.loop.time()
        if self.flow.read_paused:
            left = BODY_S
        elif left <= 0:
            self.transport.abort()
            return
        self._patience = self.loop.call_later(left, self._look_after_body)


class OneWrite:
    """A transport that sends the head of an answer together with the first piece of its body: one TLS record and one system call instead
    of two, which is a tenth of the time of a small answer. A head whose body takes longer goes when the loop comes round."""

    __slots__ = ("_head", "_loop", "_transport", "_was_head")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport, self._loop = transport, loop
        self._head = b""
        self._was_head = False

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) > JOINED:
                self._transport.write(head)
                self._transport.write(data)
            else:
                self._transport.write(head + data)
        elif self._was_head or data.startswith(b"HTTP/1.1 100 "):
            self._transport.write(data)
        else:
            self._was_head, self._head = True, data
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Server(uvicorn.Server):
    """uvicorn closes an idle TLS connection by asking the client to say good-bye, and an idle client does not listen: the server
    then took its whole grace to end, and answered nobody in that time. So a connection with nothing more to send is cut shortly after
    it was told, also one whose last answer ends meanwhile."""

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
