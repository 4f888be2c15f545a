"""The limits of a launch that are about its files: logs, folder, and what is to stay free on the disk.

Costs a few system calls a second while all is well. A folder is only counted where it has a limit, or when the disk runs low.
Standard library only; the keeper imports it once the user's process runs.
"""

# No pathlib: see records.py.
from __future__ import annotations

import os
import time

from lazward.execution.processes import TYPE_CHECKING, Process
from lazward.execution.runtime import disk
from lazward.execution.runtime.order import Limits
from lazward.execution.runtime.shares import Shares, renounce
from lazward.execution.runtime.words import size

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_S, IDLE_S = 0.1, 1.0  # between two looks: the first ones, and later
LEAST_S = 0.05  # when a limit comes near
NEAR, NEAR_S = 4, 0.2  # so often we look while the disk has less left than so many times what is to stay free
SLICE_S = 0.01  # of counting at a time
CALM_SHARE, URGENT_SHARE = 50, 4  # counting takes 1/50 of a core, or 1/4
RECOUNT_S, RECOUNT_URGENT_S = 5.0, 0.5  # after the last count, at the least
RUNAWAY = 1.25  # so far over a limit, nothing is waited for any more
LEAST_FREE_FILES = 10_000  # or 1/50 of those the disk can hold


class Trouble:
    """A limit that was reached. runaway: so far that the launch is not given time to end by itself."""

    __slots__ = ("message", "reason", "runaway")

    def __init__(self, reason: str, message: str, runaway: bool):
        self.reason = reason
        self.message = message
        self.runaway = runaway


class Trend:
    """How long something lasts at the rate at which it is being used up."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def seconds(self, left: float, now: float) -> float:
        """left: how much is left at the moment `now`."""
        before, self._before = self._before, (left, now)
        if before is None or left >= before[0] or now <= before[1]:
            return float("inf")
        return max(left, 0.0) * (now - before[1]) / (before[0] - left)


class Guard:
    """records: the folder of the launch's records; place: its own folder; logs: file descriptors, kept open; tree: its living
    processes. `at` is when `look` wants to be called next (monotonic seconds)."""

    def __init__(self, limits: Limits, records: str, place: str, logs: list[int], tree: Callable[[], list[Process]]):
        self.limits = limits
        self.place = os.path.realpath(place)
        self.logs = logs
        self.tree = tree
        self.at = time.monotonic() + FIRST_S
        self._pause = FIRST_S
        self._log_trend, self._free_trend = Trend(), Trend()
        self._scan: disk.Scan | None = None
        self._counted: disk.Scan | None = None  # the last that was done
        self._began = 0.0
        self._count_at = 0.0  # not before
        self._free_then = 0  # on the disk when it was
        self._low_since: float | None = None  # unix seconds
        self._low_at = 0
        self._shares: Shares | None = None
        try:
            if limits.free_disk_bytes is None:
                renounce(records)
            else:
                self._shares = Shares(records, os.stat(self.place).st_dev)
        except OSError:
            pass  # a folder that is gone, or a disk so full that we cannot say what we hold: then nobody is accused by us
        if limits.log_bytes is None and limits.disk_bytes is None and self._shares is None:
            self.at = float("inf")

    def look(self) -> Trouble | None:
        now = time.monotonic()
        self._pause = min(self._pause * 2, IDLE_S)
        wait = self._pause
        trouble, lasts = self._look_at_logs(now)
        wait = min(wait, lasts / 2)
        if trouble is None and (self.limits.disk_bytes is not None or self._shares is not None):
            trouble, soon = self._look_at_disk(now)
            wait = min(wait, soon)
        self.at = time.monotonic() + max(wait, SLICE_S if self._scan else LEAST_S)
        return trouble

    def _look_at_logs(self, now: float) -> tuple[Trouble | None, float]:
        """Also in how many seconds the limit would be reached."""
        limit = self.limits.log_bytes
        if limit is None:
            return None, float("inf")
        sizes = {}
        for log in self.logs:
            facts = os.fstat(log)
            sizes[facts.st_dev, facts.st_ino] = facts.st_size
        held = sum(sizes.values())
        if held > limit:
            return Trouble("log", f"The logs grew to {size(held)}, more than the limit of {size(limit)}.", held > limit * RUNAWAY), 0.0
        return None, self._log_trend.seconds(limit - held, now)

    def _look_at_disk(self, now: float) -> tuple[Trouble | None, float]:
        """Also how long to wait for the next look."""
        try:
            free = disk.free(self.place)
        except OSError:
            return None, IDLE_S  # the folder was removed: nothing is held there
        reserve = self.limits.free_disk_bytes if self._shares else None
        short = self._what_is_short(free, reserve)
        if not short:
            self._low_since = None
        elif self._low_since is None:
            self._low_since, self._low_at, self._scan, self._count_at = time.time(), free.bytes, None, now
        trouble, wait = self._count(now, free, urgent=bool(short))
        if short and trouble is None:
            trouble = self._blame(free, reserve or 0, short == "files")
        if reserve is not None:
            wait = min(wait, self._free_trend.seconds(free.bytes - reserve, now) / 2)
            if free.bytes < NEAR * reserve:
                wait = min(wait, NEAR_S)
        return trouble, wait

    @staticmethod
    def _what_is_short(free: disk.Free, reserve: int | None) -> str:
        if reserve is None:
            return ""
        if free.bytes < reserve:
            return "bytes"
        if free.files is not None and free.files < min(LEAST_FREE_FILES, free.files_total // 50):
            return "files"
        return ""

    def _count(self, now: float, free: disk.Free, urgent: bool) -> tuple[Trouble | None, float]:
        """Counts the folder a little further, where that is called for."""
        limit = self.limits.disk_bytes
        if limit is not None and self._counted:
            urgent = urgent or self._free_then - free.bytes > (limit - self._counted.bytes) / 2
        if self._scan is None:
            if now < self._count_at if urgent else limit is None or now < self._count_at + RECOUNT_S:
                return None, IDLE_S
            self._scan, self._began = disk.Scan(self.place), now
        scan = self._scan
        began = time.monotonic()
        done = scan.step(SLICE_S)
        held = scan.bytes
        if done:
            self._counted, self._scan, self._free_then = scan, None, free.bytes
            self._count_at = time.monotonic() + max(RECOUNT_URGENT_S, (time.monotonic() - self._began) * URGENT_SHARE)
            if self._low_since is not None:
                scan.add_open(self.tree())
        if self._low_since is not None and self._shares:
            try:
                self._shares.publish(scan.bytes, scan.files, whole=done)
            except OSError:
                pass  # what was said last stands
        if limit is not None and held > limit:
            text = f"The files in its folder grew to {size(held)}, more than the limit of {size(limit)}; {self._largest(scan)}."
            return Trouble("disk", text, held > limit * RUNAWAY), 0.0
        if done:
            return None, IDLE_S
        return None, (time.monotonic() - began) * (URGENT_SHARE if urgent else CALM_SHARE)

    def _blame(self, free: disk.Free, reserve: int, files: bool) -> Trouble | None:
        assert self._shares and self._low_since is not None
        scan = self._counted
        if scan is None or self._scan is not None:
            return None
        fell = free.bytes < self._low_at - reserve // 8
        try:
            if not self._shares.most_is_ours(files, self._low_since, fell):
                return None
        except OSError:
            return None  # the records were removed: the keeper will notice
        if files:
            text = f"The disk can hold only {free.files} more files, and of all that runs this held most of them: {scan.files}."
        else:
            text = f"The disk had {size(free.bytes)} left, less than the {size(reserve)} that are to stay free, and of all that runs this held most of it: {size(scan.bytes)}; {self._largest(scan)}."
        return Trouble("space", text, free.bytes < reserve // 2)

    @staticmethod
    def _largest(scan: disk.Scan) -> str:
        held, path = scan.largest
        return f"its largest file is '{path[-300:]}' with {size(held)}"
