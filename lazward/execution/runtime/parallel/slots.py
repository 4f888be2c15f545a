"""A place for one worker process: starting it, hearing it, and ending it with everything it has started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from . import messages

HERE = os.path.dirname(os.path.abspath(__file__))
LOGS = "logs"
STARTING, IDLE, LOADING, RUNNING, STOPPING, GONE = "starting", "idle", "loading", "running", "stopping", "gone"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS")


class Slot:
    """node: the instance it belongs to. batch: index of the mini-batch in hand. deadline: when what it does has taken too long
    (monotonic seconds). failures: starts in a row that came to nothing."""

    def __init__(self, number: int, node: int, variables: dict[str, str]):
        self.number = number
        self.node = node
        self.variables = variables
        self.state = GONE
        self.process: Any = None
        self.name = ""
        self.link: Any = None
        self.batch: int | None = None
        self.deadline: float | None = None
        self.failures = 0
        self.killed = ""  # why we have killed it
        self._reader = messages.Reader()

    def spawn(self, serial: int, arguments: list[str]) -> None:
        """A new process, the serial-th of the job. It does nothing yet but load itself."""
        self.name, node = f"process{serial:03d}", str(self.node)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        streams = [_log("stdout", node, f"{self.name}.stdout.txt"), _log("stderr", node, f"{self.name}.stderr.txt")]
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-u", HERE, "--lazward-worker", str(theirs.fileno()), *arguments], stdin=subprocess.DEVNULL, stdout=streams[0], stderr=streams[1],
                pass_fds=[theirs.fileno()], env={**os.environ, **self.variables}, start_new_session=True,
            )
        finally:
            theirs.close()
            for stream in streams:
                os.close(stream)
        self.link, self._reader = ours, messages.Reader()
        self.state, self.batch, self.killed = STARTING, None, ""

    def begin(self, start: dict[str, Any], limit_s: float) -> None:
        """Lets it load the user's script and call init()."""
        self.deadline = time.monotonic() + limit_s
        self.send({"start": {**start, "node": str(self.node), "process": self.name}})

    def dismiss(self) -> None:
        """Ends one that was not let begin, and what there is of its logs."""
        self.kill()
        self.process.wait()
        self.bury()
        for stream in ("stdout", "stderr"):
            os.unlink(_log_path(stream, str(self.node), f"{self.name}.{stream}.txt"))

    def send(self, header: dict[str, Any]) -> None:
        """A worker that is gone is not told; its end is seen elsewhere."""
        self.link.setblocking(True)  # it waits for us, so it reads
        try:
            messages.send(self.link, header)
        except OSError:
            pass
        finally:
            self.link.setblocking(False)

    def hear(self) -> tuple[list[messages.Message], bool]:
        """What has come, and whether that was all for ever."""
        out: list[messages.Message] = []
        while True:
            try:
                piece = self.link.recv(messages.PIECE)
            except BlockingIOError:
                return out, False
            except OSError:
                return out, True
            if not piece:
                return out, True
            out += self._reader.feed(piece)
            if len(piece) < messages.PIECE:
                return out, False

    def give_up(self, why: str) -> None:
        """From now on nothing it says counts. It writes its stack into its stderr; kill() is to follow."""
        self.killed = why
        if self.state != STARTING:  # its handler may not be there yet, and the signal would end it
            self.process.send_signal(messages.STACK_SIGNAL)

    def kill(self, why: str = "") -> None:
        """Ends the process and what it has started in its session, now. A process that has left the session is the keeper's to find."""
        if self.process is None or self.process.returncode is not None:
            return
        self.killed = self.killed or why
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            self.process.kill()

    def bury(self) -> str:
        """After the end of the process: what it left is ended, too. How it ended, in words."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass  # nobody is left
        self.link.close()
        self.state = GONE
        code = self.process.returncode
        if self.killed:
            return self.killed
        if code >= 0:
            return f"its process ended by itself with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        more = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
        return f"its process was ended by signal {-code} ({name}{more})"


def slots(instances: int, per_instance: int, env: dict[str, str], cores: int) -> list[Slot]:
    """All places of the job: GPUs are dealt out in turn, and the threads of numeric libraries share the cores unless the job says otherwise."""
    devices = [d for d in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if d.strip()]
    threads = {} if any(name in env for name in THREADS) else dict.fromkeys(THREADS, str(max(1, cores // (instances * per_instance))))
    out = []
    for number in range(instances * per_instance):
        node = number // per_instance
        variables = {**threads, "NODE_RANK": str(node), "AZUREML_NODE_COUNT": str(instances), "NODE_COUNT": str(instances)}
        if devices:
            variables["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        out.append(Slot(number, node, variables))
    return out


def end(slots: list[Slot]) -> None:
    """Kills whatever of them still runs."""
    for slot in slots:
        if slot.state != GONE:
            slot.kill()
            slot.process.wait()
            slot.bury()


def _log_path(stream: str, node: str, name: str) -> str:
    return os.path.join(LOGS, "user", stream, node, name)


def _log(stream: str, node: str, name: str) -> int:
    path = _log_path(stream, node, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
