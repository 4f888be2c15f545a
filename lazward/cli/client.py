"""Asks the running parts: the control plane over TLS with our own CA and nothing else trusted, the gateway by its socket.

Standard library only: health is asked for many times a second while the server starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class NoHealth(Exception):
    """The server did not answer as a healthy one; the message says what happened."""


class NoAnswer(Exception):
    """The server could not be asked; the message says what happened."""


def request(host: str, port: int, ca: Path, timeout: float, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None, limit: int = 64 << 20) -> tuple[int, bytes]:
    """One request to the control plane, over TLS with our own CA and nothing else trusted: status and body (`limit` bytes at most).
    timeout (seconds) holds for each step. Raises NoAnswer."""
    import http.client
    import socket
    import ssl

    try:
        context = ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise NoAnswer(f"{ca} cannot be read: {error}") from None
    connection = http.client.HTTPConnection("localhost", port)
    try:
        plain = socket.create_connection((reachable(host), port), timeout)
        try:
            # The certificate holds for localhost whatever address the server listens on.
            connection.sock = context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read(limit)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"no answer at {reachable(host)}:{port}: {error or type(error).__name__}") from None
    finally:
        connection.close()


def health(host: str, port: int, ca: Path, timeout: float) -> dict[str, Any]:
    """GET /healthz at the address the server listens on; timeout (seconds) holds for each step. Raises NoHealth."""
    try:
        status, body = request(host, port, ca, timeout, "GET", "/healthz", {"Accept": "application/json"}, limit=64 * 1024)
    except NoAnswer as error:
        raise NoHealth(str(error)) from None
    if status != 200:
        raise NoHealth(f"/healthz answered {status}: {body[:200].decode('utf-8', 'replace')}")
    try:
        value = json.loads(body)
    except ValueError:
        raise NoHealth(f"/healthz answered no JSON: {body[:200].decode('utf-8', 'replace')}") from None
    return value if isinstance(value, dict) else {"value": value}


def gateway_is_live(admin_socket: Path, timeout: float) -> bool:
    """Whether Envoy says, at its admin socket, that it takes requests."""
    import http.client
    import socket

    connection = http.client.HTTPConnection("admin")
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout)
        connection.sock.connect(str(admin_socket))
        connection.request("GET", "/ready")
        return connection.getresponse().read(64).startswith(b"LIVE")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable(host: str) -> str:
    """Where to connect to for a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
