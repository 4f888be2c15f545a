from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.execution.runtime import records

values = st.none() | st.text() | st.integers(-(1 << 60), 1 << 60) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(), values))
def test_json_of_a_record(record: dict):
    assert json.loads(records.to_json(record)) == record


def test_json_of_bytes_that_are_no_text():
    assert json.loads(records.to_json({"a": "x\udcffy"})) == {"a": "x?y"}


class TestLock:
    def test_has_one_holder(self, tmp_path: Path):
        folder = str(tmp_path / "a")
        assert not records.is_locked(folder)
        lock = records.take_lock(folder)
        assert lock is not None
        assert records.take_lock(folder) is None and records.is_locked(folder)
        os.close(lock)
        assert not records.is_locked(folder)
        again = records.take_lock(folder)
        assert again is not None
        os.close(again)

    def test_goes_with_its_holder(self, tmp_path: Path):
        folder = str(tmp_path / "a")
        told, tell = os.pipe()
        if (child := os.fork()) == 0:
            records.take_lock(folder)
            os.write(tell, b"!")
            os.kill(os.getpid(), signal.SIGSTOP)
        os.read(told, 1)
        assert records.is_locked(folder)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert not records.is_locked(folder)
        os.close(told)
        os.close(tell)

    def test_of_a_folder_that_is_removed_meanwhile_is_that_of_the_new_one(self, tmp_path: Path, monkeypatch):
        folder = tmp_path / "a"
        flock = records.fcntl.flock
        removals = iter([True, False])

        def flock_late(fd: int, how: int) -> None:
            flock(fd, how)
            if next(removals):
                folder.rename(tmp_path / "b")

        monkeypatch.setattr(records.fcntl, "flock", flock_late)
        lock = records.take_lock(str(folder))
        assert lock is not None and os.fstat(lock).st_ino == (folder / records.LOCK).stat().st_ino
        os.close(lock)


class TestWrite:
    def test_is_private_and_leaves_nothing_else(self, tmp_path: Path):
        records.write(str(tmp_path), "a", b"one", durable=True)
        records.write(str(tmp_path), "a", b"two", durable=False)
        assert os.listdir(tmp_path) == ["a"]
        assert ((tmp_path / "a").read_bytes(), (tmp_path / "a").stat().st_mode & 0o777) == (b"two", 0o600)

    def test_that_fails_leaves_the_old(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        records.write(str(tmp_path), "a", b"one", durable=True)

        def full(fd: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(records.os, "write", full)
            records.write(str(tmp_path), "a", b"two", durable=True)
        assert (tmp_path / "a").read_bytes() == b"one"


def test_waking_a_keeper(tmp_path: Path):
    records.wake_keeper(str(tmp_path))  # none: nothing happens
    control = records.open_fifo(str(tmp_path), records.CONTROL)
    records.wake_keeper(str(tmp_path))
    assert os.read(control, 10) == b"!"
    with pytest.raises(BlockingIOError):
        os.read(control, 10)
    os.close(control)
    records.wake_keeper(str(tmp_path))  # the FIFO without a reader
