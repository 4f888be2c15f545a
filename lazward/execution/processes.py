"""Finding and ending processes: who descends from whom, who belongs to a launch, and how to end a whole tree.

A process is named by its id *and* its start time, so that an id that was given to another process meanwhile is recognised.
Linux reads /proc; elsewhere `ps` is asked. Standard library only, imported by the keeper before the user's process starts.
"""

# No pathlib: see runtime/records.py.
# ruff: noqa: PTH110, PTH123, PTH208
from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False  # as in typing, which takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LINUX = sys.platform == "linux"
TAG = "LAZWARD_LAUNCH"  # the variable in the environment of every process of a launch
STOP_ROUNDS = 50  # a tree that still grows after so many rounds is killed while it grows


class Process:
    """A process seen at one moment. start: clock ticks since boot (Linux) or unix seconds (elsewhere), equal only for the
    same process. group: of processes. resident: bytes in memory, shared pages included. threads: how many (1 where that is not
    known). cpu: seconds of a core that it has used, on Linux with those of its children that it has waited for."""

    __slots__ = ("cpu", "group", "parent", "pid", "resident", "session", "start", "threads")

    def __init__(self, pid: int, parent: int, group: int, session: int, start: int, resident: int, threads: int = 1, cpu: float = 0.0):
        self.pid = pid
        self.parent = parent
        self.group = group
        self.session = session
        self.start = start
        self.resident = resident
        self.threads = threads
        self.cpu = cpu


def boot_id() -> str:
    """Differs after every start of the machine; "" where that is not known."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def look_at(pid: int) -> Process | None:
    """The living process of that id, None when there is none (a zombie is none)."""
    if LINUX:
        return _from_proc(pid)
    return next((p for p in _from_ps(["-p", str(pid)]) if p.pid == pid), None)


def all_processes() -> list[Process]:
    if LINUX:
        found = (_from_proc(int(name)) for name in os.listdir("/proc") if name.isdigit())
        return [process for process in found if process]
    return _from_ps(["-ax"])


def descendants(root: int, at_most: int | None = None) -> list[Process]:
    """Every living process below `root`, without itself. at_most: one more than so many are enough, where that saves time."""
    if LINUX and os.path.exists(f"/proc/{root}/task/{root}/children"):
        return _below(root, at_most)
    everyone = all_processes()
    return _closure([p for p in everyone if p.parent == root], everyone)


def members(tag: str, session: int, since: int) -> list[Process]:
    """The processes of a launch whose keeper is dead: those that carry its tag, those of its keeper's session (begun at or
    after `since`, so that a session id given anew is no match), and all below them. Never the caller."""
    everyone = [p for p in all_processes() if p.pid != os.getpid()]
    tagged = _carriers(f"{TAG}={tag}".encode(), everyone)
    return _closure([p for p in everyone if p.pid in tagged or (p.session == session and p.start >= since)], everyone)


def send(process: Process, number: int) -> None:
    """Sends a signal to exactly that process; nothing when it is gone, even if its id belongs to another by now."""
    import signal  # here, because it takes 6 ms to import and nobody needs it before the user's process runs

    try:
        if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
            handle = os.pidfd_open(process.pid)  # from here on the id cannot be given to another without our noticing
            try:
                now = look_at(process.pid)
                if now and now.start == process.start:
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)
        else:
            now = look_at(process.pid)
            if now and now.start == process.start:
                os.kill(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # gone, or turned into another user's by a set-uid program: not ours to end


def stop_group(process: Process) -> None:
    """Stops (SIGSTOP) all processes of the group of that process at one moment: none can fork in between."""
    import signal

    now = look_at(process.pid)
    if now and now.start == process.start and now.group == process.group and now.group not in (0, 1, os.getpgrp()):
        try:
            os.killpg(now.group, signal.SIGSTOP)
        except (ProcessLookupError, PermissionError):
            pass


def freeze(leaders: Iterable[int], still: bool) -> None:
    """Stops the groups of these processes, children of ours that were not waited for yet (nobody else has their ids), or lets them
    run again: one call for each, however many are in it."""
    import signal

    for pid in leaders:
        try:
            os.killpg(pid, signal.SIGSTOP if still else signal.SIGCONT)
        except OSError:
            pass  # no such group any more


def kill_all(find: Callable[[], list[Process]], patience_s: float = 10.0) -> list[Process]:
    """Kills what `find` yields until it yields nothing. Returns what is left after `patience_s` (stuck in the kernel, say).

    All are stopped before the first is killed: a stopped process cannot fork, so a tree that restarts its dead members
    cannot outrun the killing. Whole groups are stopped first, since one call does it for however many."""
    import signal

    deadline = time.monotonic() + patience_s
    stopped: set[tuple[int, int]] = set()
    pause, rounds = 0.001, 0
    while found := find():
        if time.monotonic() > deadline:
            return found
        fresh = [p for p in found if (p.pid, p.start) not in stopped]
        rounds += 1
        if fresh and rounds <= STOP_ROUNDS:
            for process in {p.group: p for p in fresh}.values():
                stop_group(process)
            for process in fresh:
                send(process, signal.SIGSTOP)
                stopped.add((process.pid, process.start))
            continue
        for process in found:
            send(process, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return []


def _from_proc(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the program's name, in brackets, may hold blanks and brackets itself
    if fields[0] in b"ZX" and int(fields[17]) <= 1:  # more threads than one: only the first has ended
        return None
    cpu = sum(map(int, fields[11:15])) / TICKS
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), int(fields[21]) * PAGE, int(fields[17]), cpu)


PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def _below(root: int, at_most: int | None) -> list[Process]:
    """Descendants through /proc/PID/task/TID/children: the cost grows with the tree, not with the machine."""
    found, todo = [], [root]
    while todo and (at_most is None or len(found) <= at_most):
        pid = todo.pop()
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                    children = file.read()
                    while more := file.read():
                        children += more
            except OSError:
                continue
            for child in map(int, children.split()):
                todo.append(child)
                if process := _from_proc(child):
                    found.append(process)
    return found


def _closure(seeds: list[Process], everyone: list[Process]) -> list[Process]:
    """The seeds and all below them."""
    children: dict[int, list[Process]] = {}
    for process in everyone:
        children.setdefault(process.parent, []).append(process)
    found, todo = {p.pid: p for p in seeds}, list(seeds)
    while todo:
        for child in children.get(todo.pop().pid, ()):
            if child.pid not in found:
                found[child.pid] = child
                todo.append(child)
    return list(found.values())


def _carriers(variable: bytes, everyone: list[Process]) -> set[int]:
    """The ids of the processes that were started with that b"NAME=value" in their environment."""
    if not LINUX:
        return {
            int(line.split(None, 1)[0]) for line in _ps("axeww", "pid=,command=") if variable in line.encode().split()
        }
    found = set()
    for process in everyone:
        try:
            with open(f"/proc/{process.pid}/environ", "rb") as file:
                if variable in file.read().split(b"\0"):
                    found.add(process.pid)
        except OSError:
            pass  # gone, or another user's
    return found


def _from_ps(selection: list[str]) -> list[Process]:
    """The table of `ps`, whose columns pid, ppid, stat, rss (KiB), time and lstart (five words) both BSD and procps know."""
    found = []
    for line in _ps(*selection, "pid=,ppid=,stat=,rss=,time=,lstart="):
        fields = line.split(None, 5)
        if len(fields) == 6 and not fields[2].startswith("Z"):
            pid = int(fields[0])
            try:
                group, session = os.getpgid(pid), os.getsid(pid)
                start = int(time.mktime(time.strptime(fields[5].strip(), "%a %b %d %H:%M:%S %Y")))
                cpu = seconds_of(fields[4])
            except (OSError, ValueError):
                continue  # gone meanwhile
            found.append(Process(pid, int(fields[1]), group, session, start, int(fields[3]) * 1024, cpu=cpu))
    return found


def seconds_of(clock: str) -> float:
    """The time of a core as `ps` writes it: "0:01.23" (BSD), "00:00:01" or "1-02:03:04" (procps). Raises ValueError."""
    days, _, rest = clock.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = total * 60 + float(part)
    return total + int(days or 0) * 86400


def _ps(*arguments: str) -> list[str]:
    import subprocess

    *selection, columns = arguments
    done = subprocess.run(
        ["ps", *selection, "-o", columns], capture_output=True, text=True, errors="replace", env={**os.environ, "LC_ALL": "C"}
    )
    return done.stdout.splitlines()
