"""Processes that are known by a record only: is it still the same one, and how to end it. Works on Linux and macOS."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def identity(pid: int) -> str | None:
    """A text that tells this process from every other that had or will have its pid (also before a reboot); None if there is none
    or it is a zombie."""
    if pid <= 0:
        return None
    if sys.platform == "linux":
        try:
            # After the name, which is in parentheses and may hold anything: state is field 3, threads field 20, start time (clock ticks)
            # field 22. While other threads end, the first one is a zombie already and the files and sockets are still open.
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" and int(fields[17]) <= 1 else f"{_boot()}:{fields[19]}"
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.split(None, 1)
    return None if len(shown) < 2 or shown[0].startswith("Z") else shown[1].strip()


def is_same(pid: int, recorded: str | None) -> bool:
    """Whether the process of that pid is the one whose `identity` was recorded."""
    return recorded is not None and identity(pid) == recorded


def end(pid: int, recorded: str, grace: float) -> bool:
    """TERM, then KILL after `grace` seconds; returns whether it is gone. Does nothing to another process of the same pid."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if not is_same(pid, recorded):
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if wait_until(lambda: not is_same(pid, recorded), patience):
            return True
    return False


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Asks until the condition holds; returns its last answer."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True


def die_with(parent: int) -> Callable[[], None]:
    """What a child does before exec so that it gets TERM when `parent` dies, however it dies. Linux only; elsewhere nothing, and the
    next `lazward up` or `lazward down` ends the child by its record."""
    prctl = _prctl()

    def before_exec() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
            if os.getppid() != parent:  # it died before the call
                os._exit(1)

    return before_exec


@cache
def _prctl() -> Callable[[int, int], int] | None:
    # Loaded before the fork: the child must not import or allocate more than it has to.
    return ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
