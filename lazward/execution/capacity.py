"""What this machine, or the share of it that a container or a service was given, has: cores, memory, GPUs."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from lazward.domain.ports import Capacity

NVIDIA_SMI_PATIENCE_S = 60.0  # it wakes every GPU up, which takes seconds on a large machine


def measure(root: Path = Path("/")) -> Capacity:
    """Cores and memory now; gpus is 0 here (see GpuCount). root: where /proc and /sys are looked for."""
    return Capacity(cores=_cores(root), memory_bytes=_memory(root), gpus=0)


class GpuCount:
    """The number of NVIDIA GPUs that `nvidia-smi -L` lists. It is asked once, in a thread; until it has answered, the device
    files are counted instead, so that nobody waits for it."""

    def __init__(self, program: str | None = None, devices: Path = Path("/dev")):
        self._program = program or shutil.which("nvidia-smi")
        self._count = 0
        if self._program:
            self._count = sum(1 for path in devices.glob("nvidia[0-9]*"))
            self._thread = threading.Thread(target=self._ask, name="nvidia-smi", daemon=True)
            self._thread.start()

    def __int__(self) -> int:
        return self._count

    def _ask(self) -> None:
        try:
            done = subprocess.run(
                [str(self._program), "-L"], capture_output=True, text=True, timeout=NVIDIA_SMI_PATIENCE_S, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return  # no driver, or none that answers: the device files are what we know
        self._count = sum(1 for line in done.stdout.splitlines() if line.startswith("GPU "))


def _cores(root: Path) -> int:
    """The cores we may run on, less where a control group gives us fewer core-seconds per second (rounded up)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups(root, "cpu"):
        limit = _words(group / "cpu.max")  # "max 100000" or "150000 100000"
        if len(limit) == 2 and limit[0] != "max":
            cores = min(cores, math.ceil(int(limit[0]) / int(limit[1])))
        quota, period = _words(group / "cpu.cfs_quota_us"), _words(group / "cpu.cfs_period_us")
        if quota and period and int(quota[0]) > 0:
            cores = min(cores, math.ceil(int(quota[0]) / int(period[0])))
    return max(1, cores)


def _memory(root: Path) -> int:
    """Bytes of physical memory, or the smallest limit of the control groups we are in."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for group in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _words(group / name)
            if limit and limit[0] != "max":
                total = min(total, int(limit[0]))
    return total


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the control groups (v2 and v1) that we are in and of those above them, as far as they can be seen."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup"
        if controllers:  # v1: a folder per set of controllers, or a link of one's own name
            top /= controllers if (top / controllers).is_dir() else controller
        group = top / path.lstrip("/")
        while True:
            yield group
            if group == top or top not in group.parents:
                break
            group = group.parent


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
