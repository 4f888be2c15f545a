"""How much memory a tree of processes holds, and whether the kernel killed for want of it.

Standard library only; the keeper imports it."""

# No pathlib: see records.py.
from __future__ import annotations

import os

from lazward.execution.processes import LINUX, Process

OOM_SCORE = 300


def held(tree: list[Process], at_least: int) -> int:
    """Bytes that the tree holds. Adding up resident sizes counts a page shared by several processes (the workers of a data
    loader) several times, so a sum that matters, over `at_least`, is taken again by proportional shares, which costs more."""
    total = sum(process.resident for process in tree)
    if len(tree) < 2 or total <= at_least or not LINUX:
        return total
    return sum(_proportional(process) for process in tree)


def _proportional(process: Process) -> int:
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # gone, or an old kernel
    return process.resident


def kernel_kills() -> int | None:
    """How often the kernel killed a process because memory ran out: in our own control group where it counts that, else on
    the whole machine. None where nothing counts."""
    if not LINUX:
        return None
    for path in _counters():
        try:
            with open(path, "rb") as file:
                for line in file:
                    if line.startswith(b"oom_kill "):
                        return int(line.split()[1])
        except OSError:
            pass
    return None


def _counters() -> list[str]:
    paths = []
    try:
        with open("/proc/self/cgroup") as file:
            for line in file:
                _, controllers, group = line.rstrip("\n").split(":", 2)
                if controllers == "":
                    paths.append(f"/sys/fs/cgroup{group}/memory.events")
                elif "memory" in controllers.split(","):
                    paths.append(f"/sys/fs/cgroup/memory{group}/memory.oom_control")
    except OSError:
        pass
    return [*paths, "/proc/vmstat"]


def raise_oom_score() -> bytes | None:
    """From now on the processes that this one starts are the first that the kernel kills for want of memory: jobs die before
    the control plane. The score before, if it changed."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_RDWR)
    except OSError:
        return None
    try:
        before = os.read(fd, 16).strip()
        if int(before) >= OOM_SCORE:
            return None
        os.write(fd, b"%d" % OOM_SCORE)
        return before
    except OSError:
        return None
    finally:
        os.close(fd)


def restore_oom_score(score: bytes | None) -> None:
    """score: what raise_oom_score returned."""
    if score is not None:
        try:
            with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
                file.write(score)
        except OSError:
            pass
