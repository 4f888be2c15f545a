"""S19: whatever is sent, memory and time stay bounded, the answer is an error with its name, and the server goes on answering.

Below: tests/apps/mlflow/test_memory_search.py (LIKE), tests/contract/test_json_body.py, tests/cli/test_archive.py (bombs in a backup),
tests/domain/test_resource.py (aliases in YAML), tests/domain/test_rbac.py (patterns of roles).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest

from lazward.apps import http_server
from lazward.apps.http_server import MAX_HEAD
from tests.control_plane import versioned
from tests.security.door import Door, read
from tests.security.site import Site

MIB = 1 << 20


def still_answers(door: Door) -> None:
    assert door.get("/healthz").status == 200
    assert door.get(versioned(door.site.own), token=door.site.token("boss")).status == 200


class Endless:
    """A connection on which more is sent until the server has had enough."""

    def __init__(self, door: Door):
        self.sock = door.connect()
        self.sent = 0

    def send(self, first: bytes, pieces: Iterator[bytes], most: int) -> int:
        """The bytes that went out until the other side closed, or `most`."""
        try:
            self.sock.sendall(first)
            for piece in pieces:
                if self.sent >= most:
                    break
                self.sock.sendall(piece)
                self.sent += len(piece)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError, TimeoutError):
            pass
        return self.sent


def forever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


HEADS: dict[str, tuple[bytes, Callable[[], Iterator[bytes]]]] = {
    "an address": (b"GET /", lambda: forever(b"a" * 8192)),
    "a query": (b"GET /healthz?", lambda: forever(b"a=1&" * 2048)),
    "one header": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", lambda: forever(b"a" * 8192)),
    "many headers": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", lambda: forever(b"X-Name: value\r\n" * 512)),
    "a header's name": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", lambda: forever(b"X" * 8192)),
    "a folded header": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n", lambda: forever(b" b\r\n" * 2048)),
    "blank lines": (b"", lambda: forever(b"\r\n" * 4096)),
    "a chunk's extension": (b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;", lambda: forever(b"a=b;" * 2048)),
    "trailers": (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", lambda: forever(b"X-Name: value\r\n" * 512)),
}


@pytest.mark.parametrize("what", HEADS)
def test_s19_what_comes_before_and_around_a_body_has_an_end(door: Door, what: str):
    first, pieces = HEADS[what]
    endless = Endless(door)
    sent = endless.send(first, pieces(), 64 * MIB)
    # What lies in the sockets' buffers on both sides went out too.
    assert sent < 16 * MIB, (what, sent)
    endless.sock.close()
    still_answers(door)


def test_s19_a_head_that_is_just_too_large_is_refused_in_words(door: Door):
    for size, status in ((MAX_HEAD // 2, 200), (MAX_HEAD + 1, 431)):
        for line in (f"X: {'a' * size}", "\r\n".join(f"X{n}: {'a' * 1000}" for n in range(size // 1000 + 1))):
            answer = door.get("/healthz", line)
            assert answer.status == status, size
    answer = door.get("/healthz?" + "a" * MAX_HEAD)
    assert (answer.status, answer.error["code"]) == (431, "RequestHeadersTooLarge")
    still_answers(door)


BODIES = ["PUT {own}/jobs/j?api-version=2025-12-01", "POST /mlflow/plain{own}/api/2.0/mlflow/runs/log-batch", "POST /history/v1.0{own}/rundata", "POST {own}/jobs/j/cancel?api-version=2025-12-01",
          "POST /{tenant}/oauth2/v2.0/token", "POST /device", "POST /{account}.blob.core.windows.net/?comp=batch", "PUT /{account}.blob.core.windows.net/data/x?comp=blocklist"]


@pytest.mark.parametrize("call", BODIES)
def test_s19_a_body_without_a_length_ends_at_the_routes_limit(door: Door, call: str):
    site = door.site
    method, target = call.format(own=site.own, tenant=site.authority.tenant, account=site.account(site.own)).split(" ", 1)
    storage = ".blob." in target
    token = site.token("boss", "https://storage.azure.com/" if storage else "https://management.azure.com/")
    more = "content-type: multipart/mixed; boundary=b\r\nx-ms-version: 2023-11-03\r\n" if storage else "content-type: application/x-www-form-urlencoded\r\n"
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer {token}\r\n{more}Transfer-Encoding: chunked\r\n\r\n"
    endless = Endless(door)
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    sent = endless.send(head.encode(), forever(chunk), http_server.DRAINED + 128 * MIB)
    endless.sock.close()
    assert sent < http_server.DRAINED + 96 * MIB, sent
    polite = Endless(door)  # who stops soon gets to read why
    polite.send(head.encode(), forever(chunk), 40 * MIB)
    assert read(polite.sock).status in (400, 413)
    polite.sock.close()
    answer = door.raw(f"{method} {target} HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer {token}\r\n{more}Content-Length: {10**12}\r\n\r\n".encode())
    assert answer.status in (400, 413), answer.status
    still_answers(door)


def test_s19_deep_and_wide_json(site: Site):
    token, path = site.token("boss"), versioned(f"{site.own}/jobs/deep")
    tracking = f"/mlflow/plain{site.own}/api/2.0/mlflow/runs/search"
    for depth in (101, 1000, 100_000, 2_000_000):
        for body in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth, b'{"properties":' + b"[" * depth + b"]" * depth + b"}"):
            for target in (path, tracking):
                answer = site.plane.send("PUT" if target == path else "POST", target, body, token=token)
                assert answer.status in (400, 413), (depth, answer.status)
    for body in (b'{"properties":{"inputs":{' + b",".join(b'"i%d":{"jobInputType":"literal","value":"x"}' % n for n in range(100_000)) + b"}}}", b"[" + b"1," * 2_000_000 + b"1]", b"9" * 1_000_000, b'"' + b"\\u0061" * 1_000_000 + b'"'):
        answer = site.plane.send("PUT", path, body, token=token)
        assert answer.status in (400, 413), answer.status
    assert site.plane.send("GET", versioned(site.own), token=token).status == 200


def test_s19_many_parameters(door: Door):
    site = door.site
    token = site.token("boss")
    for query in ("&".join(f"a{n}=1" for n in range(5000)), "&" * 30000, "$filter=" + "a" * 30000, "=".join("a" * 20000)):
        for path in (f"{site.own}/jobs", f"/mlflow/plain{site.own}/api/2.0/mlflow/experiments/get"):
            assert door.get(f"{path}?api-version=2025-12-01&{query}", token=token).status in (200, 400, 404), path
    form = "&".join(f"a{n}=1" for n in range(10000)).encode()
    answer = door.get(f"/{site.authority.tenant}/oauth2/v2.0/token", "Content-Type: application/x-www-form-urlencoded", method="POST", body=form)
    assert answer.status == 413
    form = "&".join(f"a{n}=1" for n in range(1000)).encode()
    answer = door.get(f"/{site.authority.tenant}/oauth2/v2.0/token", "Content-Type: application/x-www-form-urlencoded", method="POST", body=form)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    still_answers(door)


def test_s19_batches_have_a_size(site: Site):
    token, base = site.token("boss"), f"/mlflow/plain{site.own}/api/2.0/mlflow"
    run = site.plane.send("POST", f"{base}/runs/create", {"experiment_id": "0"}, token=token).json["run"]["info"]["run_id"]
    metric = {"key": "m", "value": 1.0, "timestamp": 1, "step": 1}
    for body in (
        {"metrics": [metric] * 1001}, {"params": [{"key": f"p{n}", "value": "1"} for n in range(101)]}, {"tags": [{"key": f"t{n}", "value": "1"} for n in range(101)]},
        {"metrics": [metric] * 100_000}, {"params": [{"key": "p", "value": "x" * 2_000_000}]}, {"tags": [{"key": "k" * 300, "value": "x"}]},
    ):
        answer = site.plane.send("POST", f"{base}/runs/log-batch", {"run_id": run, **body}, token=token)
        assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer.body[:200]
    for path, body in (
        ("runs/search", {"experiment_ids": ["0"], "max_results": 10**9}), ("experiments/search", {"max_results": 10**9}), ("runs/search", {"experiment_ids": [str(n) for n in range(200_000)]}),
        ("runs/search", {"experiment_ids": ["0"], "order_by": [f"params.p{n}" for n in range(1000)]}),
    ):
        answer = site.plane.send("POST", f"{base}/{path}", body, token=token)
        assert answer.status in (200, 400), (path, answer.status, answer.body[:200])
    values = {"values": ["azureml:x:1"] * 1001}
    assert site.plane.send("POST", f"/data/v1.0{site.own}/dataversion/batchGetResolvedUris", values, token=token).status == 400
    assert site.plane.send("GET", versioned(f"{site.own}/jobs") + "&$top=999999999", token=token).status == 200
    assert site.plane.send("GET", versioned(site.own), token=token).status == 200


def test_s19_slow_clients_take_neither_threads_nor_connections_of_the_database(door: Door):
    """Two hundred who have begun a request and say no more; and everybody else is served."""
    site = door.site
    token = site.token("boss")
    half = [
        f"PUT {versioned(site.own + '/jobs/slow')} HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n{{",
        f"POST /mlflow/plain{site.own}/api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n",
        f"PUT /{site.account(site.own)}.blob.core.windows.net/azureml/slow HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer {site.token('boss', 'https://storage.azure.com/')}\r\n"
        "x-ms-blob-type: BlockBlob\r\nx-ms-version: 2023-11-03\r\nContent-Length: 100000\r\n\r\nabc",
        "GET /subscr",
    ]
    held = []
    try:
        for n in range(200):
            sock = door.connect()
            sock.sendall(half[n % len(half)].encode())
            held.append(sock)
        for n in range(20):
            made = door.get(versioned(f"{site.own}/models/quick{n}"), token=token, method="PUT", body=b'{"properties":{}}')
            assert made.status in (200, 201), made.body
        still_answers(door)
    finally:
        for sock in held:
            with contextlib.suppress(OSError, ssl.SSLError):
                sock.close()
    still_answers(door)


def test_s19_who_never_finishes_a_head_or_body_is_let_go(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_server, "HEAD_S", 0.2)
    monkeypatch.setattr(http_server, "BODY_S", 0.2)
    token = door.site.token("boss")
    body = f"PUT {versioned(door.site.own + '/jobs/slow')} HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n{{"
    for begun in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he", body.encode()):
        with door.connect() as sock:
            sock.sendall(begun)
            if b"\r\n\r\nGET" in begun:
                assert read(sock).status == 200  # the first request of the two
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                assert sock.recv(1) == b"", begun  # the other side closes; waiting for it has the sockets' own limit
    still_answers(door)


def test_s19_a_plain_text_connection_harms_nobody(door: Door):
    for junk in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 70_000, b"\x00" * 1000, b"SSH-2.0-x\r\n"):
        with socket.create_connection(("127.0.0.1", door.port), 30) as sock, contextlib.suppress(OSError):
            sock.sendall(junk)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
    still_answers(door)
