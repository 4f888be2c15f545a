import http.client
import logging
import socket
import ssl
import threading
import time

import pytest
import uvicorn

from lazward.apps.http_server import Server
from tests.live import make_certificate

GRACE_S = 10


@pytest.fixture
def running(tmp_path):
    """(port, certificate, server, its thread, begun, go): a server whose path /slow answers when `go` is set."""
    begun, go = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        import asyncio

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
