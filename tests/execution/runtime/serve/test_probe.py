from __future__ import annotations

import asyncio
import os

import pytest

from lazward.execution.runtime.serve.probe import ProbeServer
from lazward.execution.runtime.serve.state import ServerState, WorkerState


@pytest.fixture
async def probes():
    state = ServerState(1, [WorkerState(0, "/s.0")])
    path = f"/tmp/lz-probes-{os.getpid()}"
    server = ProbeServer(path, state)
    await server.start()
    yield state, path
    await server.stop()
    assert not os.path.exists(path)


async def ask(path: str, text: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(text)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_healthy_only_with_a_ready_worker_and_else_the_reason(probes):
    state, path = probes
    request = b"GET / HTTP/1.1\r\nX-Ms-Client-Request-Id: mine\r\n\r\n"
    answer = await ask(path, request)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"is being loaded" in answer
    state.workers[0].error = "ValueError: why"
    assert b"ValueError: why" in await ask(path, request)
    state.workers[0].become("ready")
    answer = await ask(path, request)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\nHealthy")
    assert b"x-ms-request-id: mine\r\n" in answer


async def test_what_is_no_http_gets_no_answer_and_does_no_harm(probes):
    _, path = probes
    for text in (b"", b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a" * 100_000):
        assert await ask(path, text) == b""
    assert (await ask(path, b"POST / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405")
    assert (await ask(path, b"HEAD / HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
