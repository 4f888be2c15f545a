"""What a launch takes of its disk: the files below its folder, and those that its processes write to elsewhere.

Standard library only; the keeper imports it once the user's process runs.
"""

# No pathlib: see records.py.
from __future__ import annotations

import os
import stat
import time

from lazward.execution.processes import LINUX, TYPE_CHECKING, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 512  # the unit of st_blocks, whatever the file system's own is


class Free:
    """What a file system has left for ordinary users. files: how many more files, None where that has no bound."""

    __slots__ = ("bytes", "files", "files_total")

    def __init__(self, bytes: int, files: int | None = None, files_total: int = 0):
        self.bytes = bytes
        self.files = files
        self.files_total = files_total


def free(path: str) -> Free:
    """One system call, a few microseconds. Raises OSError."""
    facts = os.statvfs(path)
    return Free(facts.f_bavail * facts.f_frsize, facts.f_favail if facts.f_files else None, facts.f_files)


class Scan:
    """Adds up a folder in slices, so that a keeper goes on hearing while it counts a million files.

    bytes: allocated on the disk (a sparse file counts what it holds). A file with several names counts when all of them are below
    the folder: what is shared with a cache outside (inputs, packages) is not the launch's. files: names that need one of the file
    system's inodes. Links are not followed, nor are other file systems entered. largest: (bytes, path, relative where it is below the folder)."""

    def __init__(self, folder: str):
        self.folder = folder
        self.bytes = 0
        self.files = 0
        self.largest = (0, "")
        self.done = False
        self._todo = [folder]
        self._entries: Iterator[os.DirEntry[str]] = iter(())
        self._linked: dict[int, int] = {}  # inode -> how many of its names were not met yet
        try:
            self._device = os.stat(folder).st_dev
        except OSError:
            self._device = -1

    def step(self, seconds: float) -> bool:
        """Counts on for about that time; whether all is counted. What vanishes meanwhile is passed over."""
        until = time.monotonic() + seconds
        while not self.done:
            try:
                entry = next(self._entries, None)
            except OSError:
                entry = None
            if entry is not None:
                self._count(entry)
            elif self._todo:
                self._entries = _entries(self._todo.pop())
            else:
                self.done = True
            if time.monotonic() >= until:
                break
        return self.done

    def _count(self, entry: os.DirEntry[str]) -> None:
        try:
            facts = entry.stat(follow_symlinks=False)
        except OSError:
            return
        if stat.S_ISDIR(facts.st_mode):
            if facts.st_dev != self._device:
                return
            self._todo.append(entry.path)
        elif facts.st_nlink > 1:
            left = self._linked.pop(facts.st_ino, facts.st_nlink) - 1
            if left:
                self._linked[facts.st_ino] = left
                return
        self._add(facts, entry.path)

    def _add(self, facts: os.stat_result, path: str) -> None:
        size = facts.st_blocks * BLOCK
        self.files += 1
        self.bytes += size
        if size > self.largest[0] and stat.S_ISREG(facts.st_mode):
            self.largest = (size, path.removeprefix(f"{self.folder}/"))

    def add_open(self, tree: list[Process]) -> None:
        """The files on the same disk that the processes hold open for writing and that are not below the folder: written elsewhere,
        or removed while they are open (which gives no room back). Linux only; nothing elsewhere."""
        if not LINUX:
            return
        seen: set[int] = set()
        for process in tree:
            table = f"/proc/{process.pid}/fd"
            try:
                numbers = os.listdir(table)
            except OSError:
                continue  # gone, or another user's by now
            for number in numbers:
                try:
                    facts = os.stat(f"{table}/{number}")
                    if facts.st_dev != self._device or not stat.S_ISREG(facts.st_mode) or facts.st_ino in seen:
                        continue
                    name = os.readlink(f"{table}/{number}")
                    if facts.st_nlink and name.startswith(f"{self.folder}/"):
                        continue
                    with open(f"/proc/{process.pid}/fdinfo/{number}", "rb") as file:
                        flags = next((int(line.split()[1], 8) for line in file if line.startswith(b"flags:")), 0)
                except (OSError, ValueError):
                    continue
                if flags & (os.O_WRONLY | os.O_RDWR):
                    seen.add(facts.st_ino)
                    self._add(facts, name)


def _entries(path: str) -> Iterator[os.DirEntry[str]]:
    try:
        return os.scandir(path)
    except OSError:  # removed meanwhile, or closed to us
        return iter(())
