"""What driver and workers tell each other over a socket pair: a header in JSON, and bytes (rows of results).

    driver -> worker   {"start": {...}}, {"batch": {...}}, {"stop": true}
    worker -> driver   {"is": "ready"}, {"is": "running", "items": n}, {"is": "done", "items": n, "succeeded": n} + rows,
                       {"is": "failed", "items": n, "error": text}, {"is": "broken", "error": text} (init() or the script itself)
"""

from __future__ import annotations

import json
import signal
import socket
import struct
from typing import Any, Dict, Tuple

_SIZES = struct.Struct("!IQ")  # bytes of the header, bytes after it
PIECE = 1 << 18
STACK_SIGNAL = signal.SIGUSR1  # driver -> worker: write your stack into your stderr

Message = Tuple[Dict[str, Any], bytes]


def send(to: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Raises OSError when the other side is gone."""
    text = json.dumps(header).encode()
    together = len(body) <= PIECE  # in one piece, so that the other side wakes up once
    to.sendall(_SIZES.pack(len(text), len(body)) + text + (body if together else b""))
    if not together:
        to.sendall(body)


def receive(source: socket.socket) -> Message | None:
    """Waits for one message; None at the end of the other side."""
    reader = Reader()
    while True:
        try:
            piece = source.recv(reader.wanted())
        except OSError:
            return None
        if not piece:
            return None
        for message in reader.feed(piece):
            return message


class Reader:
    """Puts messages together from the pieces they come in."""

    def __init__(self) -> None:
        self._have = bytearray()

    def wanted(self) -> int:
        """Bytes that are missing at least: whoever reads no more of a stream than this has never a piece of the next message."""
        if len(self._have) < _SIZES.size:
            return _SIZES.size - len(self._have)
        return min(PIECE, _SIZES.size + sum(_SIZES.unpack_from(self._have)) - len(self._have))

    def feed(self, piece: bytes) -> list[Message]:
        self._have += piece
        out = []
        while len(self._have) >= _SIZES.size:
            head, body = _SIZES.unpack_from(self._have)
            end = _SIZES.size + head + body
            if len(self._have) < end:
                break
            start = _SIZES.size + head
            out.append((json.loads(self._have[_SIZES.size : start].decode()), bytes(self._have[start:end])))
            del self._have[:end]
        return out
