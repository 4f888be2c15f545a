from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from lazward.apps import http_server
from lazward.apps.http_server import JOINED, OneWrite, Server
from tests.live import make_certificate

GRACE_S = 10


@pytest.fixture
def running(tmp_path):
    """(port, certificate, server, its thread, begun, go): a server whose path /slow answers when `go` is set."""
    begun, go = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            begun.set()
            await asyncio.to_thread(go.wait)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    certificate, key = make_certificate(tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, ssl_certfile=str(certificate), ssl_keyfile=str(key), http="httptools", loop="uvloop", lifespan="off", timeout_graceful_shutdown=GRACE_S, log_config=None)
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield listener.getsockname()[1], str(certificate), server, thread, begun, go
    go.set()
    server.should_exit = server.force_exit = True
    thread.join()


def connect(port: int, certificate: str) -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=certificate), timeout=GRACE_S)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"ok"
    return connection


def test_an_idle_connection_does_not_hold_up_the_end(running, caplog):
    port, certificate, server, thread, _, _ = running
    connection = connect(port, certificate)
    with caplog.at_level(logging.ERROR, "uvicorn.error"):
        server.should_exit = True
        thread.join(GRACE_S + 5)
    assert not thread.is_alive()
    assert "graceful shutdown exceeded" not in caplog.text
    connection.close()


def test_a_request_that_is_being_answered_gets_its_answer(running):
    port, certificate, server, thread, begun, go = running
    connection = connect(port, certificate)
    connection.request("GET", "/slow")
    assert begun.wait(GRACE_S)
    server.should_exit = True
    while any(s.sockets for s in server.servers):  # it has begun to end
        time.sleep(0.01)
    go.set()
    assert connection.getresponse().read() == b"ok"
    connection.close()
    thread.join(GRACE_S + 5)
    assert not thread.is_alive()


BIG = b"x" * (8 << 20)  # more than sockets hold: its end stays with the server until the client reads


class Ending:
    """A server whose /slow answers when `go` is set, whose /big is large, and which waits for its clients for ever."""

    def __init__(self, folder: Path):
        certificate, key = make_certificate(folder)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.asked, self.go = threading.Event(), threading.Event()
        self.looks = 0  # at a connection, while it ends
        self.server = http_server.Server(uvicorn.Config(
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

    is_idle = http_server._is_idle
    monkeypatch.setattr(http_server, "_is_idle", looking)
    monkeypatch.setattr(http_server, "TOLD_S", 0.0)
    monkeypatch.setattr(http_server, "_LOOK_S", 0.005)
    yield made
    made.go.set()
    made.server.should_exit = made.server.force_exit = True
    made.thread.join(10)


def test_a_connection_whose_last_answer_ends_meanwhile_does_not_hold_up_the_end_either(ending: Ending) -> None:
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


class Written:
    """A transport that remembers what was written, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class TestOneWrite:
    async def test_head_and_body_go_together(self):
        to = Written()
        transport = OneWrite(to, asyncio.get_running_loop())
        transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
        transport.write(b"body")
        transport.write(b"more")
        await asyncio.sleep(0)
        assert to.pieces == [b"HTTP/1.1 200 OK\r\n\r\nbody", b"more"]

    async def test_a_head_whose_body_takes_its_time_does_not_wait_for_it(self):
        to = Written()
        transport = OneWrite(to, asyncio.get_running_loop())
        transport.write(b"head")
        assert to.pieces == []
        await asyncio.sleep(0)
        transport.write(b"body")
        assert to.pieces == [b"head", b"body"]

    async def test_nothing_is_lost_when_it_closes(self):
        to = Written()
        transport = OneWrite(to, asyncio.get_running_loop())
        transport.write(b"head")
        transport.close()
        await asyncio.sleep(0)
        assert to.pieces == [b"head"] and transport.is_closing()

    async def test_what_allows_a_client_to_go_on_goes_at_once(self):
        to = Written()
        transport = OneWrite(to, asyncio.get_running_loop())
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert len(to.pieces) == 1
        transport.write(b"head")
        transport.write(b"body")
        assert to.pieces[1:] == [b"headbody"]

    async def test_a_large_body_is_not_copied(self):
        to = Written()
        transport = OneWrite(to, asyncio.get_running_loop())
        transport.write(b"head")
        transport.write(body := b"x" * (JOINED + 1))
        assert to.pieces[0] == b"head" and to.pieces[1] is body
