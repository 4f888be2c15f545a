from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from lazward.apps import server
from tests.live import make_certificate

BIG = b"x" * (8 << 20)  # more than sockets hold: its end stays with the server until the client reads


class Ending:
    """A server whose /slow answers when `go` is set, whose /big is large, and which waits for its clients for ever."""

    def __init__(self, folder: Path):
        certificate, key = make_certificate(folder)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.asked, self.go = threading.Event(), threading.Event()
        self.looks = 0  # at a connection, while it ends
        self.server = server.Server(uvicorn.Config(
            self.app, ssl_certfile=str(certificate), ssl_keyfile=str(key), interface="asgi3", http="httptools", loop="uvloop", ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=None,
        ))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.thread.start()

    async def app(self, scope, receive, send) -> None:
        if scope["path"] == "/slow":
            self.asked.set()
            while not self.go.is_set():
                await asyncio.sleep(0.005)
        body = BIG if scope["path"] == "/big" else b"done"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    def client(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self.listener.getsockname()[1], timeout=60, context=self.trust)

    def begins(self) -> None:
        """Returns when it is ending and has looked at its one connection several times."""
        self.server.should_exit = True
        while self.looks < 10:
            assert self.server.server_state.connections, "it was cut"
            threading.Event().wait(0.005)

    def stops(self) -> bool:
        """Whether it comes to its end; without help that is uvloop's 30 seconds for a client that does not answer."""
        self.server.should_exit = True
        self.thread.join(15)
        return not self.thread.is_alive()


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ending]:
    made = Ending(tmp_path)

    def looking(connection: Any) -> bool:
        made.looks += 1
        return is_idle(connection)

    is_idle = server._is_idle
    monkeypatch.setattr(server, "_is_idle", looking)
    monkeypatch.setattr(server, "TOLD_S", 0.0)
    monkeypatch.setattr(server, "_LOOK_S", 0.005)
    yield made
    made.go.set()
    made.server.should_exit = made.server.force_exit = True
    made.thread.join(10)


def test_a_client_that_only_keeps_its_connection_does_not_hold_up_the_end(ending: Ending) -> None:
    client = ending.client()
    client.request("GET", "/")
    assert client.getresponse().read() == b"done"
    assert ending.stops()


def test_a_request_that_is_being_answered_gets_its_whole_answer(ending: Ending) -> None:
    client = ending.client()
    client.request("GET", "/slow")
    assert ending.asked.wait(30)
    ending.begins()
    ending.go.set()
    assert client.getresponse().read() == b"done"
    assert ending.stops()


def test_an_answer_that_is_still_on_its_way_is_not_cut(ending: Ending) -> None:
    client = ending.client()
    client.request("GET", "/big")
    answer = client.getresponse()
    assert answer.read(1) == b"x"
    ending.begins()
    assert len(answer.read()) == len(BIG) - 1
    assert ending.stops()
