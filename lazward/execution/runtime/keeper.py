"""The keeper: one small process per launch that outlives whoever started it, starts the processes, watches them, stops them,
and writes down how they ended.

It is a session of its own and nobody's child, so the end of the control plane or the worker does not touch it. On Linux it is
the "subreaper" of everything below it: a process that forks away from its parent becomes the keeper's child, not init's, and
is found and ended with the rest. Modules are imported when they are needed, in the order of the user's patience: what is not
needed to start the user's process is imported while it already runs.
"""

# No pathlib: see records.py.
from __future__ import annotations

import os
import select
import time

from lazward.execution import processes
from lazward.execution.runtime import crowd, memory, records, spawn
from lazward.execution.runtime.order import Order, receive
from lazward.execution.runtime.words import signal_name, size

if processes.TYPE_CHECKING:
    from lazward.execution.runtime.guard import Guard
    from lazward.execution.runtime.sampler import Sampler

LEFTOVER_GRACE_S = 1.0  # for what still runs when the command itself has ended
SAMPLE_FIRST_S = 0.1
SAMPLE_LIMITED_S = 0.25  # between two looks at the memory where it is limited
SAMPLE_FREE_S = 1.0  # and where it is only reported
SAMPLE_SHARE = 50  # looking at the processes takes at most 1/50 of a core
KILL_S = 60.0  # for killing a tree: thousands of processes that never sleep leave us little time
GROWS = 50  # so many more processes than at the last look: whoever forks without end is caught early
SLOW_S = 0.3
SAMPLE_GROWING = 4  # then looking may take 1/4 of a core
PRIORITY = -10  # where we may: whoever is to stop a thousand processes must not wait for each of them to have its turn
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Reads an order from stdin; says "running", "ended" or "attached" on stdout as soon as it is so. Anything else there is
    the fault that kept the keeper from taking the order."""
    os.setsid()
    os.umask(0o077)
    os.chdir("/")
    if not select.select([0], [], [], 0)[0]:  # a spare keeper, made before there is an order: time to import the rest
        import signal  # noqa: F401

        import lazward.execution.runtime.guard
        import lazward.execution.runtime.sampler  # noqa: F401

        _become_subreaper()
    order = receive(0)
    if order is None:
        os._exit(1)
    folder = os.fsdecode(order.folder)
    lock = records.claim(folder)
    if lock is None:
        _reply(b"attached")
        os._exit(0)
    Keeper(order, folder).run()
    os._exit(0)  # gives the lock back too


def _reply(word: bytes) -> None:
    """Answers the starter and leaves its pipes."""
    try:
        os.write(1, word + b"\n")
    except OSError:
        pass  # it died meanwhile; the launch goes on
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _become_subreaper() -> bool:
    if not processes.LINUX:
        return False
    try:
        import ctypes

        return ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        return False  # a Python without ctypes: processes that fork away are found by their tag and session


class Keeper:
    def __init__(self, order: Order, folder: str):
        self.order = order
        self.folder = folder
        self.tag = os.fsdecode(order.tag)
        self.start_mark = 0  # our own start, in the measure of Process.start
        self.running: dict[int, int] = {}  # process id -> index in the order
        self.reason: str | None = None  # why the launch ends; None: every process ended well so far
        self.code: int | None = None
        self.signal: int | None = None
        self.failed: int | None = None
        self.message = ""
        self.note = ""  # added to the message
        self.started: float | None = None
        self.peak = 0
        self.stop_by: float | None = None  # after TERM was sent: when KILL follows (monotonic seconds)
        self.subreaper = False
        self.ears: tuple[int, ...] = ()
        self.oom_before: int | None = None
        self.logs: list[int] = []  # file descriptors, in the order of the processes
        self.count = 0  # of processes at the last look
        self.slow = False  # that look took long, and there were many
        self.crowd = crowd.Crowd(order.limits.max_processes)
        self.sampler: Sampler | None = None

    def run(self) -> None:
        """The whole life of the launch."""
        control = records.open_fifo(self.folder, records.CONTROL)
        alive = records.open_fifo(self.folder, records.ALIVE)
        if records.has(self.folder, records.CANCEL):  # looked for once the FIFO is open: a later cancel comes through it
            self.reason, self.message = "canceled", "The launch was canceled before it started."
        else:
            self.subreaper = _become_subreaper()
            self.begin()
        if self.running:
            if self.reason is None:
                self.make_durable()
                _reply(b"running")
            self.listen(control)
            if self.order.sample_s is not None:
                from lazward.execution.runtime import sampler

                self.sampler = sampler.begin(self.order, self.folder, self.tree)
            self.watch()
            self.end_leftovers()
            if self.sampler:
                self.sampler.last(self.peak)
        self.record()
        os.close(alive)
        _reply(b"ended")

    def begin(self) -> None:
        """Starts the processes, all or (then `reason` says so) not all of them."""
        me = processes.look_at(os.getpid())
        self.start_mark = me.start if me else 0
        self.started = time.time()
        record: dict[str, str | int | float | None] = {
            "pid": os.getpid(),
            "start": self.start_mark,
            "boot": processes.boot_id(),
            "tag": self.tag,
            "started": self.started,
            "logs": " ".join(process.log.hex() for process in self.order.processes),
        }
        records.write(self.folder, records.KEEPER, records.to_json(record), durable=False)
        self.oom_before = memory.kernel_kills()
        score = memory.raise_oom_score()
        soft = crowd.hold_back()
        logs, index = self.logs, 0
        try:
            for process in self.order.processes:
                index = len(logs)
                logs.append(spawn.open_log(process.log))
            index = 0
            spawn.enter(self.order.cwd)
            for index, process in enumerate(self.order.processes):
                self.running[spawn.start(process, self.order.tag, logs[index])] = index
        except spawn.CannotStart as error:
            self.reason, self.message, self.failed = "launch", str(error), index
            if index < len(logs):
                os.write(logs[index], f"{error}\n".encode(errors="replace"))
        finally:
            memory.restore_oom_score(score)
            crowd.let_go(soft)
            os.chdir("/")

    def make_durable(self) -> None:
        """Brings "this was started" to the disk. Done while the user's process already runs, before the starter is told: a
        machine that dies in between has not promised anything."""
        try:
            for path in (f"{self.folder}/{records.KEEPER}", self.folder, os.path.dirname(self.folder)):
                records.sync(path)
        except OSError as error:  # what runs is not stopped for a full disk
            _complain(f"cannot write {records.KEEPER}: {error}")

    def listen(self, control: int) -> None:
        """From now on `sleep` ends when a child ends or somebody writes to the control FIFO."""
        import signal

        wake, wake_write = os.pipe()
        for fd in (wake, wake_write):
            os.set_blocking(fd, False)
        self.ears = (wake, control)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        except OSError:
            pass  # an ordinary user's keeper waits its turn
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # there is `cancel` for ending a launch; this would only lose its record
        try:
            log = os.open(f"{self.folder}/{records.KEEPER_LOG}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError:
            return  # a full disk: then we have no words, but go on
        os.dup2(log, 2)
        os.close(log)

    def watch(self) -> None:
        """Returns when every process of the order has ended, by itself or because it was stopped."""
        limits = self.order.limits
        deadline = None if limits.timeout_s is None else time.monotonic() + limits.timeout_s
        pause = SAMPLE_FIRST_S
        sample_at = time.monotonic() + pause
        guard = None
        while True:
            self.reap()
            if not self.running:
                return
            now = time.monotonic()
            if self.stop_by is not None:
                if now >= self.stop_by:
                    processes.freeze(self.running, True)
                    processes.kill_all(self.tree, KILL_S)
                    self.reap()
                    return
            elif self.reason is not None:  # one could not start, or failed: the others have no use
                self.terminate(0.0 if self.reason == "launch" else self.order.grace_s)
            elif records.has(self.folder, records.CANCEL):
                self.stop("canceled", "The launch was canceled.")
            elif deadline is not None and now >= deadline:
                self.stop("timeout", f"The time limit of {limits.timeout_s:g} s was reached.")
            if now >= sample_at:
                if self.stop_by is None and not records.has(self.folder, records.LOCK):
                    self.stop("lost", "The records of the launch were removed.")  # nobody could watch or cancel it any more
                grows = self.sample()
                guard = guard or self.on_guard()  # not before: what ends within a moment needs none
                cost = time.monotonic() - now
                pause = min(pause * 2, SAMPLE_FREE_S if limits.memory_bytes is None else SAMPLE_LIMITED_S)
                sample_at = now + (max(SAMPLE_FIRST_S, cost * SAMPLE_GROWING) if grows else max(pause, cost * SAMPLE_SHARE))
            if guard and now >= guard.at and (trouble := guard.look()):
                if self.stop_by is None:
                    self.stop(trouble.reason, trouble.message)
                if trouble.runaway:
                    self.stop_by = now
            if self.sampler and now >= self.sampler.at:
                self.sampler.look(self.running)
            until = min(sample_at, guard.at if guard else sample_at, self.sampler.at if self.sampler else sample_at)
            limit = deadline if self.stop_by is None else self.stop_by
            self.sleep(until if limit is None else min(until, limit))

    def on_guard(self) -> Guard:
        from lazward.execution.runtime.guard import Guard

        return Guard(self.order.limits, self.folder, os.fsdecode(self.order.place), self.logs, self.tree)

    def sleep(self, until: float) -> None:
        """Until that moment (monotonic), the end of a child, or a word on the control FIFO."""
        readable, _, _ = select.select(self.ears, [], [], max(0.0, until - time.monotonic()))
        for fd in readable:
            try:
                os.read(fd, 4096)
            except BlockingIOError:
                pass

    def reap(self) -> bool:
        """Takes note of every child that has ended, adopted ones included. Whether any child is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                if self.running:  # SIGCHLD was ignored when we were started, so the kernel threw the first ends away
                    self.running.clear()
                    self.reason, self.message = "lost", "The processes ended, but the system did not say how."
                return False
            if pid == 0:
                return True
            self.peak = max(self.peak, usage.ru_maxrss * (1024 if processes.LINUX else 1))
            index = self.running.pop(pid, None)
            if index is not None and status != 0 and self.reason is None:
                self.fail(index, os.waitstatus_to_exitcode(status))

    def fail(self, index: int, code: int) -> None:
        """The first process that failed decides; the others are stopped, as torchrun and mpirun do. code: as in subprocess,
        negative for a signal."""
        count = len(self.order.processes)
        who = "The command" if count == 1 else f"Process {index} of {count}"
        self.failed = index
        kills = memory.kernel_kills()
        killed_by_kernel = kills is not None and self.oom_before is not None and kills > self.oom_before
        if killed_by_kernel and code in (-9, 137):  # 137: a shell whose child was killed
            self.reason, self.signal = "memory", 9
            self.message = f"{who} was killed by the system because memory ran out."
        elif code < 0:
            self.reason, self.signal = "signal", -code
            self.message = f"{who} was killed by signal {-code} ({signal_name(-code)})"
            self.message += ", possibly because memory ran out." if code == -9 else "."
        else:
            self.reason, self.code = "exit", code
            self.message = f"{who} ended with exit code {code}."
            if killed_by_kernel:
                self.message += " The system killed a process meanwhile because memory ran out."

    def stop(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message
        self.terminate(self.order.grace_s)

    def terminate(self, grace_s: float) -> float:
        """Asks the whole tree to end; KILL follows after the grace time, at the moment returned."""
        import signal

        self.stop_by = time.monotonic() + grace_s
        for process in self.tree():
            processes.send(process, signal.SIGTERM)
        return self.stop_by

    def sample(self) -> bool:
        """Looks at the processes and the memory they hold: for the record, and for the limits. Whether their number grows fast."""
        limit = self.order.limits.memory_bytes
        began = time.monotonic()
        frozen = self.crowd.is_sudden() or self.slow
        if frozen:
            processes.freeze(self.running, True)  # what forks as fast as it can leaves us no time to count
        try:
            self.crowd.fit()
            tree = self.tree(self.crowd.processes)
            if trouble := self.crowd.trouble(tree):
                if self.stop_by is None:
                    self.reason, self.message = "processes", trouble
                self.stop_by, frozen = began, False  # no grace, in which there would be more and more of them
                return True
            held = memory.held(tree, at_least=self.peak if limit is None else min(self.peak, limit))
        except OSError as error:  # no file descriptor or memory to be had at this moment
            _complain(f"cannot see the processes: {error}")
            return False
        finally:
            if frozen:
                processes.freeze(self.running, False)
        self.slow = self.crowd.is_near(tree) and time.monotonic() - began > SLOW_S
        self.peak = max(self.peak, held)
        if limit is not None and held > limit and self.stop_by is None:
            self.stop("memory", f"The processes held {size(held)} of memory, more than the limit of {size(limit)}.")
        grows, self.count = len(tree) > self.count + GROWS, len(tree)
        return grows

    def tree(self, at_most: int | None = None) -> list[processes.Process]:
        """All living processes of the launch. at_most: one more than so many are enough."""
        self.reap()
        below = processes.descendants(os.getpid(), at_most)
        if self.subreaper:
            return below
        known = {p.pid for p in below}
        others = processes.members(self.tag, session=os.getpid(), since=self.start_mark)
        return below + [p for p in others if p.pid not in known]

    def end_leftovers(self) -> None:
        """Ends what forked away and runs on: TERM, a short grace (the rest of the long one where the launch was stopped),
        KILL."""
        if self.subreaper and not self.reap():
            return
        until = self.stop_by
        if until is None:
            until = self.terminate(min(self.order.grace_s, LEFTOVER_GRACE_S))
        while self.tree() and time.monotonic() < until:
            self.sleep(min(until, time.monotonic() + 0.05))
        if left := processes.kill_all(self.tree, KILL_S):
            ids = ", ".join(str(process.pid) for process in left[:10]) + (", ..." if len(left) > 10 else "")
            self.note = f" These processes could not be killed: {ids}."

    def record(self) -> None:
        """Writes exit.json. A full disk must not lose the end of a launch: it stays "running" until there is room."""
        if self.reason is None:
            self.reason, self.code = "exit", 0
            self.message = "The command ended well."
        record: dict[str, str | int | float | None] = {
            "state": "ended",
            "reason": self.reason,
            "code": self.code,
            "signal": self.signal,
            "message": self.message + self.note,
            "started": self.started,
            "ended": time.time(),
            "peak_memory_bytes": self.peak or None,
            "failed_process": self.failed,
        }
        while True:
            try:
                return records.write(self.folder, records.EXIT, records.to_json(record), durable=True)
            except FileNotFoundError:
                return  # the folder was removed: there is nobody to tell
            except OSError as error:
                _complain(f"cannot write {records.EXIT}: {error}")
                time.sleep(1)


def _complain(text: str) -> None:
    try:
        os.write(2, f"{text}\n".encode(errors="replace"))
    except OSError:
        pass  # the disk of keeper.log is full too
