"""The master's own small HTTP server, for liveness and readiness. It answers whatever the workers are doing.

GET / : 200 Healthy while a worker is ready, else 503 with the reason. GET /state : the state as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid

from .state import ServerState

READ_S = 10.0
MAX_HEAD = 64 * 1024


class ProbeServer:
    """Listens at the unix socket `path`; only the same user may connect."""

    def __init__(self, path: str, state: ServerState) -> None:
        self._path = path
        self._state = state
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        temporary = f"{self._path}.{os.getpid()}"
        self._server = await asyncio.start_unix_server(self._answer, temporary, limit=MAX_HEAD)
        os.chmod(temporary, 0o600)
        os.rename(temporary, self._path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            os.unlink(self._path)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), READ_S)
            method, path, headers = _parse(head)
            writer.write(self._reply(method, path, headers))
            await writer.drain()
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OSError):
            pass  # not HTTP, or the asker is gone
        finally:
            writer.close()

    def _reply(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        if method not in ("GET", "HEAD"):
            status, kind, body = "405 Method Not Allowed", "application/json", _message("Only GET and HEAD are allowed.")
        elif path == "/state":
            status, kind, body = "200 OK", "application/json", json.dumps(self._state.as_dict()).encode()
        elif any(worker.ready for worker in self._state.workers):
            status, kind, body = "200 OK", "text/html; charset=utf-8", b"Healthy"
        else:
            status, kind, body = "503 Service Unavailable", "application/json", _message(self._why())
        own = headers.get("x-request-id") or str(uuid.uuid4())
        lines = [
            f"HTTP/1.1 {status}",
            f"content-type: {kind}",
            f"content-length: {len(body)}",
            f"x-request-id: {own}",
            f"x-ms-request-id: {headers.get('x-ms-request-id') or headers.get('x-ms-client-request-id') or own}",
            "connection: close",
        ]
        if "x-ms-client-request-id" in headers:
            lines.append(f"x-ms-client-request-id: {headers['x-ms-client-request-id']}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if method == "HEAD" else body)

    def _why(self) -> str:
        errors = [worker.error for worker in self._state.workers if worker.error]
        reason = self._state.error or (errors[0] if errors else "the model is being loaded")
        return f"The deployment is not ready: {reason}"


def _parse(head: bytes) -> tuple[str, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()[:100]  # only ids are used
    return method, target.split("?")[0], headers


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()
