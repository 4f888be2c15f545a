"""The ASGI application of a worker: routes, request ids, body limit, CORS, and streaming of replies.

Scoring runs in the event loop itself, one request at a time, as the reference server does with its worker processes:
it is by far the fastest way, and run() sees the main thread. Probes are answered by the master meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any, Awaitable, Callable, Dict
from urllib.parse import parse_qs

from .logs import AccessLog, log
from .messages import Header, Model, Reply, Request, message
from .swagger import VERSIONS, document

MAX_ID = 100  # characters of a request id that is taken over from the caller
SERVER_VERSION = b"lazward-serve/1"
SCORE_METHODS = ("POST", "GET", "HEAD", "OPTIONS")

Send = Callable[[Dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Dict[str, Any]]]


class App:
    """`model` scores; `max_body` in bytes; `cors_origins` may hold "*"."""

    def __init__(self, model: Model, max_body: int, cors_origins: tuple, access_log: AccessLog | None = None) -> None:
        self._model = model
        self._max_body = max_body
        self._origins = frozenset(cors_origins)
        self._access_log = access_log or AccessLog()
        self._swagger: dict[str, bytes] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the model server speaks HTTP, not {scope['type']}")
        started = time.perf_counter()
        request = Request(scope["method"], scope["path"], scope["query_string"], scope["headers"], b"", scope)
        ids, reply = _request_ids(request)
        if reply is None:
            reply = await self._read_body(request, receive)
        if reply is None:
            reply = self._route(request)
            if not isinstance(reply, Reply):
                reply = await reply
        size = await self._send(request, reply, ids, send)
        self._access_log(request.method, request.path, reply.status, time.perf_counter() - started, size)

    async def _read_body(self, request: Request, receive: Receive) -> Reply | None:
        """Fills request.body; a reply when the body is too large."""
        declared = request.header(b"content-length")
        if declared and declared.isdigit() and int(declared) > self._max_body:
            return self._too_large()
        event = await receive()
        if not event.get("more_body"):
            request.body = event.get("body", b"")
            return None if len(request.body) <= self._max_body else self._too_large()
        body = bytearray(event.get("body", b""))
        while event.get("more_body"):
            if len(body) > self._max_body:
                return self._too_large()
            event = await receive()
            body += event.get("body", b"")
        request.body = bytes(body)
        return None if len(body) <= self._max_body else self._too_large()

    def _too_large(self) -> Reply:
        reply = message(413, f"The request body is larger than {self._max_body} bytes, the limit of this deployment.")
        reply.headers.append((b"connection", b"close"))
        return reply

    def _route(self, request: Request) -> Any:
        path, method = request.path, request.method
        if path == "/score":
            if method in SCORE_METHODS:
                return self._model.score(request)
        elif path == "/":
            if method in ("GET", "HEAD", "OPTIONS"):
                return Reply(200, b"Healthy", b"text/html; charset=utf-8")
        elif path == "/swagger.json":
            if method in ("GET", "HEAD", "OPTIONS"):
                return self._swagger_reply(request)
        else:
            return message(404, f"There is nothing at {path}. A deployment answers /score, /swagger.json and /.")
        return message(405, f"The method {method} is not allowed for {path}.")

    def _swagger_reply(self, request: Request) -> Reply:
        version = parse_qs(request.query.decode("latin-1")).get("version", ["2"])[-1]
        if version not in VERSIONS:
            return message(404, f"There is no swagger of version {version[:20]}; there are: {', '.join(VERSIONS)}.")
        if version not in self._swagger:
            self._swagger[version] = json.dumps(document(version, *self._model.swagger())).encode()
        return Reply(200, self._swagger[version])

    async def _send(self, request: Request, reply: Reply, ids: list[Header], send: Send) -> object:
        """Sends the reply; returns the body's length in bytes, "stream" for a streamed one."""
        body = reply.body
        headers = ids + reply.headers
        if reply.content_type is not None:
            headers.append((b"content-type", reply.content_type))
        if reply.run_failed is not None:
            headers.append((b"x-ms-run-function-failed", b"True" if reply.run_failed else b"False"))
        if reply.run_ms is not None:
            headers.append((b"x-ms-run-fn-exec-ms", b"%.3f" % reply.run_ms))
        if reply.status >= 400:
            # The gateway answers 424 for these, as Azure does; the headers keep what happened.
            headers.append((b"ms-azureml-model-error-statuscode", b"%d" % reply.status))
            headers.append((b"ms-azureml-model-error-reason", b"model_error"))
        if self._origins:
            headers += self._cors(request)
        if isinstance(body, bytes):
            headers.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
            return len(body)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        try:
            for chunk in body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await asyncio.sleep(0)  # lets the loop write the chunk before the next one is waited for
            await send({"type": "http.response.body", "body": b""})
        except Exception:
            # The status is out already: cutting the connection is the only way left to say that it failed.
            log.exception("The reply of run() failed while it was streamed")
            raise
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
        return "stream"

    def _cors(self, request: Request) -> list[Header]:
        origin = request.header(b"origin")
        if origin is None or not ("*" in self._origins or origin in self._origins):
            return []
        headers = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]
        if request.method == "OPTIONS" and request.header(b"access-control-request-method"):
            headers.append((b"access-control-allow-methods", b"GET, OPTIONS, POST"))
            wanted = request.header(b"access-control-request-headers")
            if wanted:
                headers.append((b"access-control-allow-headers", wanted.encode("latin-1")))
        return headers


def _request_ids(request: Request) -> Any:
    """The id headers of the answer, and an error reply where one sent by the caller is too long.

    x-request-id is taken over or made. The other two stand in for one another, and x-request-id for x-ms-request-id.
    """
    own = theirs = client = None
    for key, value in request.headers:
        if key == b"x-request-id":
            own = value
        elif key == b"x-ms-request-id":
            theirs = value
        elif key == b"x-ms-client-request-id":
            client = value
    headers = [(b"x-ms-server-version", SERVER_VERSION)]
    error = None
    for name, value in ((b"x-request-id", own), (b"x-ms-request-id", theirs), (b"x-ms-client-request-id", client)):
        if value is not None and len(value) > MAX_ID:
            error = message(431, f"{name.decode()} must not be longer than {MAX_ID} characters.")
            return [*headers, (b"x-request-id", str(uuid.uuid4()).encode())], error
    own = own or str(uuid.uuid4()).encode()
    headers += [(b"x-request-id", own), (b"x-ms-request-id", theirs or client or own)]
    echoed = client or theirs
    if echoed:
        headers.append((b"x-ms-client-request-id", echoed))
    return headers, error
