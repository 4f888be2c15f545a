"""What a keeper is asked to run, and its form on the pipe between the starter and the keeper.

The form is a list of fields ended by NUL, like /proc/PID/environ: arguments, paths and variables cannot hold a NUL, and the
keeper needs no parser for it (importing json alone doubles the start-up time of an interpreter). The order is never written
to the disk, because the environment of a job holds its tokens.

Standard library only, and as little of that as can be: the keeper imports this before the user's process starts.
"""

from __future__ import annotations

import os

HEAD = b"lazward-launch-1"


class ProcessOrder:
    """One process: argv (at least the program), the whole environment as b"K=V" items, and the log file (absolute path)."""

    __slots__ = ("argv", "env", "log")

    def __init__(self, argv: list[bytes], env: list[bytes], log: bytes):
        self.argv = argv
        self.env = env
        self.log = log


class Order:
    """One launch. folder: where its records are; tag: the value of LAZWARD_LAUNCH in its processes; times in seconds."""

    __slots__ = ("cwd", "folder", "grace_s", "memory_bytes", "processes", "tag", "timeout_s")

    def __init__(
        self,
        folder: bytes,
        tag: bytes,
        cwd: bytes,
        timeout_s: float | None,
        memory_bytes: int | None,
        grace_s: float,
        processes: list[ProcessOrder],
    ):
        self.folder = folder
        self.tag = tag
        self.cwd = cwd
        self.timeout_s = timeout_s
        self.memory_bytes = memory_bytes
        self.grace_s = grace_s
        self.processes = processes


def encode(order: Order) -> bytes:
    """A first line with the length of the rest, by which the keeper knows that its starter lived to say everything."""
    fields = [
        order.folder,
        order.tag,
        order.cwd,
        b"" if order.timeout_s is None else repr(float(order.timeout_s)).encode(),
        b"" if order.memory_bytes is None else b"%d" % order.memory_bytes,
        repr(float(order.grace_s)).encode(),
        b"%d" % len(order.processes),
    ]
    for process in order.processes:
        fields += [process.log, b"%d" % len(process.argv), *process.argv, b"%d" % len(process.env), *process.env]
    body = b"".join(field + b"\0" for field in fields)
    return b"%s %d\n" % (HEAD, len(body)) + body


def decode(body: bytes) -> Order:
    """The order from the bytes after the first line."""
    fields = iter(body.split(b"\0"))
    folder, tag, cwd = next(fields), next(fields), next(fields)
    timeout, memory, grace = next(fields), next(fields), next(fields)
    processes = []
    for _ in range(int(next(fields))):
        log = next(fields)
        argv = [next(fields) for _ in range(int(next(fields)))]
        env = [next(fields) for _ in range(int(next(fields)))]
        processes.append(ProcessOrder(argv, env, log))
    return Order(
        folder, tag, cwd, float(timeout) if timeout else None, int(memory) if memory else None, float(grace), processes
    )


def receive(fd: int) -> Order | None:
    """Reads one order from a pipe. None when the pipe ended before the whole order came: its starter died meanwhile."""
    data = bytearray()
    while True:
        line, newline, body = bytes(data).partition(b"\n")
        if newline:
            head, _, length = line.partition(b" ")
            if head != HEAD:
                raise ValueError(f"not an order for this keeper: {line[:40]!r}")
            if len(body) >= int(length):
                return decode(body)
        chunk = os.read(fd, 1 << 20)
        if not chunk:
            return None
        data += chunk
