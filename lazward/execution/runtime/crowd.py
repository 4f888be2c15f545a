"""How many processes a launch may have: its limit, or less where the machine would have none left for the others.

Standard library only; the keeper imports it once the user's process runs (and before, for an ordinary user: `hold_back`).
"""

# No pathlib: see records.py.
from __future__ import annotations

import os

from lazward.execution.processes import LINUX, TYPE_CHECKING, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 8  # a launch may have so many times as many threads as processes
SUDDEN = 250
SHARE = 2  # and half of what there can be at all


class Crowd:
    """processes, threads: the most that a launch may have, both of them None where there is no limit."""

    def __init__(self, limit: int | None):
        self.processes = limit
        self.threads = None if limit is None else limit * THREADS
        self._why = ""
        self._fits = False
        self._machine = None if limit is None else _threads_of_the_machine()

    def fit(self) -> None:
        """Makes the limits small enough for the machine, the first time. Not in __init__: what ends within a moment needs no limit."""
        if self._fits or self.processes is None or self.threads is None:
            return
        self._fits, most = True, ceiling()
        if most is None:
            return
        self.threads = min(self.threads, most // SHARE)
        if self.threads < self.processes:
            self.processes, self._why = self.threads, f", half of the {most} that this machine or user can have"

    def is_sudden(self) -> bool:
        """Whether the whole machine has many more threads than when this was asked last: one read, however many there are."""
        if self.processes is None:
            return False
        before, self._machine = self._machine, _threads_of_the_machine()
        return before is not None and self._machine is not None and self._machine - before > max(SUDDEN, self.processes // 4)

    def is_near(self, tree: list[Process]) -> bool:
        return self.processes is not None and len(tree) > self.processes // 8

    def trouble(self, tree: list[Process]) -> str:
        """What is wrong with a tree, "" if nothing is. The tree may be cut short once it has one process too many."""
        if self.processes is None or self.threads is None:
            return ""
        if len(tree) > self.processes:
            return f"More processes ran at once than the limit of {self.processes}{self._why}."
        threads = sum(process.threads for process in tree)
        if threads > self.threads:
            return f"{threads} threads ran at once, more than the limit of {self.threads}{self._why}."
        return ""


def ceiling(root: str = "") -> int | None:
    """How many processes and threads we could have together with all others that share our bounds; None where that is not known.
    root: where /proc and /sys are looked for."""
    numbers = [number for path in _bounds(root) if (number := _number(path)) is not None]
    soft = _of_the_user()
    if soft is not None:
        numbers.append(soft)
    return min(numbers, default=None)


def _threads_of_the_machine() -> int | None:
    try:
        with open("/proc/loadavg") as file:
            return int(file.read().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return None


def hold_back() -> int | None:
    """From now on what we start can have nine tenths of the processes of our user, so that somebody can still act when they run
    out. What is to be given to `let_go` afterwards. The superuser has no such bound."""
    soft = _of_the_user()
    if soft is None or soft < 100:
        return None
    return soft if _bound_user(soft * 9 // 10) else None


def let_go(soft: int | None) -> None:
    if soft is not None:
        _bound_user(soft)


def _of_the_user() -> int | None:
    if os.geteuid() == 0:
        return None
    import resource  # not before it is needed: see keeper.py

    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return None if soft == resource.RLIM_INFINITY else soft


def _bound_user(soft: int) -> bool:
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
    except (OSError, ValueError):
        return False
    return True


def _bounds(root: str) -> Iterator[str]:
    """Files that say how many processes and threads there can be: the kernel's, and those of our control groups."""
    if not LINUX:
        return
    yield f"{root}/proc/sys/kernel/pid_max"
    yield f"{root}/proc/sys/kernel/threads-max"
    try:
        with open(f"{root}/proc/self/cgroup") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "pids" not in controllers.split(","):
            continue
        top = f"{root}/sys/fs/cgroup/{controllers}".rstrip("/")
        group = group.rstrip("/")
        while True:
            yield f"{top}{group}/pids.max"
            if not group:
                break
            group = group.rpartition("/")[0]


def _number(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):  # not there, or "max"
        return None
