"""The body of a request, within a limit: whole, or piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from lazward.contract.errors import ArmError


class RequestBody:
    """limit: bytes that are taken (413 beyond), None for any number. declared: the header Content-Length."""

    __slots__ = ("_declared", "_limit", "_over", "_receive", "_seen", "_whole")

    def __init__(self, receive: Receive, limit: int | None, declared: bytes):
        self._receive, self._limit, self._declared = receive, limit, declared
        self._seen, self._over = 0, False
        self._whole: bytes | None = None

    async def whole(self) -> bytes:
        if self._whole is None:
            pieces = [await self._piece()]
            while not self._over:
                pieces.append(await self._piece())
            self._whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self._whole

    async def stream(self) -> AsyncIterator[bytes]:
        if self._whole is not None:
            yield self._whole
        while not self._over:
            if piece := await self._piece():
                yield piece

    async def _piece(self) -> bytes:
        """The next piece; raises ClientDisconnect, and ArmError 413."""
        if self._limit is not None and not self._seen and self._declared.isdigit() and int(self._declared) > self._limit:
            raise _too_large(self._limit)
        if self._over:
            raise RuntimeError("the body was read already, piece by piece")
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        self._seen += len(piece)
        if self._limit is not None and self._seen > self._limit:
            raise _too_large(self._limit)
        self._over = not message.get("more_body", False)
        return piece


def _too_large(limit: int) -> ArmError:
    return ArmError(413, "RequestContentTooLarge", f"The request body is larger than the {limit} bytes accepted here.", "body")
