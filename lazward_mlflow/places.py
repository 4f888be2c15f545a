"""Where a process keeps its journal for one server: a folder of its own, with a lock that tells whether the process lives.

    SPOOL/HOST-HASH/STAMP-PID-RANDOM/{server.json, lock, journal, state.json, files/, rejected.jsonl}

No token is ever written here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 1


class Place:
    """The files of one process for one server. base: the address of the server up to and without /api."""

    def __init__(self, folder: str, base: str):
        self.folder = folder
        self.base = base
        self.journal = os.path.join(folder, "journal")
        self.files = os.path.join(folder, "files")
        self.rejected = os.path.join(folder, "rejected.jsonl")
        self._state = os.path.join(folder, "state.json")
        self._lock = -1

    def claim(self) -> bool:
        """Takes the lock; False when its process lives (or another sync is at it)."""
        fd = os.open(os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(fd)
        except OSError:
            os.close(fd)
            return False
        self._lock = fd
        return True

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def state(self) -> dict[str, Any]:
        """at: how much of the journal is done; sent: calls; ids: what the server calls things that were named here."""
        found: Any = None
        try:
            with open(self._state, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            pass  # then all is sent again, which does no harm
        return found if isinstance(found, dict) else {"at": 0, "sent": 0, "ids": {}}

    def save(self, state: dict[str, Any]) -> None:
        _write(self._state, state)

    def reject(self, record: dict[str, Any], status: int, reason: str) -> None:
        """Keeps a call that the server refused, with the reason. To disk before anything else goes on."""
        line = json.dumps({"at": time.time(), "status": status, "reason": reason[:4000], "call": record}) + "\n"
        fd = os.open(self.rejected, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(fd, line.encode())
            os.fsync(fd)
        finally:
            os.close(fd)

    def refused(self) -> list[dict[str, Any]]:
        try:
            with open(self.rejected, encoding="utf-8") as file:
                return [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def keep_refused(self, left: list[dict[str, Any]]) -> None:
        """Of what was refused, these only."""
        if not left:
            if os.path.exists(self.rejected):
                os.unlink(self.rejected)
            return
        draft = f"{self.rejected}.{os.getpid()}"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(one) + "\n" for one in left)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.rejected)

    def remove(self) -> None:
        """All of it but what was refused."""
        if not os.path.exists(self.rejected):
            shutil.rmtree(self.folder, ignore_errors=True)
            try:
                os.rmdir(os.path.dirname(self.folder))
            except OSError:
                pass  # others are there
            return
        for path in (self.journal, self._state):
            if os.path.exists(path):
                os.unlink(path)


def make(spool: str, base: str) -> Place:
    """A new place of this process, locked."""
    host = re.sub(r"[^A-Za-z0-9.-]+", "_", base.split("://", 1)[-1].split("/", 1)[0])
    name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{os.urandom(3).hex()}"
    folder = os.path.join(spool, f"{host}-{hashlib.sha256(base.encode()).hexdigest()[:8]}", name)
    os.makedirs(folder, mode=0o700)
    place = Place(folder, base)
    if not place.claim():
        raise OSError(f"the lock of {folder}, which was made a moment ago, is taken")
    _write(os.path.join(folder, "server.json"), {"format": FORMAT, "base": base, "pid": os.getpid(), "begun": time.time()})
    return place


def find(root: str) -> list[Place]:
    """Every place at or below a folder, the oldest first."""
    found = []
    for folder, _, names in os.walk(root):
        if "server.json" in names and not any(os.path.islink(os.path.join(folder, name)) for name in names):
            try:
                with open(os.path.join(folder, "server.json"), encoding="utf-8") as file:
                    facts = json.load(file)
                found.append((float(facts["begun"]), folder, str(facts["base"])))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # made by a process that was killed before it had kept anything
    return [Place(folder, base) for _, folder, base in sorted(found)]


def _write(path: str, value: dict[str, Any]) -> None:
    draft = f"{path}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(draft, path)


def _lock(fd: int) -> None:
    if fcntl is not None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
