from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lazward.execution import processes
from tests.execution.conftest import is_alive, until

TAG = f"family.{os.getpid()}"

FAMILY = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    os.fork()
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["proc", "ps"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the table of processes comes from: /proc, or `ps` as on other systems."""
    if request.param == "proc" and not processes.LINUX:
        pytest.skip("no /proc here")
    monkeypatch.setattr(processes, "LINUX", request.param == "proc")
    return request.param


@pytest.fixture
def family(source: str) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """A tagged process with a child that has a session of its own, and a grandchild."""
    command = [sys.executable, "-I", "-S", "-c", FAMILY]
    env = {**os.environ, processes.TAG: TAG}
    parent = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert parent.stdout
    yield parent, [int(parent.stdout.readline()) for _ in range(3)]
    processes.kill_all(lambda: processes.members(TAG, parent.pid, 0))
    parent.wait()
    parent.stdout.close()


def ids(found: list[processes.Process]) -> set[int]:
    return {process.pid for process in found}


def test_look_at(family):
    parent, _ = family
    seen = processes.look_at(parent.pid)
    assert seen and (seen.pid, seen.parent, seen.session) == (parent.pid, os.getpid(), parent.pid)
    assert 1 << 20 < seen.resident < 1 << 30
    assert is_alive(seen)


def test_look_at_nobody(source: str):
    process = subprocess.Popen(["sleep", "600"])
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert processes.look_at(process.pid) is None  # a zombie
    process.wait()
    assert processes.look_at(process.pid) is None


def test_a_name_that_looks_like_fields(source: str, tmp_path):
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "600"])
    try:
        seen = processes.look_at(process.pid)
        assert seen and seen.parent == os.getpid()
    finally:
        process.kill()
        process.wait()


def test_descendants(family):
    parent, members = family
    below = processes.descendants(parent.pid)
    assert ids(below) == set(members) - {parent.pid}
    assert set(members) <= ids(processes.descendants(os.getpid()))


@pytest.mark.skipif(not processes.LINUX, reason="/proc only")
def test_descendants_without_the_kernels_lists_of_children(family, monkeypatch: pytest.MonkeyPatch):
    parent, members = family
    monkeypatch.setattr(processes.os.path, "exists", lambda path: False)
    assert ids(processes.descendants(parent.pid)) == set(members) - {parent.pid}


def test_members_by_tag(family):
    _, members = family
    assert ids(processes.members(TAG, session=-1, since=0)) == set(members)
    assert processes.members(TAG + "2", session=-1, since=0) == []
    assert processes.members(TAG[:-1], session=-1, since=0) == []


def test_members_by_session_and_what_is_below(family):
    parent, members = family
    me = processes.look_at(parent.pid)
    assert me
    assert ids(processes.members("nobody", session=parent.pid, since=me.start)) == set(members)
    assert processes.members("nobody", session=parent.pid, since=me.start + 2) == []


def test_kill_all(family):
    parent, members = family
    seen = [p for p in map(processes.look_at, members) if p]
    assert len(seen) == 3
    assert processes.kill_all(lambda: processes.members(TAG, -1, 0)) == []
    assert not any(map(is_alive, seen))
    assert parent.wait() == -signal.SIGKILL


def test_kill_all_gives_up_on_what_cannot_be_killed(source: str):
    stuck = processes.Process(1 << 22, 1, 1, 1, 1, 0)  # there is none of that id, so no signal ends it
    assert processes.kill_all(lambda: [stuck], patience_s=0.05) == [stuck]


@pytest.mark.parametrize("with_handles", [True, False])
async def test_send_only_to_the_process_meant(source: str, monkeypatch: pytest.MonkeyPatch, with_handles: bool):
    if not with_handles:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    victim = subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220
    seen = processes.look_at(victim.pid)
    assert seen
    other = processes.Process(seen.pid, seen.parent, seen.group, seen.session, seen.start - 1, 0)  # the one that had the id before
    processes.send(other, signal.SIGKILL)
    processes.send(processes.Process(1 << 22, 1, 1, 1, 1, 0), signal.SIGKILL)  # nobody
    processes.send(seen, signal.SIGUSR1)
    await until(lambda: victim.poll() is not None)
    assert victim.returncode == -signal.SIGUSR1


def test_a_group_is_stopped_and_let_run_at_once():
    parent = subprocess.Popen([sys.executable, "-I", "-S", "-c", FAMILY.replace("os.setsid()", "pass")], stdout=subprocess.PIPE, text=True, process_group=0)
    assert parent.stdout
    try:
        members = [int(parent.stdout.readline()) for _ in range(3)]

        def states() -> set[str]:
            listed = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(map(str, members))], capture_output=True, text=True, check=True)
            return {line[0] for line in listed.stdout.split()}

        processes.freeze([parent.pid], True)
        assert states() == {"T"}
        processes.freeze([parent.pid], False)
        assert "T" not in states()
        processes.freeze([1 << 22], True)  # nobody
    finally:
        processes.kill_all(lambda: processes.descendants(parent.pid))
        parent.kill()
        parent.wait()
        parent.stdout.close()


@pytest.mark.parametrize(("text", "seconds"), [("0:01.23", 1.23), ("12:34.50", 754.5), ("00:00:01", 1), ("01:02:03", 3723), ("1-02:03:04", 93784)])
def test_the_clock_of_ps(text: str, seconds: float):
    assert processes.seconds_of(text) == pytest.approx(seconds)


def test_a_process_says_what_it_has_used_of_a_core(source: str):
    own = 2 if source == "ps" else 4  # os.times() tells those waited for, too
    while sum(os.times()[:own]) < 1.5:  # procps tells whole seconds
        pass
    seen = processes.look_at(os.getpid())
    assert seen and seen.cpu == pytest.approx(sum(os.times()[:own]), abs=1.1)
