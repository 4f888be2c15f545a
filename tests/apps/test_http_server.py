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


ODD = [(b"content-length", b"2"), (b"x-odd", b"a\x01b")]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, ssl.SSLContext, list[bool]]]:
    """(port, trust, taken): a server as ours is set up, whose application answers whole: 200 "ok", /large, /nothing (204) and /odd, a
    header that no server sends. taken: whether each answer went in one step."""
    taken: list[bool] = []

    async def app(scope, receive, send):
        status, body = (204, b"") if scope["path"] == "/nothing" else (200, BIG if scope["path"] == "/large" else b"ok")
        headers = ODD if scope["path"] == "/odd" else [(b"content-length", b"%d" % len(body))] if status == 200 else []
        whole = scope["extensions"][http_server.WHOLE]
        taken.append(whole(status, headers, body))
        if not taken[-1]:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    certificate, key = make_certificate(tmp_path_factory.mktemp("guarded"))
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(http_server.server_config(app, certificate=str(certificate), private_key=str(key), loop="uvloop", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()[1], ssl.create_default_context(cafile=str(certificate)), taken
    server.should_exit = server.force_exit = True
    thread.join(10)


class TestWhole:
    def ask(self, guarded, *paths: str, method: str = "GET", version: str = "1.1") -> bytes:
        """What comes back for these requests, all sent at once; the last one ends the connection."""
        port, trust, taken = guarded
        taken.clear()
        requests = [f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n{'Connection: close' if path == paths[-1] else 'X: y'}\r\n\r\n" for path in paths]
        with trust.wrap_socket(socket.create_connection(("127.0.0.1", port), 30), server_hostname="localhost") as sock:
            sock.sendall("".join(requests).encode())
            got = b""
            while piece := sock.recv(1 << 20):
                got += piece
        return got

    def test_goes_in_one_step_on_a_connection_that_is_kept(self, guarded):
        got = self.ask(guarded, "/", "/large", "/", "/end")
        assert guarded[2] == [True, True, True, False]
        assert got.count(b"HTTP/1.1 200 OK\r\n") == 4 and got.count(b"date: ") == 4 and len(got) > len(BIG)
        heads = [head for head in got.replace(BIG, b"").split(b"HTTP/1.1 ") if head]
        assert all(head.endswith(b"\r\n\r\nok") or b"content-length: %d\r\n" % len(BIG) in head for head in heads)
        assert b"connection: close" in heads[-1]

    @pytest.mark.parametrize(("path", "method", "version"), [("/nothing", "GET", "1.1"), ("/", "HEAD", "1.1"), ("/", "GET", "1.0")])
    def test_what_is_not_so_simple_goes_the_ordinary_way(self, guarded, path, method, version):
        got = self.ask(guarded, path, "/end", method=method, version=version)
        assert not guarded[2][0] and got.startswith(b"HTTP/1.1 20")

    def test_a_header_that_must_not_be_sent_is_not(self, guarded):
        got = self.ask(guarded, "/odd", "/end")
        assert guarded[2][0] is False and got == b""  # the connection ends
