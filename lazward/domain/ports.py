"""Protocols that the layers above implement or use: what the product needs from machines, clocks and stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec


class ProcessSpec(msgspec.Struct, frozen=True):
    """One process of a launch. stdout and stderr go, in order, to `log` (absolute path, appended)."""

    argv: tuple[str, ...]
    env: Mapping[str, str]  # the whole environment: nothing is inherited
    log: str


class LaunchSpec(msgspec.Struct, frozen=True):
    """What to run. The name is deterministic (run id + attempt): starting it twice attaches to what runs already.

    A limit that is None is none. One that is reached stops the whole tree, with the end reason named beside it."""

    name: str
    processes: tuple[ProcessSpec, ...]
    cwd: str
    timeout_s: float | None = None  # "timeout": wall clock
    memory_bytes: int | None = None  # "memory": held by the whole tree
    max_processes: int | None = None  # "processes": alive in the tree at once; also eight times as many threads
    log_bytes: int | None = None  # "log": all logs of the launch together
    folder: str | None = None  # the launch's own folder, for the two limits below; None: cwd
    disk_bytes: int | None = None  # "disk": taken by the files in `folder`, without what is shared with others by hard links
    free_disk_bytes: int | None = None  # "space": the disk of `folder` has less left, and of all launches this one holds most of it
    sample_s: float | None = None  # between two samples of system metrics; None: none are taken
    sample_step: int = 0  # of the first sample
    grace_s: float = 10.0  # between SIGTERM and SIGKILL; cut short for one that runs away (processes, or far over another limit)


EndReason = Literal["exit", "signal", "timeout", "memory", "processes", "log", "disk", "space", "canceled", "lost", "launch"]


class LaunchStatus(msgspec.Struct, frozen=True):
    """State of a launch. `ended` states carry why: exit (code), signal (number), memory (over the limit or the kernel's OOM killer),
    another limit of LaunchSpec, canceled, lost (processes gone without a record, e.g. killed with their keeper), launch (could not
    be started)."""

    state: Literal["unknown", "running", "ended"]
    reason: EndReason | None = None
    code: int | None = None  # exit code of the first process that failed, 0 if all ended well
    signal: int | None = None
    message: str = ""  # one sentence for people
    started: float | None = None  # unix seconds
    ended: float | None = None
    peak_memory_bytes: int | None = None
    failed_process: int | None = None  # index into processes


class Capacity(msgspec.Struct, frozen=True):
    """What an executor can give to launches."""

    cores: int
    memory_bytes: int
    gpus: int


class NotStarted(RuntimeError):
    """The executor could not do its part (no memory, no room on its disk, a broken installation). Nothing was run, and `start` may
    be tried again."""


class LaunchIsRunning(RuntimeError):
    """The records of a launch cannot be removed while it runs."""


class Executor(Protocol):
    """Starts and watches launches. What it knows of them outlives whoever holds this object: every method may be called again after a
    crash of the caller, by another process with an executor made in the same way. tests/execution/test_executor_*.py says what each
    must do, whatever is killed.

    A launch is "unknown", then "running", then "ended", and keeps how it ended until it is forgotten. Names are any text but the
    empty one; two names are two launches, however alike."""

    async def start(self, spec: LaunchSpec) -> LaunchStatus:
        """Starts, or attaches to the running or ended launch of that name (whatever else the spec says). Never runs a name twice.

        A command that cannot be started is a launch that ended, with reason "launch" and the same sentence in its log.
        A caller that is cancelled hears so once it is known whether the launch runs.
        Raises ValueError, naming the field, for a spec that cannot be meant; NotStarted."""
        ...

    async def poll(self, name: str) -> LaunchStatus:
        """How the launch is now. A launch whose keeper is dead is ended by this: what is left of its processes is killed, and the
        reason is "lost"."""
        ...

    async def wait(self, name: str, timeout_s: float) -> LaunchStatus:
        """Returns at the end of the launch or after timeout_s, whichever is first. Waits for one that is not known, too."""
        ...

    async def cancel(self, name: str) -> None:
        """Stops the whole process tree (TERM, grace, KILL), also processes that left the group or session. Returns at once.

        A launch that was not started yet has then ended as canceled, and never will be. Nothing changes for one that has ended."""
        ...

    async def forget(self, name: str) -> None:
        """Removes the records of an ended launch, so that its name is free again; its log files stay. Nothing happens for an unknown
        name. Raises LaunchIsRunning."""
        ...

    async def read_log(self, name: str, process: int, start: int, limit: int) -> bytes:
        """At most `limit` bytes of what that process (index into the spec's processes) has written so far, from position `start`, where a
        negative one counts from the end. b"" when there is nothing there (yet), also of a launch that is not known or forgotten."""
        ...

    async def read_samples(self, name: str, start: int, limit: int) -> bytes:
        """Likewise of the samples of system metrics: lines, each a flat JSON object {"at": unix milliseconds, "step": ..., name: value, ...};
        names are MLflow's without the prefix "system/". The last line may not be whole yet."""
        ...

    def capacity(self) -> Capacity:
        """What there is in all, not what is free."""
        ...

    async def warm(self) -> None:
        """Makes the first start as quick as the later ones."""
        ...

    def close(self) -> None:
        """Gives back what this object holds. Launches run on."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""
        ...


class Logger(Protocol):
    def __call__(self, text: str) -> None:
        """Takes one line of progress for people (no newline)."""
        ...


Argv = Sequence[str]
