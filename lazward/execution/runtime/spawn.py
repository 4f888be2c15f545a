"""Starting one process of a launch, and saying in a sentence why it could not be started.

Standard library only, and as little of that as can be: the keeper imports this before the user's process starts.
"""

# No pathlib: see records.py.
from __future__ import annotations

import errno
import os

from lazward.execution.processes import TAG
from lazward.execution.runtime.order import ProcessOrder

SIGNALS = range(1, 32)  # a signal that the worker ignores (SIGPIPE, SIGHUP) must not be ignored by the user's process


class CannotStart(Exception):
    """A process could not be started. The text is a sentence for people."""


def enter(cwd: bytes) -> None:
    """Goes to the working directory; raises CannotStart."""
    try:
        os.chdir(cwd)
    except OSError as error:
        shown = os.fsdecode(cwd)
        if error.errno == errno.ENOENT:
            raise CannotStart(f"The working directory '{shown}' does not exist.") from None
        raise CannotStart(f"The working directory '{shown}' cannot be entered: {error.strerror}.") from None


def open_log(path: bytes) -> int:
    """Opens a log for appending, readable by its owner only; raises CannotStart."""
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(f"The log file '{os.fsdecode(path)}' cannot be opened: {error.strerror}.") from None


def start(process: ProcessOrder, tag: bytes, log: int) -> int:
    """Starts a process in the current directory, in a process group of its own, with nothing open but /dev/null and the log,
    and exactly the environment it was given, plus the tag. Its process id; raises CannotStart."""
    env = {}
    for item in process.env:
        key, _, value = item.partition(b"=")
        env[key] = value
    program = _find(process.argv[0], env.get(b"PATH", os.defpath.encode()))
    env[TAG.encode()] = tag
    try:
        return os.posix_spawn(
            program,
            process.argv,
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setpgroup=0,
            setsigmask=[],
            setsigdef=SIGNALS,
        )
    except OSError as error:
        raise CannotStart(_why(os.fsdecode(program), error)) from None


def _find(name: bytes, path: bytes) -> bytes:
    """The program that a shell would run for that name, with the PATH of the process, not of the keeper."""
    if b"/" in name:
        _check(name)
        return name
    refused = None
    for folder in path.split(b":"):
        candidate = os.path.join(folder or b".", name)
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            refused = refused or candidate
    if refused:
        raise CannotStart(f"The program '{os.fsdecode(refused)}' is not executable.")
    raise CannotStart(f"The program '{os.fsdecode(name)}' was not found on the PATH ('{os.fsdecode(path)}').")


def _check(program: bytes) -> None:
    shown = os.fsdecode(program)
    if not os.path.exists(program):
        raise CannotStart(f"The program '{shown}' does not exist.")
    if os.path.isdir(program):
        raise CannotStart(f"The program '{shown}' is a folder.")
    if not os.access(program, os.X_OK):
        raise CannotStart(f"The program '{shown}' is not executable.")


def _why(program: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:  # the file is there, or _find had said so
        return f"The program '{program}' could not be started: the interpreter named in its first line does not exist."
    if error.errno == errno.ENOEXEC:
        return f"The program '{program}' could not be started: it is neither a program of this machine nor a script with '#!'."
    if error.errno == errno.E2BIG:
        return f"The program '{program}' could not be started: its arguments and environment are too long together."
    return f"The program '{program}' could not be started: {error.strerror}."
