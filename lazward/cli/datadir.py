"""The data dir: made private, used by one server at a time, and the small JSON files about the running server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lazward.cli.output import fail
from lazward.domain.layout import Layout, default_data_dir
from lazward.identity.private_files import write_private

# What marks a folder as ours, so that a mistyped --data-dir does not change somebody's home folder.
_MARKS = ("lock", "endpoint.json", "keys", "settings.toml", "lazward.db")
_ALLOWED_BEFORE = frozenset({"settings.toml", "lost+found"})


@dataclass(frozen=True)
class Endpoint:
    """Addresses of the last start; they stay in the data dir so that the next start has the same URLs."""

    host: str
    port: int
    gateway_port: int
    public_host: str
    url: str  # "https://localhost:8443/"
    gateway_url: str


@dataclass(frozen=True)
class Server:
    """The running server. `identity` tells the process from a later one of the same pid; `started` is unix seconds."""

    pid: int
    identity: str
    host: str
    port: int
    gateway_port: int
    url: str
    gateway_url: str
    started: float


class Lock:
    """Held while a server, a backup's restore or whatever else must be alone uses the data dir. Ends with the process."""

    def __init__(self, fd: int):
        self._fd = fd

    def say_pid(self) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release_in_this_process(self) -> None:
        """Closes without unlocking: a forked child that has the same lock keeps it."""
        os.close(self._fd)


def locate(data_dir: str | None, environ: Mapping[str, str], config: Mapping[str, Any] | None = None) -> str:
    """The absolute path, links followed: of the flag, else LAZWARD_DATA_DIR, else the --config file's data_dir, else the default."""
    found = data_dir or environ.get("LAZWARD_DATA_DIR") or (config or {}).get("data_dir")
    home = environ.get("HOME") or str(Path.home())
    path = Path(found).expanduser() if found and isinstance(found, str) else Path(default_data_dir(environ, home))
    return os.path.realpath(path)


def here(data_dir: str | None) -> Layout:
    """The layout for commands that only look at what is there."""
    import tomllib

    config: Mapping[str, Any] = {}
    if os.environ.get("LAZWARD_CONFIG"):
        with contextlib.suppress(OSError, ValueError):  # `lazward up` says what is wrong with it
            config = tomllib.loads(Path(os.environ["LAZWARD_CONFIG"]).expanduser().read_text("utf-8"))
    return Layout(locate(data_dir, os.environ, config))


def prepare(layout: Layout) -> None:
    """Makes the data dir and its folders, private to this user. Ends the command where the folder is somebody else's or something else."""
    os.umask(0o077)
    root = layout.root
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = root.stat()
        content = {p.name for p in root.iterdir()}
    except FileExistsError:
        fail(f"{root} is not a folder.", "Name another with --data-dir.")
    except OSError as error:
        fail(f"The data dir {root} cannot be used: {error.strerror}.", "Name another with --data-dir.")
    if state.st_uid != os.geteuid():
        fail(f"The data dir {root} belongs to user {state.st_uid}, this process runs as {os.geteuid()}.", "Run as its owner, or name another with --data-dir.")
    if content - _ALLOWED_BEFORE and not content & set(_MARKS):
        fail(f"{root} holds files that are not Lazward's.", "Name a new or empty folder with --data-dir.")
    if stat.S_IMODE(state.st_mode) & 0o077:
        root.chmod(0o700)
    for folder in layout.folders:
        folder.mkdir(mode=0o700, exist_ok=True)


def lock(layout: Layout) -> Lock:
    """Takes the lock, or ends the command naming the process that has it."""
    fd = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _text(fd)
        os.close(fd)
        fail(
            f"Another Lazward server (pid {holder or 'unknown'}) uses {layout.root}.",
            "See it with `lazward status`, stop it with `lazward down`, or start a second one with another --data-dir.",
        )
    held = Lock(fd)
    held.say_pid()
    return held


def holder(layout: Layout) -> int | None:
    """The pid of the process that has the lock (0 where it has not said), None if nobody has it."""
    try:
        fd = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return int(_text(fd) or 0)
    finally:
        os.close(fd)


def wait_for_release(layout: Layout, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while holder(layout) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    write_private(path, json.dumps(value, indent=1).encode() + b"\n", durable=durable)


def read_json(path: Path) -> Any:
    """None where there is no file, or one that is no JSON (cut short by a full disk, edited by hand)."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return None


def write_endpoint(layout: Layout, endpoint: Endpoint) -> None:
    value = asdict(endpoint)
    if read_json(layout.endpoint_file) != value:
        write_json(layout.endpoint_file, value)


def read_endpoint(layout: Layout) -> Endpoint | None:
    return _as(Endpoint, read_json(layout.endpoint_file))


def write_server(layout: Layout, server: Server) -> None:
    write_json(layout.server_file, asdict(server), durable=False)


def read_server(layout: Layout) -> Server | None:
    return _as(Server, read_json(layout.server_file))


def _as(kind: Any, value: Any) -> Any:
    try:
        return kind(**value)
    except TypeError:
        return None


def _text(fd: int) -> str:
    text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    return text if text.isdigit() else ""
