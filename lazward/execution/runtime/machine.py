"""What the whole machine is doing, in the measures and under the names of MLflow's own system metrics (without "system/").

Linux reads /proc; elsewhere there is what the standard library gives: the disk. Standard library only; the keeper imports it once the
user's process runs.
"""

# No pathlib: see records.py.
from __future__ import annotations

import os

MEGABYTE = 1e6  # as MLflow counts


class Machine:
    """place: a folder on the disk that is reported. root: where /proc is looked for. What counts from the start of the machine is told
    from when this object was made."""

    def __init__(self, place: str, root: str = ""):
        self.place = place
        self.root = root
        self._cpu = self._times()
        self._network = self._traffic()

    def look(self) -> dict[str, float]:
        """Every value that can be had here and now; the share of the processors since the look before."""
        return {**self._processors(), **self._memory(), **self._disk(), **self._sent()}

    def _processors(self) -> dict[str, float]:
        before, self._cpu = self._cpu, self._times()
        if before is None or self._cpu is None or self._cpu[0] <= before[0]:
            return {}
        total, idle = (now - then for now, then in zip(self._cpu, before))
        return {"cpu_utilization_percentage": min(max(100.0 * (1 - idle / total), 0.0), 100.0)}

    def _memory(self) -> dict[str, float]:
        found: dict[str, int] = {}
        for line in self._lines("meminfo"):
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                found[name] = int(rest.split()[0]) * 1024
        if len(found) < 2:
            return {}
        used, total = found["MemTotal"] - found["MemAvailable"], found["MemTotal"]
        return {"system_memory_usage_megabytes": used / MEGABYTE, "system_memory_usage_percentage": 100.0 * used / total}

    def _disk(self) -> dict[str, float]:
        try:
            facts = os.statvfs(self.place)
        except OSError:
            return {}  # the folder was removed
        used, free = (facts.f_blocks - facts.f_bfree) * facts.f_frsize, facts.f_bavail * facts.f_frsize
        return {
            "disk_usage_percentage": 100.0 * used / (used + free) if used + free else 0.0,
            "disk_usage_megabytes": used / MEGABYTE,
            "disk_available_megabytes": free / MEGABYTE,
        }

    def _sent(self) -> dict[str, float]:
        now = self._traffic()
        if now is None or self._network is None:
            return {}
        # An interface that went takes its counters along: then there is nothing to tell but that no less than nothing was sent.
        received, sent = (max(0, a - b) / MEGABYTE for a, b in zip(now, self._network))
        return {"network_receive_megabytes": received, "network_transmit_megabytes": sent}

    def _times(self) -> tuple[int, int] | None:
        """All the time of all processors so far, and what of it they were idle, in clock ticks."""
        for line in self._lines("stat"):
            if line.startswith("cpu "):
                ticks = [int(word) for word in line.split()[1:9]]  # the last two, of guests, are in the first two already
                return sum(ticks), sum(ticks[3:5])
        return None

    def _traffic(self) -> tuple[int, int] | None:
        """Bytes received and sent through all interfaces."""
        received = sent = 0
        lines = self._lines("net/dev")[2:]
        for line in lines:
            words = line.partition(":")[2].split()
            if len(words) > 8:
                received, sent = received + int(words[0]), sent + int(words[8])
        return (received, sent) if lines else None

    def _lines(self, name: str) -> list[str]:
        try:
            with open(f"{self.root}/proc/{name}") as file:
                return file.read().splitlines()
        except OSError:
            return []
