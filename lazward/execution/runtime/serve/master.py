"""The parent of the workers: starts them, restarts the ones that crash, answers probes, and stops all of them on TERM.

It loads no user code, so it answers while every worker is busy in a long run(). A worker that does not answer for far longer
than run() may take is hung and is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from . import logs
from .logs import log
from .probe import ProbeServer
from .settings import Settings
from .state import ServerState, WorkerState
from .worker import INIT_FAILED, PARENT_FD, STATUS_FD, worker_socket

FIRST_DELAY_S = 0.1  # before a crashed worker is started again; doubles up to LAST_DELAY_S
LAST_DELAY_S = 30.0
STABLE_S = 10.0  # a worker that was ready for so long starts over with FIRST_DELAY_S
STARTS_WITHOUT_SUCCESS = 3  # crashes of a first start until the server gives up
HEARTBEAT_S = 10.0
HUNG_AFTER_S = 60.0  # at least; else three times the limit of run()


def main() -> int:
    """0 after a stop, INIT_FAILED when the model can not be loaded, 2 for wrong settings."""
    logs.set_up()
    try:
        settings = Settings.read()
    except ValueError as error:
        log.error("%s", error)
        return 2
    return asyncio.run(Master(settings).run())


class Master:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        workers = [WorkerState(i, worker_socket(settings.socket, i)) for i in range(settings.workers)]
        self._state = ServerState(os.getpid(), workers)
        self._stopping: asyncio.Event
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._was_ready = False
        self._parent_pipe = os.pipe()  # workers read; this process never writes and closes by ending

    async def run(self) -> int:
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        for worker in self._state.workers:
            _unlink(worker.socket)
        self._save()
        probes = ProbeServer(f"{self._settings.socket}.probe", self._state)
        await probes.start()
        keepers = [asyncio.ensure_future(self._keep(worker)) for worker in self._state.workers]
        await self._stopping.wait()
        await self._stop(keepers)
        await probes.stop()
        if self._state.status == "failed":
            return INIT_FAILED
        self._state.status = "stopped"
        self._save()
        log.info("All workers have ended")
        return 0

    async def _keep(self, worker: WorkerState) -> None:
        """Runs one worker again and again until the server stops."""
        delay, failures = FIRST_DELAY_S, 0
        while not self._stopping.is_set():
            worker.become("starting")
            self._save()
            code = await self._run_once(worker)
            if self._stopping.is_set():
                break
            served = time.time() - worker.since if worker.ready else 0.0
            ended_ready = worker.ready
            failures += 1
            if not ended_ready and not self._was_ready and (code == INIT_FAILED or failures >= STARTS_WITHOUT_SUCCESS):
                self._give_up(worker)
                break
            if ended_ready:
                worker.error, worker.traceback = _reason(code), None
            worker.restarts += 1
            worker.become("waiting")
            delay = FIRST_DELAY_S if served >= STABLE_S else delay
            self._save()
            log.error("Worker %d ended: %s. It is started again in %.1f s", worker.index, worker.error, delay)
            await self._pause(delay)
            delay = min(delay * 2, LAST_DELAY_S)
        worker.become("stopped")

    async def _run_once(self, worker: WorkerState) -> int:
        """One life of a worker; returns its exit code, negative for a signal."""
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        env = dict(os.environ, **{STATUS_FD: str(writer), PARENT_FD: str(self._parent_pipe[0])})
        folder = os.path.dirname(os.path.realpath(__file__))
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-u", folder, "worker", str(worker.index), env=env, pass_fds=(writer, self._parent_pipe[0])
            )
        finally:
            os.close(writer)
        self._processes[worker.index] = process
        worker.pid = process.pid
        follower = asyncio.ensure_future(self._follow(worker, reader))
        heart = asyncio.ensure_future(self._watch(worker, process))
        try:
            code = await process.wait()
        finally:
            heart.cancel()
            await asyncio.wait([follower], timeout=1)  # what it said last may still be in the pipe
            follower.cancel()
            self._processes.pop(worker.index, None)
            worker.pid = None
            _unlink(worker.socket)
        if worker.state == "starting" and (code != INIT_FAILED or worker.error is None):
            worker.error = f"{_reason(code)} before init() had finished"
        return code

    async def _follow(self, worker: WorkerState, fd: int) -> None:
        """Reads what the worker reports."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(fd, "rb")
        )
        try:
            while True:
                line = await stream.readline()
                if not line:
                    return
                event = json.loads(line)
                if event.get("ready"):
                    self._was_ready = True
                    worker.error = worker.traceback = None
                    worker.become("ready")
                else:
                    worker.error, worker.traceback = event["error"], event.get("traceback")
                self._save()
        finally:
            transport.close()

    async def _watch(self, worker: WorkerState, process: asyncio.subprocess.Process) -> None:
        """Kills the worker once it leaves a probe unanswered for too long."""
        limit = max(HUNG_AFTER_S, 3 * self._settings.scoring_timeout_s)
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if not worker.ready:
                continue
            try:
                await asyncio.wait_for(_ask(worker.socket), limit)
            except asyncio.TimeoutError:
                log.error("Worker %d did not answer for %.0f s and is killed", worker.index, limit)
                process.kill()
                return
            except OSError:
                continue  # it is ending; process.wait() tells

    def _give_up(self, worker: WorkerState) -> None:
        self._state.status = "failed"
        self._state.error, self._state.traceback = worker.error, worker.traceback
        self._save()
        log.error("The model can not be served: %s", worker.error)
        self._stopping.set()

    async def _stop(self, keepers: Sequence[asyncio.Future[Any]]) -> None:
        """TERM, time to finish requests, KILL."""
        if self._state.status != "failed":
            self._state.status = "stopping"
            self._save()
        for process in list(self._processes.values()):
            _signal(process, signal.SIGTERM)
        _, late = await asyncio.wait(keepers, timeout=self._settings.grace_s)
        if late:
            log.error("%d workers did not end within %g s and are killed", len(late), self._settings.grace_s)
            for process in list(self._processes.values()):
                _signal(process, signal.SIGKILL)
            await asyncio.wait(keepers)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    def _save(self) -> None:
        self._state.update()
        try:
            self._state.write(self._settings.state)
        except OSError as error:
            log.error("The state file can not be written: %s", error)


async def _ask(path: str) -> None:
    """Returns when the worker has answered anything."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await reader.readline()
    finally:
        writer.close()


def _reason(code: int) -> str:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        hint = " (often: the machine or the deployment ran out of memory)" if -code == signal.SIGKILL else ""
        return f"the worker process was killed by signal {name}{hint}"
    return f"the worker process ended with code {code}"


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        pass


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
