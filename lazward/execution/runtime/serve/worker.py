"""One worker process: loads the model, then listens at its own socket and scores, one request at a time."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from typing import Any

from . import logs
from .app import App
from .failures import short, traceback_text
from .logs import log
from .messages import Model
from .settings import Settings

STATUS_FD = "LAZWARD_SERVE_STATUS_FD"
PARENT_FD = "LAZWARD_SERVE_PARENT_FD"
INIT_FAILED = 3  # exit code
TAIL = 6000  # characters of a traceback that go into the state file


def worker_socket(base: str, index: int) -> str:
    """Where worker `index` listens."""
    return f"{base}.{index}"


def main(index: int) -> int:
    """Runs until TERM or the end of the master; INIT_FAILED when the model could not be loaded."""
    status = int(os.environ.pop(STATUS_FD))
    parent = int(os.environ.pop(PARENT_FD))
    for fd in (status, parent):
        os.set_inheritable(fd, False)
    settings = Settings.read()
    logs.set_up()
    threading.Thread(target=_follow_master, args=(parent, settings.grace_s), daemon=True).start()
    try:
        model = _load(settings)
    except BaseException as error:
        text = traceback_text(error)
        log.error("Worker %d could not load the model\n%s", index, text)
        _report(status, {"error": short(error), "traceback": text[-TAIL:]})
        return INIT_FAILED
    from .server import serve  # after the user's imports: uvicorn is not what a broken script should fail with

    path = worker_socket(settings.socket, index)
    listener = _listen(path)
    _report(status, {"ready": True})
    log.info("Worker %d is ready", index)
    try:
        serve(App(model, settings.max_body, settings.cors_origins), listener, settings.grace_s)
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return 0


def _load(settings: Settings) -> Model:
    if settings.mlflow_model:
        from . import mlflow_model

        return mlflow_model.load(settings)
    from . import scoring

    return scoring.load(settings)


def _listen(path: str) -> socket.socket:
    """A listening unix socket that takes the place of what a crashed worker left there in one step."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = f"{path}.{os.getpid()}"
    listener.bind(temporary)
    os.chmod(temporary, 0o600)
    listener.listen(1024)
    os.rename(temporary, path)
    return listener


def _follow_master(fd: int, grace_s: float) -> None:
    """Ends this process when the master is gone: its end of the pipe closes with it, however it died."""
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s + 5)
    os._exit(1)


def _report(fd: int, event: dict[str, Any]) -> None:
    os.write(fd, json.dumps(event).encode() + b"\n")
