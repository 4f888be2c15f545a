"""Locks between processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lazward.execution.file_lock import file_lock, try_lock

HOLD = "import fcntl,sys,os\nf=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT)\nfcntl.flock(f,fcntl.LOCK_EX)\nprint('held',flush=True)\nsys.stdin.read()"


async def test_one_at_a_time(tmp_path: Path) -> None:
    inside, most = 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with file_lock(tmp_path / "lock"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(5)))
    assert most == 1


async def test_shared_holders_do_not_exclude_each_other(tmp_path: Path) -> None:
    async with file_lock(tmp_path / "lock", shared=True), file_lock(tmp_path / "lock", shared=True):
        assert try_lock(tmp_path / "lock") is None


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


async def test_waits_for_another_process_and_takes_over_when_it_is_killed(holder: subprocess.Popen[bytes], tmp_path: Path) -> None:
    waits = 0

    def on_wait() -> None:
        nonlocal waits
        waits += 1
        if waits == 2:
            holder.kill()
            holder.wait()

    async with file_lock(tmp_path / "lock", on_wait=on_wait):
        assert waits >= 2


async def test_cancelling_gives_up_waiting(tmp_path: Path) -> None:
    handle = try_lock(tmp_path / "lock")
    assert handle is not None
    waiting = asyncio.Event()

    async def wait() -> None:
        async with file_lock(tmp_path / "lock", on_wait=waiting.set):
            pytest.fail("not to be had")

    task = asyncio.create_task(wait())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(handle)
    async with file_lock(tmp_path / "lock"):
        pass


def test_try_lock_is_given_back_by_closing(tmp_path: Path) -> None:
    handle = try_lock(tmp_path / "lock")
    assert handle is not None
    assert try_lock(tmp_path / "lock") is None
    os.close(handle)
    again = try_lock(tmp_path / "lock")
    assert again is not None
    os.close(again)
