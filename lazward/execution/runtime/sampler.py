"""System metrics of a launch: at an interval, a line with what the machine and the launch's processes do, for whoever keeps it in a
run. The names are MLflow's; those about the launch alone, for which it has none, begin with "job_".

A line is written whole or not at all, and its step is its identity: a reader that died stores a line again under the same step.
Standard library only; the keeper imports it once the user's process runs.
"""

# No pathlib: see records.py.
from __future__ import annotations

import os
import time

from lazward.execution.processes import LINUX, TYPE_CHECKING, Process
from lazward.execution.runtime import gpus, memory, records
from lazward.execution.runtime.machine import MEGABYTE, Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazward.execution.runtime.order import Order

FIRST_S = 1.0
SHORTEST_S = 0.5
AGE_SHARE = 8640  # a launch that runs for weeks is looked at less often: a sample for each such part of its age at the most
COST_SHARE = 200  # a look takes at most 1/200 of a core
MAX_RANKS = 64  # with values of their own


def begin(order: Order, folder: str, tree: Callable[[], list[Process]]) -> Sampler | None:
    """None where there is no room for samples: the launch goes on without."""
    try:
        return Sampler(order, folder, tree)
    except OSError:
        return None


class Sampler:
    """tree: the launch's living processes. `at` is when `look` wants to be called next (monotonic seconds). Raises OSError."""

    def __init__(self, order: Order, folder: str, tree: Callable[[], list[Process]]):
        self.interval = order.sample_s or 0.0
        self.step = order.step
        self.tree = tree
        self.limit = order.limits.memory_bytes
        self.ranks = min(len(order.processes), MAX_RANKS) if len(order.processes) > 1 else 0
        self._fd = os.open(f"{folder}/{records.METRICS}", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        self.machine = Machine(os.path.realpath(os.fsdecode(order.place)))
        self.cores = os.cpu_count() or 1
        self.gpus = gpus.Gpus() if gpus.there_may_be() else None
        self.began = self._looked = time.monotonic()
        self.at = self.began + min(FIRST_S, self.interval)
        self._cpu = self._waited_for()
        self._io = (0, 0)
        self._of_rank: dict[int, float] = {}
        self._samples = 0

    def look(self, leaders: dict[int, int]) -> None:
        """Takes a sample. leaders: process id -> rank."""
        began = time.monotonic()
        try:
            self._write(self._sample(leaders))
        except OSError:
            pass  # no room, no file descriptor to be had: this sample is lost
        now = time.monotonic()
        self.at = now + max(self.interval, (now - self.began) / AGE_SHARE, (now - began) * COST_SHARE)

    def last(self, peak: int) -> None:
        """When no process is left: what was used in all; for a launch that ended before its first sample, all there is to know. peak:
        bytes of memory that its largest process held."""
        try:
            values = {**self.machine.look(), **self._processors([]), **self._transferred([])}
            if self._samples and time.monotonic() - self._looked < SHORTEST_S:
                values = {name: value for name, value in values.items() if "cpu" not in name}  # too short to be measured in clock ticks
            if not self._samples:
                values.update(self._memory(peak), job_processes=0, job_threads=0)
            self._write(values)
        except OSError:
            pass

    def _sample(self, leaders: dict[int, int]) -> dict[str, float]:
        tree = self.tree()
        values = {**self.machine.look(), **self._processors(tree), **self._memory(memory.held(tree, at_least=0)), **self._transferred(tree)}
        values.update(job_processes=len(tree), job_threads=sum(process.threads for process in tree))
        if self.ranks:
            values.update(self._by_rank(tree, leaders))
        if self.gpus:
            values.update(self.gpus.look())
        self._looked = time.monotonic()
        return values

    def _processors(self, tree: list[Process]) -> dict[str, float]:
        # One that has ended and was not waited for yet is in neither number for a moment: no less than before.
        used = max(self._waited_for() + sum(process.cpu for process in tree), self._cpu)
        passed = max(time.monotonic() - self._looked, 1 / 1000)
        cores, self._cpu = (used - self._cpu) / passed, used
        return {"job_cpu_cores": cores, "job_cpu_utilization_percentage": 100.0 * cores / self.cores}

    def _memory(self, held: int) -> dict[str, float]:
        values = {"job_memory_usage_megabytes": held / MEGABYTE}
        most = self.limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if most > 0:
            values["job_memory_usage_percentage"] = 100.0 * held / most
        return values

    def _transferred(self, tree: list[Process]) -> dict[str, float]:
        """What the launch has read from and written to disks since its start."""
        everything, own = _disk_io("self"), _disk_io(f"self/task/{os.getpid()}")
        if everything is None or own is None:
            return {}
        read, written = everything[0] - own[0], everything[1] - own[1]  # of the processes that the keeper has waited for
        for process in tree:
            io = _disk_io(str(process.pid))
            if io:
                read, written = read + io[0], written + io[1]
        self._io = (max(read, self._io[0]), max(written, self._io[1]))
        return {"job_disk_read_megabytes": self._io[0] / MEGABYTE, "job_disk_write_megabytes": self._io[1] / MEGABYTE}

    def _by_rank(self, tree: list[Process], leaders: dict[int, int]) -> dict[str, float]:
        """Of each process of the order, with all below it."""
        parents = {process.pid: process.parent for process in tree}
        cpu, held = dict.fromkeys(range(self.ranks), 0.0), dict.fromkeys(range(self.ranks), 0)
        for process in tree:
            above = process.pid
            while above not in leaders and above in parents:
                above = parents[above]
            rank = leaders.get(above)
            if rank is not None and rank < self.ranks:
                cpu[rank] += process.cpu
                held[rank] += process.resident
        passed = max(time.monotonic() - self._looked, 1 / 1000)
        values: dict[str, float] = {}
        for rank, used in cpu.items():
            used = max(used, self._of_rank.get(rank, 0.0))
            values[f"rank_{rank}/job_cpu_cores"] = (used - self._of_rank.get(rank, 0.0)) / passed
            values[f"rank_{rank}/job_memory_usage_megabytes"] = held[rank] / MEGABYTE
            self._of_rank[rank] = used
        return values

    @staticmethod
    def _waited_for() -> float:
        """Seconds of a core that processes of the launch have used which are gone: the keeper is who waits for them."""
        times = os.times()
        return times.children_user + times.children_system

    def _write(self, values: dict[str, float]) -> None:
        record: dict[str, str | int | float | None] = {"at": int(time.time() * 1000), "step": self.step}
        record.update((name, round(float(value), 3)) for name, value in values.items())
        line, size = records.to_json(record), os.fstat(self._fd).st_size
        if os.write(self._fd, line) < len(line):
            os.ftruncate(self._fd, size)  # the disk is full: half a line is none
            return
        self.step += 1
        self._samples += 1


def _disk_io(who: str) -> tuple[int, int] | None:
    """Bytes that a process, with its children that it has waited for, has read from disks and written to them; of a thread, itself
    alone. None where that is not told. who: its folder in /proc."""
    if not LINUX:
        return None
    found: dict[bytes, int] = {}
    try:
        with open(f"/proc/{who}/io", "rb") as file:
            for line in file:
                name, _, count = line.partition(b":")
                found[name] = int(count)
    except (OSError, ValueError):
        return None  # gone, or not ours to look at
    return found.get(b"read_bytes", 0), found.get(b"write_bytes", 0)
