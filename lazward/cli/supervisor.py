"""Keeps the parts of the server running: starts them, restarts those that end, stops all in good order.

One thread, one loop: it sleeps until a signal comes (SIGCHLD, TERM, INT, HUP) or something is due. Why a supervisor of our own:
docs/decisions/0013-supervisor.md.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazward.cli import datadir, logs, processes
from lazward.cli.part import ChildSpec, Part

HOPELESS = 4  # failures in a row of a part that was never ready
_READY_PAUSE, _WANTED_PAUSE, _IDLE_PAUSE = 0.05, 0.2, 5.0
_RENEWAL_EVERY = 6 * 3600.0


@dataclass(frozen=True)
class Options:
    """`renew` checks the server certificate and says whether it made a new one. `stop_grace` is in seconds."""

    parts_file: Path
    log: Path
    log_max_bytes: int
    log_keep: int
    stop_grace: float
    renew: Callable[[], bool]


class Supervisor:
    """`say` gets one line for people per event; `on_ready` is called once, when every part is ready for the first time; `on_hopeless` once,
    with the reason, when one does not come up (it is tried again all the same)."""

    def __init__(
        self, specs: Sequence[ChildSpec], options: Options, say: Callable[[str], None],
        on_ready: Callable[[], None] = lambda: None, on_hopeless: Callable[[str], None] = lambda reason: None,
        *, ignore_hangup: bool = False,
    ):
        self.parts = [Part(spec) for spec in specs]
        self._options = options
        self._say = say
        self._on_ready: Callable[[], None] | None = on_ready
        self._on_hopeless: Callable[[str], None] | None = on_hopeless
        self._ignore_hangup = ignore_hangup
        self._stop_signals = 0
        self._written: list[dict[str, Any]] | None = None
        self._next_check = 0.0
        self._next_renewal = time.monotonic() + _RENEWAL_EVERY

    def run(self, left: Iterable[Mapping[str, Any]] = ()) -> None:
        """Runs until TERM, INT or HUP and all parts have ended. `left` are the records of parts that still run and may be adopted."""
        with self._woken_by_signals() as wakeup:
            records = {record["name"]: record for record in left}
            for part in self.parts:
                record = records.get(part.spec.name)
                if record:
                    part.adopt(record)
                    self._tell(part, f"goes on (pid {part.pid})")
            while not self._stop_signals:
                self._reap()
                self._start_due()
                self._ask_ready()
                self._check_logs_and_certificate()
                self._write()
                self._sleep(wakeup, self._pause())
            self._stop(wakeup)
        self._options.parts_file.unlink(missing_ok=True)

    def _reap(self) -> None:
        by_pid = {part.pid: part for part in self.parts if part.alive and not part.adopted}
        # All children, not ours alone: as the first process of a container the supervisor inherits orphans.
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid in by_pid:
                    self._ended(by_pid[pid], status)
        for part in self.parts:
            if part.vanished():
                self._ended(part, None)

    def _ended(self, part: Part, status: int | None) -> None:
        replaced = part.replacing
        part.ended(status)
        if part.state == "waiting" and not replaced:
            self._failed(part)

    def _failed(self, part: Part) -> None:
        self._tell(part, f"{part.last_error}; starts again in {max(0.0, part.due - time.monotonic()):.1f} s")
        if part.failures >= HOPELESS and not part.was_ready and self._on_hopeless:
            call, self._on_hopeless = self._on_hopeless, None
            call(f"its part '{part.spec.name}' does not start: {part.last_error}")

    def _start_due(self) -> None:
        now = time.monotonic()
        for part in self.parts:
            if part.state in ("idle", "stopped") or (part.state == "waiting" and part.due <= now):
                if part.spec.wanted is not None and not part.spec.wanted():
                    part.state = "idle"
                    continue
                try:
                    part.start()
                except (OSError, subprocess.SubprocessError) as error:
                    part.failed(f"could not be started: {error}")
                    self._failed(part)
                    continue
                self._write()  # at once, so that it can be found if we are killed
                self._tell(part, f"started (pid {part.pid})")

    def _ask_ready(self) -> None:
        for part in self.parts:
            if part.ask_ready():
                self._tell(part, "ready")
        if self._on_ready and all(part.state in ("idle", "running") for part in self.parts):
            call, self._on_ready = self._on_ready, None
            self._write()
            call()

    def _check_logs_and_certificate(self) -> None:
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _IDLE_PAUSE
        try:
            for path in (*(part.spec.log for part in self.parts), self._options.log):
                logs.rotate(path, self._options.log_max_bytes, self._options.log_keep)
            if now >= self._next_renewal:
                self._next_renewal = now + _RENEWAL_EVERY
                if self._options.renew():
                    self._restart_for_certificate()
        except Exception as error:
            # A full disk or a lost key must not take the running parts down with the supervisor.
            self._log(f"upkeep failed: {error}")

    def _restart_for_certificate(self) -> None:
        for part in self.parts:
            if part.spec.serves_tls:
                self._tell(part, "is started again to load the renewed certificate")
                part.replace()

    def _pause(self) -> float:
        if any(part.state == "starting" for part in self.parts):
            return _READY_PAUSE
        pauses = [_IDLE_PAUSE]
        pauses += [part.due - time.monotonic() for part in self.parts if part.state == "waiting"]
        pauses += [1.0 for part in self.parts if part.adopted and part.alive]
        pauses += [_WANTED_PAUSE for part in self.parts if part.state == "idle"]
        return max(0.0, min(pauses))

    def _stop(self, wakeup: socket.socket) -> None:
        self._log("stopping")
        for part in self.parts:
            part.state = "stopping" if part.alive else "stopped"
            part.signal(signal.SIGTERM)
        self._write()
        deadline = time.monotonic() + self._options.stop_grace
        killed = False
        while any(part.alive for part in self.parts):
            self._reap()
            self._write()
            # A second Ctrl-C means: now.
            if not killed and (time.monotonic() >= deadline or self._stop_signals > 1):
                killed = True
                for part in self.parts:
                    if part.alive:
                        self._tell(part, f"did not end within {self._options.stop_grace:g} s and is killed")
                    part.signal(signal.SIGKILL)
            self._sleep(wakeup, 0.05)
        self._log("stopped")

    def _tell(self, part: Part, what: str) -> None:
        self._log(f"{part.spec.name}: {what}")

    def _log(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a full disk or a closed terminal is no reason to stop
            logs.append(self._options.log, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}")
        with contextlib.suppress(OSError):
            self._say(line)

    def _write(self) -> None:
        records = [part.record() for part in self.parts]
        if records != self._written:
            try:
                datadir.write_json(self._options.parts_file, records, durable=False)
                self._written = records
            except OSError as error:
                self._log(f"{self._options.parts_file} could not be written: {error}")
                self._written = records  # not again before something else changes

    @contextlib.contextmanager
    def _woken_by_signals(self):
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if self._ignore_hangup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            handled = handled[:2]
        old = {number: signal.signal(number, self._on_stop_signal) for number in handled}
        old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler at all, so that it wakes the sleep
        old_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(old_fd)
            for number, handler in old.items():
                signal.signal(number, handler)
            reader.close()
            writer.close()

    def _on_stop_signal(self, *_: Any) -> None:
        self._stop_signals += 1

    @staticmethod
    def _sleep(wakeup: socket.socket, seconds: float) -> None:
        select.select([wakeup], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while wakeup.recv(512):
                pass


def leftovers(parts_file: Path) -> list[dict[str, Any]]:
    """Records of parts that run on without the supervisor that started them. The caller holds the data dir's lock."""
    records = datadir.read_json(parts_file)
    found = []
    for record in records if isinstance(records, list) else []:
        with contextlib.suppress(KeyError, TypeError):
            if processes.is_same(record["pid"], record["identity"]):
                found.append(record)
    return found


def end_leftovers(records: Iterable[Mapping[str, Any]], grace: float, say: Callable[[str], None]) -> None:
    """Ends them; raises RuntimeError for one that does not end (a process stuck in the kernel)."""
    for record in records:
        say(f"{record['name']}: ends (pid {record['pid']}, left by a server that was killed)")
        if not processes.end(record["pid"], record["identity"], grace):
            raise RuntimeError(f"the part '{record['name']}' of an earlier server (pid {record['pid']}) cannot be ended")
