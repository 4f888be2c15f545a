"""ARM requests per second, one client and sixteen: `python -m bench.arm`.

GET of a data version and PUT of new ones (each a transaction of its own on the disk), by a thin client that keeps its connections, in
turn with the limit: the same kind of server process (uvicorn, httptools, uvloop, TLS with the same certificate) that answers every
request with the same number of bytes and does nothing else. The client takes its share of the processors; of the limit too.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlsplit

from bench.measure import Row, alternate, main
from bench.server import Server
from bench.wire import Connection, rate, request
from lazward.domain.layout import Layout

CONSTANT = """
import socket, sys, uvicorn
body = b"x" * int(sys.argv[1])
head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]}
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send(head)
    await send({"type": "http.response.body", "body": body})
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, http="httptools", loop="uvloop", ws="none", lifespan="off", access_log=False, log_config=None, server_header=False, timeout_keep_alive=75,
    ssl_certfile=sys.argv[2], ssl_keyfile=sys.argv[3])).run(sockets=[listener])
"""


class Requests:
    """The requests themselves, as bytes; `port` is the server's, `made` the body of what is read."""

    def __init__(self, server: Server):
        self.server = server
        self.port = urlsplit(server.base).port
        self.token = server.token("https://management.azure.com")
        self.numbers = itertools.count(1)  # each next() is one step of the interpreter: no two threads get the same
        server.client().put(self._path("read", 1), self._body())
        self.get = self._request("GET", self._path("read", 1), b"")
        self.made = len(self.one(self.get))

    def one(self, asked: bytes) -> bytes:
        return Connection(self.port, self.server.env["SSL_CERT_FILE"]).send(asked)

    def gets(self) -> Iterator[bytes]:
        return itertools.repeat(self.get)

    def puts(self) -> Iterator[bytes]:
        """New versions, spread over sixteen data assets as sixteen people would."""
        body, mine = json.dumps(self._body()).encode(), uuid.uuid4().hex[:8]
        return map(lambda n: self._request("PUT", self._path(f"w{mine}{n % 16}", n), body), self.numbers)

    def _body(self) -> dict:
        return {"properties": {"dataType": "uri_folder", "dataUri": "azureml://datastores/workspaceblobstore/paths/bench/", "description": "of the benchmark"}}

    def _path(self, name: str, version: int) -> str:
        return self.server.path(f"data/{name}/versions/{version}")

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        return request(method, path, self.port, body, self.token)


@contextmanager
def constant(server: Server, size: int) -> Iterator[int]:
    """The port of a server that answers everything with `size` bytes."""
    layout = Layout(server.data_dir)
    process = subprocess.Popen([sys.executable, "-c", CONSTANT, str(size), str(layout.server_certificate), str(layout.server_key)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate()


def rows(quick: bool) -> list[Row]:
    seconds, rounds = (0.2, 1) if quick else (1.5, 5)
    with Server() as server:
        requests, ca = Requests(server), server.env["SSL_CERT_FILE"]
        connections: list[Connection] = []
        with constant(server, requests.made) as limit:
            cases: dict[str, Callable[[], float]] = {}
            for clients in (1, 16):
                ours = [Connection(requests.port, ca) for _ in range(clients)]
                its = [Connection(limit, ca) for _ in range(clients)]
                connections += [*ours, *its]
                cases |= {
                    f"limit GET {clients}": partial(rate, its, requests.gets(), seconds),
                    f"GET {clients}": partial(rate, ours, requests.gets(), seconds),
                    f"limit PUT {clients}": partial(rate, its, requests.puts(), seconds),
                    f"PUT {clients}": partial(rate, ours, requests.puts(), seconds),
                }
            found = alternate(cases, rounds)
            for connection in connections:
                connection.close()
    return [
        Row(f"ARM {verb}, {clients} client{'s' if clients > 1 else ''}", found[f"{verb} {clients}"], "a constant answer, same server and client", found[f"limit {verb} {clients}"], "/s")
        for clients in (1, 16) for verb in ("GET", "PUT")
    ]


if __name__ == "__main__":
    main(rows, __doc__)
