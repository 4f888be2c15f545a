"""A request and a reply between the HTTP side (app.py) and what scores (scoring.py, mlflow_model.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, Tuple

Header = Tuple[bytes, bytes]
JSON_TYPE = b"application/json"


@dataclass
class Request:
    """One HTTP request, its body read. `headers` are as ASGI gives them: lower-case names, repeated ones kept."""

    method: str
    path: str  # decoded, without query
    query: bytes
    headers: list[Header]
    body: bytes
    scope: dict[str, Any]  # the ASGI scope

    def header(self, name: bytes) -> str | None:
        """The first value of a header (name in lower case), None without it."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def header_dict(self) -> dict[str, str]:
        """What run(..., request_headers) gets: names as `Content-Type`, values of repeated headers joined by commas."""
        joined: dict[str, str] = {}
        for key, value in self.headers:
            name = "-".join(part.capitalize() for part in key.decode("latin-1").split("-"))
            text = value.decode("latin-1")
            joined[name] = f"{joined[name]},{text}" if name in joined else text
        return joined


@dataclass
class Reply:
    """An answer; `body` is bytes, or an iterator of bytes to be streamed. `run_failed` None: run() was not called."""

    status: int
    body: bytes | Iterator[bytes]
    content_type: bytes | None = JSON_TYPE  # None when `headers` holds one
    headers: list[Header] = field(default_factory=list)
    run_failed: bool | None = None
    run_ms: float | None = None


class Model(Protocol):
    """What answers POST /score."""

    def score(self, request: Request) -> Any:
        """A Reply, or an awaitable of one. Raises nothing."""
        ...

    def swagger(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON schemas of input and output, each with an `example` where one is known."""
        ...


def json_reply(status: int, document: Any) -> Reply:
    return Reply(status, json.dumps(document).encode())


def message(status: int, text: str, error: str = "") -> Reply:
    """An error as scoring clients know it: {"message": text}. error: what was raised; the SDK reads it as an object with a message."""
    return json_reply(status, {"message": text, "error": {"message": error}} if error else {"message": text})
