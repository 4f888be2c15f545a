"""Composition root: builds everything, for the control plane or the worker. Run as `python -m lazward.apps.main control|worker`
by the supervisor (lazward/cli), with the settings in the file that LAZWARD_RESOLVED_SETTINGS names."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import math
import os
import signal
import socket
import sys
import time
from pathlib import Path

from lazward.domain.settings import Settings, decode
from lazward.execution.serving import socket_folder
from lazward.storage import schema
from lazward.storage.db import Database

log = logging.getLogger("lazward")

SWITCH_S = 0.0005  # Python's own is 5 ms: while a thread checks a large document, every turn of the loop that answers the others would wait so long
PATIENCE_S = 5.0  # of a request: a database that is started again is hardly noticed; then 503, which clients repeat


def main() -> None:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part not in ("control", "worker"):
        sys.exit("usage: python -m lazward.apps.main control|worker (the supervisor runs it; you want `lazward up`)")
    os.umask(0o077)
    settings = decode(Path(os.environ["LAZWARD_RESOLVED_SETTINGS"]).read_bytes())
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel("WARNING")
    if part == "control":
        control(settings)
    else:
        asyncio.run(worker(settings), loop_factory=_loop_factory()) if sys.version_info >= (3, 12) else asyncio.Runner(loop_factory=_loop_factory()).run(worker(settings))


def control(settings: Settings) -> None:
    """The HTTP surfaces, on the socket the supervisor made: requests wait in its queue while this process is replaced."""
    from lazward.apps.control import build_chain
    from lazward.apps.http_server import Server, server_config

    sys.setswitchinterval(SWITCH_S)
    db = open_database(settings, PATIENCE_S)
    schema.upgrade(db)
    app = build_chain(settings, db)
    # A page of a thousand runs is fifty thousand small objects: with Python's own threshold (700) its collector walks all that lives a
    # dozen times while it is made, a fifth of the time. What is here now stays for good.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    layout = settings.layout
    listener = socket.socket(fileno=int(os.environ["LAZWARD_LISTEN_FD"])) if "LAZWARD_LISTEN_FD" in os.environ else None
    config = server_config(
        app, certificate=str(layout.server_certificate), private_key=str(layout.server_key), host=settings.host, port=settings.port,
        loop="uvloop" if _loop_factory() is not None else "asyncio", log_config=None,
        timeout_keep_alive=75, timeout_graceful_shutdown=max(1, settings.stop_grace - 1), backlog=2048,
    )
    Server(config).run(sockets=[listener] if listener else None)
    db.close()


async def worker(settings: Settings) -> None:
    """Durable tasks and job execution. One at a time per data dir: the lock file proves that a predecessor is dead."""
    from lazward.apps.worker import build_runtime, standing_work
    from lazward.orchestration import machines
    from lazward.orchestration.durable import Worker
    from lazward.orchestration.job_queue import restore_admissions
    from lazward.orchestration.restored import settle_once

    lock = (settings.layout.run / "worker.lock").open("w")
    await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
    db = open_database(settings, math.inf)  # what it does can wait; running jobs run on meanwhile
    while not await asyncio.to_thread(schema.is_current, db):  # the control plane upgrades it
        await asyncio.sleep(0.02)
    runtime = await asyncio.to_thread(build_runtime, settings, db)
    await settle_once(db, settings.layout.restored_mark, time.time())
    for job in await db.read(restore_admissions):
        runtime.admission.hold(job)
    tasks = Worker(db, runtime, time.time, "worker")
    loop = asyncio.get_running_loop()
    db.on_tasks = lambda: loop.call_soon_threadsafe(tasks.wake.set)
    db.on_stirred = lambda keys: loop.call_soon_threadsafe(runtime.stir, keys)
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    bell = _listen(settings, tasks)
    await db.write(machines.announce, "worker", runtime.admission.capacity, time.time())
    await db.write(standing_work, time.time())
    await runtime.executor.warm()
    (settings.layout.run / "worker.ready").write_text(str(os.getpid()))
    try:
        await tasks.run(stop)
    finally:
        bell.close()
        await asyncio.to_thread(runtime.executor.close)
        db.close()


def open_database(settings: Settings, patience_s: float) -> Database:
    """A database whose commits ring the worker's bell when they leave tasks. patience_s: how long one that is away is waited for."""
    path = str(_bell(settings))
    ringer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ringer.setblocking(False)

    def ring() -> None:
        # Nobody listening, or a full queue: the worker polls and will see the task all the same.
        with contextlib.suppress(OSError):
            ringer.sendto(b"t", path)

    return Database(settings.database_url, ring, synchronous=settings.sqlite_synchronous, patience_s=patience_s)


def _bell(settings: Settings) -> Path:
    """The socket's path; in a folder with a short name where the data dir's is too long for one."""
    return socket_folder(settings.layout.root) / "worker.bell"


def _listen(settings: Settings, tasks: object) -> socket.socket:
    path = _bell(settings)
    path.unlink(missing_ok=True)
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bell.bind(str(path))
    bell.setblocking(False)

    def heard() -> None:
        with contextlib.suppress(BlockingIOError):
            while bell.recv(64):
                pass
        tasks.wake.set()  # type: ignore[attr-defined]

    asyncio.get_running_loop().add_reader(bell.fileno(), heard)
    return bell


def _loop_factory():
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
