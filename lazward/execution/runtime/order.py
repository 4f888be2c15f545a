"""What a keeper is asked to run, and its form on the pipe between the starter and the keeper.

The form is a list of fields ended by NUL, like /proc/PID/environ: arguments, paths and variables cannot hold a NUL, and the
keeper needs no parser for it (importing json alone doubles the start-up time of an interpreter). The order is never written
to the disk, because the environment of a job holds its tokens.

Standard library only, and as little of that as can be: the keeper imports this before the user's process starts.
"""

from __future__ import annotations

import os

HEAD = b"lazward-launch-3"


class ProcessOrder:
    """One process: argv (at least the program), the whole environment as b"K=V" items, and the log file (absolute path)."""

    __slots__ = ("argv", "env", "log")

    def __init__(self, argv: list[bytes], env: list[bytes], log: bytes):
        self.argv = argv
        self.env = env
        self.log = log


class Limits:
    """What a launch may take, None for no limit: seconds, bytes, counts, as in domain.ports.LaunchSpec."""

    __slots__ = ("disk_bytes", "free_disk_bytes", "log_bytes", "max_processes", "memory_bytes", "timeout_s")

    def __init__(
        self,
        timeout_s: float | None = None,
        memory_bytes: int | None = None,
        max_processes: int | None = None,
        log_bytes: int | None = None,
        disk_bytes: int | None = None,
        free_disk_bytes: int | None = None,
    ):
        self.timeout_s = timeout_s
        self.memory_bytes = memory_bytes
        self.max_processes = max_processes
        self.log_bytes = log_bytes
        self.disk_bytes = disk_bytes
        self.free_disk_bytes = free_disk_bytes


COUNTS = ("memory_bytes", "max_processes", "log_bytes", "disk_bytes", "free_disk_bytes")


class Order:
    """One launch. folder: where its records are; tag: the value of LAZWARD_LAUNCH in its processes; place: the folder that the
    limits of the disk are about; grace_s: seconds; sample_s: between two samples of system metrics (sampler.py), None for none; step:
    of the first sample."""

    __slots__ = ("cwd", "folder", "grace_s", "limits", "place", "processes", "sample_s", "step", "tag")

    def __init__(
        self, folder: bytes, tag: bytes, cwd: bytes, place: bytes, limits: Limits, grace_s: float, processes: list[ProcessOrder],
        sample_s: float | None = None, step: int = 0,
    ):
        self.folder = folder
        self.tag = tag
        self.cwd = cwd
        self.place = place
        self.limits = limits
        self.grace_s = grace_s
        self.processes = processes
        self.sample_s = sample_s
        self.step = step


def encode(order: Order) -> bytes:
    """A first line with the length of the rest, by which the keeper knows that its starter lived to say everything."""
    timeout, counts = order.limits.timeout_s, [getattr(order.limits, name) for name in COUNTS]
    fields = [
        order.folder,
        order.tag,
        order.cwd,
        order.place,
        b"" if timeout is None else repr(float(timeout)).encode(),
        *(b"" if count is None else b"%d" % count for count in counts),
        repr(float(order.grace_s)).encode(),
        b"" if order.sample_s is None else repr(float(order.sample_s)).encode(),
        b"%d" % order.step,
        b"%d" % len(order.processes),
    ]
    for process in order.processes:
        fields += [process.log, b"%d" % len(process.argv), *process.argv, b"%d" % len(process.env), *process.env]
    body = b"".join(field + b"\0" for field in fields)
    return b"%s %d\n" % (HEAD, len(body)) + body


def decode(body: bytes) -> Order:
    """The order from the bytes after the first line."""
    fields = iter(body.split(b"\0"))
    folder, tag, cwd, place = next(fields), next(fields), next(fields), next(fields)
    timeout = next(fields)
    limits = Limits(float(timeout) if timeout else None)
    for name in COUNTS:
        count = next(fields)
        setattr(limits, name, int(count) if count else None)
    grace, sample, step = float(next(fields)), next(fields), int(next(fields))
    processes = []
    for _ in range(int(next(fields))):
        log = next(fields)
        argv = [next(fields) for _ in range(int(next(fields)))]
        env = [next(fields) for _ in range(int(next(fields)))]
        processes.append(ProcessOrder(argv, env, log))
    return Order(folder, tag, cwd, place, limits, grace, processes, float(sample) if sample else None, step)


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
