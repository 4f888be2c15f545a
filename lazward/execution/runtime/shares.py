"""Whose launch it is that fills the disk: each keeper writes beside its records what its launch holds, and when room runs short,
all compare. No process has to live for that but the keepers themselves.

Standard library only; the keeper imports it once the user's process runs.
"""

# No pathlib: see records.py.
from __future__ import annotations

import os
import time

from lazward.execution.runtime import records

WIDTH = 96  # written over in place: no room is needed for that on a disk that is full
LEAST_BYTES = 64 << 20  # whoever holds less than this of either is not the cause
LEAST_FILES = 1000
ANSWER_S = 3.0  # for the others to look at the disk too
COUNT_S = 15.0  # and to count, where they have many files
CLEARING_S = 120.0  # after the end of a launch its files go, once what is to be kept of them was


class Share:
    """What one launch holds. whole: everything was counted. at: when (unix seconds)."""

    __slots__ = ("at", "bytes", "device", "files", "whole")

    def __init__(self, bytes: int, files: int, whole: bool, device: int, at: float):
        self.bytes = bytes
        self.files = files
        self.whole = whole
        self.device = device
        self.at = at

    def of(self, files: bool) -> int:
        return self.files if files else self.bytes


class Shares:
    """folder: that of our launch's records, whose neighbours are those of the others. device: st_dev of the disk it is about."""

    def __init__(self, folder: str, device: int):
        self.folder = folder
        self.device = device
        self._fd = os.open(f"{folder}/{records.SHARE}", os.O_RDWR | os.O_CREAT, 0o600)
        self.publish(0, 0, whole=False, at=0.0)  # takes its place on the disk while there is some

    def publish(self, bytes: int, files: int, whole: bool, at: float | None = None) -> None:
        """Raises OSError."""
        text = f"{bytes} {files} {int(whole)} {self.device} {time.time() if at is None else at:.3f}"
        os.pwrite(self._fd, text.ljust(WIDTH - 1).encode() + b"\n", 0)

    def most_is_ours(self, files: bool, since: float, fell: bool) -> bool:
        """Whether our launch is to make room. False while that is not known yet: call again.

        files: what runs short is the number of files, not bytes. since: when the disk ran low (unix seconds). fell: it has become
        much less since then, so that no launch that has ended can be the cause."""
        ours = _read(self.folder)
        if ours is None or ours.of(files) < (LEAST_FILES if files else LEAST_BYTES):
            return False
        root, name = os.path.split(self.folder)
        waited = time.time() - since
        for other in os.listdir(root):
            if other == name:
                continue
            share = _read(f"{root}/{other}")
            if share is None:
                if waited < ANSWER_S and records.has(f"{root}/{other}", records.KEEPER) and records.is_locked(f"{root}/{other}"):
                    return False  # it has only just begun: its keeper has not had time to look
                continue
            if share.device != self.device:
                continue
            if records.has(f"{root}/{other}", records.EXIT):
                if share.of(files) > ours.of(files) // 2 and time.time() - share.at < CLEARING_S and not fell:
                    return False  # what it held is about to be given back
            elif (share.of(files), other) > (ours.of(files), name) and share.at >= since:
                return False
            elif (
                (share.at < since and waited < ANSWER_S) or (not share.whole and share.at >= since and waited < COUNT_S)
            ) and records.is_locked(f"{root}/{other}"):
                return False  # it may hold more; its keeper has not said yet
        return True


def renounce(folder: str) -> None:
    """Says of a launch that it is never asked to make room, so that nobody waits for its word. Raises OSError."""
    with open(f"{folder}/{records.SHARE}", "w") as file:
        file.write("0 0 1 -1 0")


def _read(folder: str) -> Share | None:
    try:
        with open(f"{folder}/{records.SHARE}", "rb") as file:
            bytes, files, whole, device, at = file.read(WIDTH).split()
        return Share(int(bytes), int(files), whole == b"1", int(device), float(at))
    except (OSError, ValueError):
        return None
