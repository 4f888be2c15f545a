"""Lines of the model server and of the user's `logging` calls, all to standard output with a time and the process id."""

from __future__ import annotations

import logging
import os
import sys
import time

NAME = "lazward.serve"
log = logging.getLogger(NAME)


class _UtcFormatter(logging.Formatter):
    converter = time.gmtime

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s")
        self.default_msec_format = "%s.%03dZ"
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"


def set_up() -> None:
    """Scripts expect `logging.info(...)` to show up without any setting, so the root logger writes INFO."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_UtcFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("azure").setLevel(logging.WARNING)  # prints every header of every request at INFO


class AccessLog:
    """One line a request. Written directly: a logging record would cost more than the rest of the request handling."""

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._second = -1
        self._stamp = ""
        self._pid = os.getpid()

    def __call__(self, method: str, path: str, status: int, seconds: float, size: object) -> None:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        # `path` is escaped so that a request can not write a line of its own into the log.
        line = (
            f"{self._stamp}.{int(now * 1000) % 1000:03d}Z I [{self._pid}] {NAME} - "
            f"{method} {ascii(path)[1:-1]} {status} {seconds * 1000:.3f}ms {size}\n"
        )
        try:
            os.write(self._fd, line.encode())
        except OSError:
            pass  # a full disk or a closed pipe must not fail the request
