"""One worker process: the user's script, one mini-batch after the other, until the driver says stop or is gone.

Its stdout and stderr are files of its own; the driver hears only of the course of things. A time-out is the driver's business: it
ends this process, whatever it is doing.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
import time
import traceback
from datetime import datetime, timezone
from typing import Any

from . import entry, messages, rows
from .refused import Refused

ERROR_TEXT = 2000  # characters of an error that the driver is told
BROKEN = 3  # exit code
_link: Any = None


def main(fd: int, arguments: list[str]) -> int:
    """fd: of the socket to the driver. arguments: of the program."""
    link = socket.socket(fileno=fd)
    link.set_inheritable(False)  # else a process that the script starts would keep the driver's end of it open
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(messages.STACK_SIGNAL)
    first = messages.receive(link)
    if first is None:
        return 0
    global _link
    _link = link  # closed by the end of the process, not before what the script has registered with atexit
    worker = Worker(link, first[0]["start"])
    code = worker.run(arguments)
    _flush()
    return code


class Worker:
    """start: {"plan": ..., "node", "process", "append": whether rows are wanted}."""

    def __init__(self, link: socket.socket, start: dict[str, Any]):
        self.link = link
        self.plan = start["plan"]
        self.node, self.process = start["node"], start["process"]
        self.append = start["append"]
        self._frames: Any = None
        self._log: Any = None

    def run(self, arguments: list[str]) -> int:
        _log_to_stdout(self.plan["logging_level"])
        output = self.plan.get("append_row_to")
        entry.offer_helpers(self.node, self.process, self.plan["logging_level"], output and os.path.dirname(output))
        script = None
        try:
            script = entry.load(self.plan["entry_script"], arguments)
            if script.init is not None:
                script.init()
        except BaseException as error:
            where = "the script itself" if script is None else "init()"
            self._keep_trace(where, error)
            self._say({"is": "broken", "error": f"{where}: {_short(error)}", "fatal": script is None})
            return BROKEN
        if not self._say({"is": "ready"}):
            return 0
        while True:
            message = messages.receive(self.link)
            if message is None:
                return 0
            if "stop" in message[0]:
                break
            if not self._one(script, message[0]["batch"]):
                return 0
        if script.shutdown is not None:
            try:
                script.shutdown()
            except BaseException as error:
                self._keep_trace("shutdown()", error)
                self._say({"is": "failed", "items": 0, "error": f"shutdown(): {_short(error)}"})
        return 0

    def _one(self, script: entry.Entry, batch: dict[str, Any]) -> bool:
        """Does a mini-batch and tells the driver; False when that is gone."""
        began = time.time()
        items, header, text = 0, b"", b""
        try:
            data = batch["files"] if "files" in batch else self._frame(batch)
            items = len(data)
            if "files" not in batch and not self._say({"is": "running", "items": items}):
                return False
            result = script.call(data, batch["index"], batch.get("keys"))
            succeeded = min(rows.count(result), items)
            if self.append:
                text, header = rows.text_of(result, self.plan["dataframe_header"])
            answer: dict[str, Any] = {"is": "done", "items": items, "succeeded": succeeded, "header": len(header)}
        except BaseException as error:  # sys.exit() in run() is a failure of the mini-batch, too
            if not isinstance(error, (rows.WrongResult, Refused)):
                self._keep_trace(f"mini-batch {batch['index']}, try {batch['try']}", error)
            answer = {"is": "failed", "items": items, "error": _short(error)}
            if isinstance(error, Refused):
                answer["refused"] = True
        _flush()
        self._note(batch, answer, began)
        return self._say(answer, header + text if answer["is"] == "done" else b"")

    def _frame(self, batch: dict[str, Any]) -> Any:
        if self._frames is None:
            from .frames import Frames
            from .table import Table

            table = Table.open(self.plan["input"])
            if table is None:
                raise Refused(f"The input_data is a table, but {self.plan['input']} holds no file named MLTable any more.")
            self._frames = Frames(table)
        return self._frames.read(batch)

    def _say(self, header: dict[str, Any], body: bytes = b"") -> bool:
        try:
            messages.send(self.link, header, body)
        except OSError:
            return False
        return True

    def _note(self, batch: dict[str, Any], answer: dict[str, Any], began: float) -> None:
        """A line of logs/sys/node/NODE/processNNN.txt per mini-batch."""
        if self._log is None:
            self._log = _open(os.path.join(entry.LOGS, "sys", "node", self.node, f"{self.process}.txt"))
        done = answer.get("succeeded", 0)
        self._log.write(
            f"{_stamp(began)} mini-batch {batch['index']} try {batch['try']} pid {os.getpid()}: {answer['is']}, {answer['items']} items, {done} succeeded, "
            f"{answer['items'] - done} failed, {time.time() - began:.3f} s\n"
        )
        self._log.flush()

    def _keep_trace(self, where: str, error: BaseException) -> None:
        """The whole traceback in logs/user/error/NODE/processNNN.txt."""
        with _open(os.path.join(entry.LOGS, "user", "error", self.node, f"{self.process}.txt")) as out:
            out.write(f"{_stamp(time.time())} {where}\n{''.join(traceback.format_exception(type(error), error, _own(error)))}\n")


def _own(error: BaseException) -> Any:
    """The traceback from the user's code on, without our frames above it."""
    trace = error.__traceback__
    here = os.path.dirname(os.path.abspath(__file__))
    while trace is not None and trace.tb_next is not None and (
        os.path.dirname(os.path.abspath(trace.tb_frame.f_code.co_filename)) == here or "importlib" in trace.tb_frame.f_code.co_filename
    ):
        trace = trace.tb_next
    return trace


def _short(error: BaseException) -> str:
    if isinstance(error, (rows.WrongResult, Refused)):
        return str(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    trace: Any | None = _own(error)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}, line {trace.tb_lineno})" if trace is not None else ""
    return text[:ERROR_TEXT] + where


def _log_to_stdout(level: str) -> None:
    """`logging` of the script goes to its stdout, as in Azure."""
    logging.basicConfig(stream=sys.stdout, level=level, format="%(asctime)s|%(levelname)s|%(name)s|%(message)s")


def _open(path: str) -> Any:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return open(path, "a", encoding="utf-8", errors="replace")


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
