"""One supervised process: how it is started, adopted, watched and described."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lazward.cli import logs, processes
from lazward.cli.output import duration
from lazward.cli.ports import Listener

LISTEN_FD = "LAZWARD_LISTEN_FD"
GOOD_PERIOD = 30.0  # seconds; one that ran this long starts again without delay
MAX_DELAY = 30.0

State = Literal["idle", "starting", "running", "waiting", "stopping", "stopped"]


@dataclass(frozen=True)
class ChildSpec:
    """What to keep running. `env` is the whole environment. `ready` says whether the process of that pid does its work by now; it must
    answer within about a second and is asked again until it says yes (None: ready as soon as it has been started). `listener`: a socket to inherit, its number
    in LAZWARD_LISTEN_FD. `outlives`: goes on when the supervisor is killed and is adopted by the next one; the others end then.
    `serves_tls`: must be started anew when the server certificate is renewed. `wanted`: says when there is something for it to do; it is
    "idle" before that, and asked again and again (None: always)."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    cwd: Path
    ready: Callable[[int], bool] | None = None
    listener: Listener | None = None
    outlives: bool = False
    serves_tls: bool = False
    wanted: Callable[[], bool] | None = None

    @property
    def fingerprint(self) -> str:
        """Changes when a process of an earlier supervisor must be replaced instead of adopted."""
        return hashlib.sha256(repr(self.argv).encode()).hexdigest()[:16]


@dataclass
class Part:
    """The state of one child. Times named `since` are unix seconds; those compared are monotonic."""

    spec: ChildSpec
    state: State = "stopped"
    pid: int = 0
    identity: str = ""
    since: float = 0.0
    restarts: int = 0
    failures: int = 0  # in a row, without a good period between
    last_error: str = ""
    was_ready: bool = False
    adopted: bool = False  # not our child: no exit status can be had
    replacing: bool = False  # told to end in order to start anew: that is no failure
    due: float = 0.0  # when to start again
    _began: float = 0.0
    _log_mark: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        return self.pid > 0

    def start(self) -> None:
        """Raises OSError where the process cannot be started or its port has been taken."""
        spec = self.spec
        env = dict(spec.env)
        fds: tuple[int, ...] = ()
        if spec.listener is not None:
            fds = (spec.listener.open(),)
            env[LISTEN_FD] = str(fds[0])
        self._log_mark = logs.size(spec.log)
        log = logs.open_log(spec.log)
        try:
            self._process = subprocess.Popen(
                spec.argv, env=env, cwd=spec.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds,
                # Its own session: Ctrl-C in the terminal reaches the supervisor alone, which ends the parts in order.
                start_new_session=True,
                preexec_fn=None if spec.outlives else processes.die_with(os.getpid()),
            )
        finally:
            os.close(log)
        self._became(self._process.pid, processes.identity(self._process.pid) or "", time.time(), adopted=False)
        self.state = "starting" if spec.ready else "running"
        self.was_ready = self.was_ready or not spec.ready

    def adopt(self, record: Mapping[str, Any]) -> None:
        """Takes over a process of an earlier supervisor, by its record."""
        self._became(record["pid"], record["identity"], record["since"], adopted=True)
        self.restarts = record["restarts"]
        self.last_error = record["last_error"]
        self.state = "starting" if self.spec.ready else "running"
        self._log_mark = logs.size(self.spec.log)

    def _became(self, pid: int, identity: str, since: float, adopted: bool) -> None:
        self.pid, self.identity, self.since, self.adopted = pid, identity, since, adopted
        self._began = time.monotonic()

    def ended(self, status: int | None) -> None:
        """Takes note of the end; `status` as of waitpid, None if unknown. Sets when it is to be started again."""
        if self._process is not None:
            self._process.returncode = 0 if status is None else os.waitstatus_to_exitcode(status)  # so that it does not wait itself
            self._process = None
        ran = time.monotonic() - self._began
        self.pid = 0
        if self.state == "stopping":
            self.state = "stopped"
            return
        if self.replacing:
            self.replacing, self.state, self.due = False, "waiting", 0.0
            return
        self.failed(f"{_how_it_ended(status)} after {duration(ran)}", good=ran >= GOOD_PERIOD)

    def failed(self, what: str, good: bool = False) -> None:
        """Notes a failure (the end of a running one, or a start that was impossible) and plans the next start."""
        self.failures = 1 if good else self.failures + 1
        lines = logs.last_lines(self.spec.log, 1, since=self._log_mark)
        self.last_error = f"{what}; last line of its log: {lines[-1][:300]}" if lines else what
        delay = backoff(self.failures)
        self.due = time.monotonic() + delay
        self.state = "waiting"
        self.restarts += 1
        if self.spec.listener is not None and delay > 2:
            # Clients had better be told at once than wait for a server that does not come up.
            self.spec.listener.close()

    def ask_ready(self) -> bool:
        """Asks a starting part; returns whether it has just become ready."""
        if self.state != "starting" or self.spec.ready is None or not self.spec.ready(self.pid):
            return False
        self.state = "running"
        self.was_ready = True
        return True

    def vanished(self) -> bool:
        """Whether an adopted process has gone."""
        return self.adopted and self.alive and not processes.is_same(self.pid, self.identity)

    def replace(self) -> None:
        """Ends it, in order that it is started again at once."""
        self.replacing = self.alive
        self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        if self.alive and processes.is_same(self.pid, self.identity):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def record(self) -> dict[str, Any]:
        """What parts.json says of it: enough to recognise the process again, and what `lazward status` shows."""
        return {
            "name": self.spec.name, "state": self.state, "pid": self.pid, "identity": self.identity, "since": self.since,
            "restarts": self.restarts, "last_error": self.last_error, "outlives": self.spec.outlives, "fingerprint": self.spec.fingerprint,
            "log": str(self.spec.log),
        }


def backoff(failures: int) -> float:
    """Seconds before the next start after that many failures in a row: 0.1, 0.3, 0.9, 2.7, ... 30."""
    return min(MAX_DELAY, 0.1 * 3 ** min(failures - 1, 10))


def _how_it_ended(status: int | None) -> str:
    if status is None:
        return "ended"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
