"""Blob Batch: up to 256 deletions or changes of tier in one request, each with its own proof and its own answer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import unquote

from starlette.responses import Response

from lazward.apps.blob.call import Call, parse_query
from lazward.apps.blob.surface import error_xml
from lazward.apps.blob.xml import HEAD
from lazward.contract.errors import ArmError
from lazward.domain.blobs.errors import storage_error, unsupported

MAX_PARTS = 256
MAX_BODY = 4 << 20
_BOUNDARY = re.compile(r'boundary="?([A-Za-z0-9\'()+_,./:=? -]{1,70})"?', re.IGNORECASE)
_REQUEST_LINE = re.compile(r"(DELETE|PUT) (\S+) HTTP/1\.1\Z")

Run = Callable[[Call], Awaitable[Response]]


async def batch(call: Call, run: Run) -> Response:
    """run: authorizes one call and carries it out."""
    found = _BOUNDARY.search(call.headers.get("content-type", ""))
    if not found:
        raise storage_error("InvalidHeaderValue", "A batch is multipart/mixed with a boundary.", "Content-Type")
    parts = _split(await call.body(MAX_BODY), found.group(1))
    if len(parts) > MAX_PARTS:
        raise storage_error("OutOfRangeInput", f"A batch has at most {MAX_PARTS} parts, not {len(parts)}.", "body")
    boundary = f"batchresponse_{uuid.uuid4()}"
    out = []
    for at, part in enumerate(parts):
        content_id, answer = await _one(call, part, run)
        head = [f"--{boundary}", "Content-Type: application/http", f"Content-ID: {content_id or at}", "", *_lines(answer), ""]
        out.append("\r\n".join(head).encode("latin-1") + b"\r\n" + bytes(answer.body) + b"\r\n")
    body = b"".join(out) + f"--{boundary}--\r\n".encode()
    return Response(body, 202, {"x-ms-version": call.version, "content-type": f"multipart/mixed; boundary={boundary}"})


async def _one(call: Call, part: bytes, run: Run) -> tuple[str, Response]:
    content_id = ""
    try:
        envelope, request = _two(part)
        content_id = _headers(envelope).get("content-id", "")[:20]
        if not re.fullmatch(r"\d*", content_id):
            content_id = ""
        line, _, rest = request.partition("\r\n")
        return content_id, await run(_inner(call, line, _headers(rest.partition("\r\n\r\n")[0])))
    except ArmError as error:
        body = (HEAD + error_xml(error)).encode()
        return content_id, Response(body, error.status, {"x-ms-error-code": error.code, "content-type": "application/xml"})


def _inner(call: Call, line: str, headers: dict[str, str]) -> Call:
    """The part as a request of its own, on the same account and, where the batch is a container's, the same container."""
    match = _REQUEST_LINE.match(line)
    if not match:
        raise unsupported(f"'{line[:60]}' in a batch")
    raw_path, _, query = match.group(2).partition("?")
    try:
        pieces = unquote(raw_path, errors="strict").lstrip("/").split("/")
    except UnicodeDecodeError:
        raise storage_error("InvalidUri", "The path is not UTF-8.") from None
    if re.fullmatch(rf"{call.account}\.(blob|dfs)\.core\.windows\.net", pieces[0], re.IGNORECASE):
        pieces = pieces[1:]
    container, blob = pieces[0] if pieces else "", "/".join(pieces[1:])
    if not blob or (call.container and container != call.container):
        raise storage_error("InvalidInput", "A part of a batch names a blob, within the container of the batch.")
    return Call(call.ctx, "blob", match.group(1), raw_path, parse_query(query), headers, call.account, container, blob)


def _split(body: bytes, boundary: str) -> list[bytes]:
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise storage_error("InvalidInput", "The body is not the multipart that its Content-Type says.", "body")
    return [piece.removeprefix(b"\r\n") for piece in pieces[1:-1]]


def _two(part: bytes) -> tuple[str, str]:
    text = part.decode("latin-1").removeprefix("\r\n")
    envelope, separator, request = text.partition("\r\n\r\n")
    if not separator:
        raise storage_error("InvalidInput", "A part of the batch holds no request.", "body")
    return envelope, request


def _headers(text: str) -> dict[str, str]:
    found = {}
    for line in text.split("\r\n"):
        name, separator, value = line.partition(":")
        if separator:
            found[name.strip().lower()] = value.strip()
    return found


def _lines(answer: Response) -> list[str]:
    phrase = HTTPStatus(answer.status_code).phrase
    headers = [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in answer.raw_headers if name != b"content-length"]
    return [f"HTTP/1.1 {answer.status_code} {phrase}", *headers, f"Content-Length: {len(bytes(answer.body))}"]
