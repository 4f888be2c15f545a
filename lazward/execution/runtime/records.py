"""The folder of one launch: which files it holds, what each says, and how they are written.

    lock         held (flock) by the keeper as long as it lives: "the lock is free" is how a dead keeper is recognised, and no
                 reuse of a process id can fool it
    keeper.json  written before the first process starts. From then on the launch is never started again
    exit.json    written when no process of the launch is left: a LaunchStatus
    cancel       there once somebody canceled
    control      a FIFO the keeper reads: a byte in it says "look at the folder again"
    alive        a FIFO the keeper holds open for writing: whoever reads it sees its end when the keeper ends, however it ends
    share        what the launch holds of the disk, for the keepers of the others (shares.py)
    metrics      samples of system metrics, a JSON object a line (sampler.py)
    keeper.log   what the keeper itself had to say (a fault in it, nothing in good times)

Standard library only, and as little of that as can be: the keeper imports this before the user's process starts.
"""

# No pathlib: it takes 5 ms to import, a third of what a keeper needs to start a process.
from __future__ import annotations

import fcntl
import os
import time

CLAIM_PATIENCE_S = 10.0
LOCK = "lock"
KEEPER = "keeper.json"
EXIT = "exit.json"
CANCEL = "cancel"
CONTROL = "control"
ALIVE = "alive"
KEEPER_LOG = "keeper.log"
SHARE = "share"
METRICS = "metrics"


def has(folder: str, name: str) -> bool:
    return os.path.lexists(f"{folder}/{name}")


def take_lock(folder: str, make: bool = True) -> int | None:
    """Takes the lock of a folder, made if need be. The file descriptor to close for giving it back, or None when another holds it.
    make=False: FileNotFoundError when there is no folder."""
    while True:
        try:
            if make:
                os.makedirs(folder, mode=0o700, exist_ok=True)
            fd = os.open(f"{folder}/{LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            if make:
                continue  # forgotten between two lines
            raise
        except FileExistsError:
            if os.path.lexists(folder) and not os.path.isdir(folder):
                raise
            continue  # makedirs says so of one that goes while it looks
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        try:
            if os.path.samestat(os.fstat(fd), os.stat(f"{folder}/{LOCK}")):
                return fd
        except FileNotFoundError:
            pass
        os.close(fd)  # the lock of a folder that was forgotten meanwhile


def claim(folder: str) -> int | None:
    """The lock of a launch that has not been started yet, or None when another keeper has it or has had it."""
    deadline = time.monotonic() + CLAIM_PATIENCE_S
    while True:
        lock = take_lock(folder)
        if has(folder, KEEPER) or has(folder, EXIT):
            return None
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            raise TimeoutError(f"the lock in {folder} is held, but nothing was started")
        time.sleep(0.005)  # another keeper about to start, or somebody who only looks whether one lives


def is_locked(folder: str) -> bool:
    """Whether a keeper (or somebody who settles or removes the records) holds the lock now."""
    try:
        fd = os.open(f"{folder}/{LOCK}", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def write(folder: str, name: str, data: bytes, durable: bool) -> None:
    """Writes a file as a whole or not at all. With `durable` it is on the disk when this returns."""
    temporary = f"{folder}/{name}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while data:
            data = data[os.write(fd, data) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, f"{folder}/{name}")
    if durable:
        sync(folder)


def sync(path: str) -> None:
    """Brings a file, or the names in a folder, to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_fifo(folder: str, name: str) -> int:
    """Makes the FIFO when it is missing, and opens it for reading and writing, so that neither side ever blocks."""
    path = f"{folder}/{name}"
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        pass
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def wake_keeper(folder: str) -> None:
    """Tells a living keeper to look at its folder again. A dead one needs no telling."""
    try:
        fd = os.open(f"{folder}/{CONTROL}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return  # no FIFO yet, or nobody reads it: a keeper looks by itself when it begins to read
    try:
        os.write(fd, b"!")
    except OSError:
        pass  # full: it was told already
    finally:
        os.close(fd)


def to_json(record: dict[str, str | int | float | None]) -> bytes:
    """A flat record as JSON. By hand, because importing json takes as long as starting the interpreter.

    Floats must be finite."""
    return ("{" + ", ".join(f"{_quoted(k)}: {_value(v)}" for k, v in record.items()) + "}\n").encode()


def _value(value: str | int | float | None) -> str:
    if value is None:
        return "null"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    encoded = text.encode("utf-16-be", "replace")  # JSON escapes UTF-16 units
    units = [int.from_bytes(encoded[i : i + 2], "big") for i in range(0, len(encoded), 2)]
    return '"' + "".join(chr(u) if 32 <= u < 127 and u not in b'"\\' else f"\\u{u:04x}" for u in units) + '"'
