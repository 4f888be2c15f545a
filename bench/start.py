"""`lazward up` to a server that answers: `python -m bench.start`.

On a fresh data dir (keys, certificates, database and first principal are made) and on a used one, in turn with a bare Python that imports
the three largest libraries of the control plane. "all parts": `lazward up --detach` has returned: control plane and worker are ready.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Row, alternate, main
from bench.server import Server, until

BARE = (sys.executable, "-c", "import uvicorn, starlette, sqlalchemy")


def rows(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="lz") as folder:
        used = Server(Path(folder, "used"))
        up(used)
        found = alternate({"fresh": lambda: fresh(Path(folder, "fresh")), "bare": bare, "used": lambda: up(used)}, 1 if quick else 7)
    against = "a bare `python -c 'import uvicorn, starlette, sqlalchemy'`"
    return [
        Row(f"`lazward up`, {kind} data dir, to {what}", [sample[at] for sample in found[kind]], against, found["bare"], "s", "at most 2 s")
        for kind in ("fresh", "used") for at, what in enumerate(("the first answer", "all parts ready"))
    ]


def bare() -> float:
    began = time.perf_counter()
    subprocess.run(BARE, check=True)
    return time.perf_counter() - began


def fresh(folder: Path) -> tuple[float, float]:
    try:
        return up(Server(folder))
    finally:
        shutil.rmtree(folder)


def up(server: Server) -> tuple[float, float]:
    """Seconds to the first 200 of /healthz, and to the end of `lazward up --detach`."""
    port, gateway_port = free_ports(2)
    words = ("up", "--data-dir", str(server.data_dir), "--port", str(port), "--gateway-port", str(gateway_port), "--detach")
    began = time.perf_counter()
    starting = subprocess.Popen([sys.executable, "-m", "lazward.cli.main", *words], env=server.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        answered = until(lambda: answers(port) or starting.poll(), pause=0.005) is True and time.perf_counter() - began
        _, errors = starting.communicate()
        if starting.returncode or not answered:
            raise RuntimeError(f"lazward up failed: {errors}{server.logs()}")
        return answered, time.perf_counter() - began
    finally:
        server.down()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:  # together, so that they differ
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def answers(port: int) -> bool:
    """Whether the server says that it is healthy. Its certificate is not looked at: at the first start there is no authority to trust yet."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=ssl._create_unverified_context())
    try:
        connection.request("GET", "/healthz", headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main(rows, __doc__)
