"""The executor for this machine: every launch is kept by a process of its own (runtime/keeper.py) that outlives us.

Everything that must outlast a crash is in the launch's folder (runtime/records.py); this object holds nothing that another
one, in another process, could not find there. Methods do their file work in threads and never block the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

import lazward
from lazward.domain.ports import Capacity, LaunchIsRunning, LaunchSpec, LaunchStatus, NotStarted
from lazward.execution import capacity, processes
from lazward.execution.log_files import read_piece
from lazward.execution.runtime import order, records

THREADS = 8
RECHECK_S = 30.0 if processes.LINUX else 0.5  # while waiting: the end of a keeper is told by its FIFO; this is the safety net
# The first process ends at once, so that the keeper is nobody's child: a fork is cheapest before anything is imported.
BOOT = """import os, sys
os.fork() and os._exit(0)
sys.path.append(sys.argv[1])
from lazward.execution.runtime.keeper import main
main()"""

UNKNOWN = LaunchStatus("unknown")


class LocalExecutor:
    """Implements domain.ports.Executor. root: the folder (made when missing, private to this user) for the records."""

    def __init__(self, root: Path):
        self.root = root.absolute()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="launch")
        self._gpus = capacity.GpuCount()
        self._spare: subprocess.Popen[bytes] | None = None  # a keeper that waits for its order: saves 15 ms of each start
        self._guard = threading.Lock()
        self._closed = False

    async def start(self, spec: LaunchSpec) -> LaunchStatus:
        check(spec)
        starting = asyncio.ensure_future(self._in_thread(self._start, spec))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait({starting})  # the thread goes on; whoever looks next must not find the name unknown and the command running a moment later
            raise

    async def poll(self, name: str) -> LaunchStatus:
        return await self._in_thread(self._status, self.folder(name))

    async def wait(self, name: str, timeout_s: float) -> LaunchStatus:
        """Costs one file descriptor and no thread while it waits, and returns at the moment the launch ends. A launch that is
        not known is waited for too: somebody may be about to start it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        folder = self.folder(name)
        pause = 0.002
        while True:
            status = await self._in_thread(self._status, folder)
            left = deadline - loop.time()
            if status.state == "ended" or left <= 0:
                return status
            if status.state == "running":
                kept = await _while_kept(folder, min(left, RECHECK_S))
                if kept or records.has(folder, records.EXIT):
                    continue
            await asyncio.sleep(min(left, pause))  # no keeper yet, or its lock is about to be found free
            pause = min(pause * 2, 0.25)

    async def cancel(self, name: str) -> None:
        await self._in_thread(self._cancel, self.folder(name))

    async def forget(self, name: str) -> None:
        await self._in_thread(self._forget, name, self.folder(name))

    async def read_log(self, name: str, process: int, start: int, limit: int) -> bytes:
        return await self._in_thread(_read_log, self.folder(name), process, start, limit)

    async def read_samples(self, name: str, start: int, limit: int) -> bytes:
        return await self._in_thread(read_piece, f"{self.folder(name)}/{records.METRICS}", start, limit)

    def capacity(self) -> Capacity:
        return msgspec.structs.replace(capacity.measure(), gpus=int(self._gpus))

    async def warm(self) -> None:
        """Costs one idle process, which ends with this one."""
        await self._in_thread(self._make_spare)

    def close(self) -> None:
        """Lets the threads and the idle keeper go."""
        with self._guard:
            self._closed = True
            spare, self._spare = self._spare, None
        if spare:
            _dismiss(spare)
        self._threads.shutdown(wait=False)

    def folder(self, name: str) -> str:
        """Where the records of a launch are: named so that people recognise it and no two names, however odd, share one."""
        shown = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:48]
        return f"{self.root}/{shown}.{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:24]}"

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _start(self, spec: LaunchSpec) -> LaunchStatus:
        folder = self.folder(spec.name)
        status = self._status(folder)
        if status.state != "unknown":
            return status
        what = order.encode(_order(spec, folder))
        with self._guard:
            spare, self._spare = self._spare, None
        said = _command(spare, what) if spare else ""
        status = self._status(folder)
        if status.state == "unknown":  # no spare, or one that was killed while it waited: then it started nothing
            said = _command(_new_keeper(), what)
            status = self._status(folder)
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self._threads.submit(self._make_spare)
        if status.state == "unknown":
            raise NotStarted(f"The keeper of launch '{spec.name}' could not be started: {said or 'it said nothing'}")
        return status

    def _make_spare(self) -> None:
        with self._guard:
            if self._spare is None and not self._closed:
                self._spare = _new_keeper()

    def _status(self, folder: str) -> LaunchStatus:
        ended = _ended(folder)
        if ended or not records.has(folder, records.LOCK):
            return ended or UNKNOWN
        if records.is_locked(folder):
            return LaunchStatus("running", started=_keeper(folder).get("started"))
        if records.has(folder, records.EXIT) or records.has(folder, records.KEEPER) or records.has(folder, records.CANCEL):
            return self._settle(folder)
        return UNKNOWN

    def _settle(self, folder: str) -> LaunchStatus:
        """Ends a launch that has no keeper: one that was canceled before it started, or whose keeper was killed."""
        try:
            lock = records.take_lock(folder, make=False)
        except FileNotFoundError:
            return UNKNOWN
        if lock is None:  # a keeper after all, or another process that settles it right now
            return _ended(folder) or LaunchStatus("running", started=_keeper(folder).get("started"))
        try:
            if ended := _ended(folder):
                return ended
            canceled = records.has(folder, records.CANCEL)
            if records.has(folder, records.KEEPER):
                ended = _bury(folder, canceled)
            elif canceled:
                ended = LaunchStatus("ended", "canceled", message="The launch was canceled before it started.", ended=time.time())
            else:
                return UNKNOWN
            records.write(folder, records.EXIT, msgspec.json.encode(ended), durable=True)
            return ended
        finally:
            os.close(lock)

    def _cancel(self, folder: str) -> None:
        if _ended(folder):
            return
        Path(folder).mkdir(mode=0o700, exist_ok=True)
        Path(folder, records.LOCK).touch(mode=0o600)
        Path(folder, records.CANCEL).touch(mode=0o600)  # empty, so there is nothing to tear; several may cancel at once
        records.sync(folder)
        records.wake_keeper(folder)
        self._status(folder)  # settles it where there is no keeper

    def _forget(self, name: str, folder: str) -> None:
        if not Path(folder).is_dir():
            return
        self._status(folder)  # a keeper that was killed may have left processes
        try:
            while (lock := records.take_lock(folder, make=False)) is None:
                if self._status(folder).state == "running":
                    raise LaunchIsRunning(f"Launch '{name}' is still running.")
                time.sleep(0.002)  # somebody looked whether it is locked
        except FileNotFoundError:
            return  # somebody else has forgotten it
        try:
            self._throw_away(folder)
        finally:
            os.close(lock)

    def _throw_away(self, folder: str) -> None:
        """Moved away first, so that no crash leaves half the records of a launch."""
        trash = self.root / ".forgotten"
        while True:
            trash.mkdir(mode=0o700, exist_ok=True)
            try:
                Path(folder).rename(trash / secrets.token_hex(8))
                break
            except FileNotFoundError:  # who threw another one away removed the trash in between
                if not Path(folder).is_dir():
                    return
        shutil.rmtree(trash, ignore_errors=True)


async def _while_kept(folder: str, timeout_s: float) -> bool:
    """Waits while a keeper lives, which is while somebody holds the FIFO "alive" open for writing. Whether it still lives
    after timeout_s."""
    try:
        fd = os.open(f"{folder}/{records.ALIVE}", os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        with contextlib.suppress(BlockingIOError):  # there is a writer, who never writes
            os.read(fd, 1)
            return False
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(fd, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), timeout_s)
        except TimeoutError:
            return True
        finally:
            loop.remove_reader(fd)
        return False
    finally:
        os.close(fd)


def check(spec: LaunchSpec) -> None:
    """Raises ValueError, naming the field, for what no operating system could run."""
    if not spec.name:
        raise ValueError("name is empty")
    if not spec.processes:
        raise ValueError("processes is empty")
    texts = {"cwd": spec.cwd, "folder": spec.folder or ""}
    for i, process in enumerate(spec.processes):
        if not process.argv or not process.argv[0]:
            raise ValueError(f"processes[{i}].argv names no program")
        if not Path(process.log).is_absolute():
            raise ValueError(f"processes[{i}].log is not an absolute path: '{process.log}'")
        texts |= {f"processes[{i}].argv[{j}]": text for j, text in enumerate(process.argv)}
        texts[f"processes[{i}].log"] = process.log
        for key, value in process.env.items():
            if not key or "=" in key:
                raise ValueError(f"processes[{i}].env has a variable with the impossible name '{key}'")
            texts[f"processes[{i}].env['{key}']"] = key + value
    for field, text in texts.items():
        if "\0" in text:
            raise ValueError(f"{field} holds a NUL character")
        try:
            os.fsencode(text)
        except UnicodeEncodeError:
            raise ValueError(f"{field} holds characters that cannot be written on this system") from None
    if not Path(spec.cwd).is_absolute():
        raise ValueError(f"cwd is not an absolute path: '{spec.cwd}'")
    if spec.folder is not None and not Path(spec.folder).is_absolute():
        raise ValueError(f"folder is not an absolute path: '{spec.folder}'")
    for field in ("timeout_s", "sample_s", *order.COUNTS):
        number = getattr(spec, field)
        if number is not None and not (math.isfinite(number) and number > 0):
            raise ValueError(f"{field} is not a positive number: {number}")
    if not (math.isfinite(spec.grace_s) and spec.grace_s >= 0):
        raise ValueError(f"grace_s is negative or no number: {spec.grace_s}")


def _order(spec: LaunchSpec, folder: str) -> order.Order:
    # The tag tells launches of the same name apart: another root on this machine, or the same name after `forget`.
    return order.Order(
        folder=os.fsencode(folder),
        tag=f"{Path(folder).name}.{secrets.token_hex(4)}".encode(),
        cwd=os.fsencode(spec.cwd),
        place=os.fsencode(spec.cwd if spec.folder is None else spec.folder),
        limits=order.Limits(spec.timeout_s, *(getattr(spec, name) for name in order.COUNTS)),
        grace_s=spec.grace_s,
        processes=[
            order.ProcessOrder(
                argv=[os.fsencode(text) for text in process.argv],
                env=[os.fsencode(key) + b"=" + os.fsencode(value) for key, value in process.env.items()],
                log=os.fsencode(process.log),
            )
            for process in spec.processes
        ],
        sample_s=spec.sample_s,
        step=spec.sample_step,
    )


def _new_keeper() -> subprocess.Popen[bytes]:
    """A keeper that waits for an order on its stdin, and ends when that is closed (by our death, say) without one."""
    return subprocess.Popen(
        # -I -S: nothing of the worker's environment and none of its installed packages is imported.
        [sys.executable, "-I", "-S", "-c", BOOT, str(Path(lazward.__file__).parent.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={},
        cwd="/",
    )


def _command(keeper: subprocess.Popen[bytes], what: bytes) -> str:
    """Gives a keeper its order. Its answer is all that it says before it leaves our pipe."""
    assert keeper.stdin and keeper.stdout
    try:
        with contextlib.suppress(BrokenPipeError), keeper.stdin as pipe:  # broken: it failed, and has said why
            pipe.write(what)
        return keeper.stdout.read().decode(errors="replace").strip()
    finally:
        _dismiss(keeper)


def _dismiss(keeper: subprocess.Popen[bytes]) -> None:
    for pipe in (keeper.stdin, keeper.stdout):
        if pipe:
            pipe.close()
    keeper.wait()  # that is the first process only, which has ended long ago; the keeper is its child


def _ended(folder: str) -> LaunchStatus | None:
    try:
        data = Path(folder, records.EXIT).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return msgspec.json.decode(data, type=LaunchStatus)


def _keeper(folder: str) -> dict[str, Any]:
    """What the keeper wrote about itself; {} before it did, or when a crash of the machine tore the file."""
    try:
        return json.loads(Path(folder, records.KEEPER).read_bytes())
    except (OSError, ValueError):
        return {}


def _read_log(folder: str, process: int, start: int, limit: int) -> bytes:
    logs = str(_keeper(folder).get("logs", "")).split()
    return read_piece(bytes.fromhex(logs[process]), start, limit) if 0 <= process < len(logs) else b""


def _bury(folder: str, canceled: bool) -> LaunchStatus:
    """Kills what a dead keeper left behind; the status of its launch."""
    keeper = _keeper(folder)
    left: list[processes.Process] = []
    restarted = keeper.get("boot") != processes.boot_id()
    if keeper and not restarted:
        left = processes.kill_all(lambda: processes.members(keeper["tag"], keeper["pid"], keeper["start"]))
    if canceled:
        message = "The launch was canceled."
    elif restarted:
        message = "The machine was restarted while the launch ran."
    else:
        message = "The process that kept the launch was killed"
        with contextlib.suppress(OSError, IndexError):
            fault = Path(folder, records.KEEPER_LOG).read_text(errors="replace").splitlines()[-1]
            message = f"The process that kept the launch failed ({fault})"
        message += "; what was left of the launch was stopped."
    if left:
        message += f" These processes could not be killed: {', '.join(str(p.pid) for p in left)}."
    reason = "canceled" if canceled else "lost"
    return LaunchStatus("ended", reason, message=message, started=keeper.get("started"), ended=time.time())
