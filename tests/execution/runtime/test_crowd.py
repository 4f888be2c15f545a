from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.execution import processes
from lazward.execution.processes import Process
from lazward.execution.runtime import crowd
from lazward.execution.runtime.crowd import Crowd, ceiling


def tree(count: int, threads: int = 1) -> list[Process]:
    return [Process(pid, 1, 1, 1, 1, 0, threads) for pid in range(2, count + 2)]


def files(root: Path, **contents: str) -> str:
    for name, text in contents.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".").replace("_DASH_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@given(st.integers(1, 5000), st.integers(0, 6000), st.integers(1, 20), st.none() | st.integers(2, 100_000))
def test_no_more_processes_or_threads_than_the_limit_and_half_of_what_there_can_be(limit: int, count: int, threads: int, most: int | None):
    made = Crowd(limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crowd, "ceiling", lambda: most)
        made.fit()
    half = most // 2 if most else 1 << 60
    expected = count > min(limit, half) or count * threads > min(limit * crowd.THREADS, half)
    said = made.trouble(tree(count, threads))
    assert bool(said) == expected
    if said and half < limit:
        assert f"half of the {most}" in said


def test_no_limit_is_none():
    made = Crowd(None)
    made.fit()
    assert made.trouble(tree(100_000, 9)) == "" and not made.is_sudden() and not made.is_near(tree(100_000))


def test_a_sudden_rise_is_seen_once(monkeypatch: pytest.MonkeyPatch):
    counts = iter([500, 600, 2000, 2100])
    monkeypatch.setattr(crowd, "_threads_of_the_machine", lambda: next(counts))
    made = Crowd(1000)
    assert [made.is_sudden() for _ in range(3)] == [False, True, False]


@pytest.mark.skipif(not processes.LINUX, reason="the files are Linux's")
class TestCeiling:
    def test_is_the_least_of_all_bounds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(crowd, "_of_the_user", lambda: None)
        root = files(
            tmp_path, proc__sys__kernel__pid_max="32768\n", proc__sys__kernel__threads_DASH_max="99999\n",
            proc__self__cgroup="0::/pod/app\n", sys__fs__cgroup__pod__pids_DOT_max="512\n", sys__fs__cgroup__pod__app__pids_DOT_max="max\n",
        )
        assert ceiling(root) == 512

    def test_of_a_control_group_of_the_first_version(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(crowd, "_of_the_user", lambda: None)
        root = files(tmp_path, proc__self__cgroup="8:pids:/a\n4:memory:/b\n", sys__fs__cgroup__pids__a__pids_DOT_max="700\n", sys__fs__cgroup__memory__b__pids_DOT_max="3\n")
        assert ceiling(root) == 700

    def test_is_not_known_where_nothing_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(crowd, "_of_the_user", lambda: None)
        assert ceiling(str(tmp_path)) is None

    def test_of_this_machine(self):
        assert (ceiling() or 0) > 100


def test_what_is_started_while_we_hold_back_may_have_nine_tenths(tmp_path: Path):
    """In a process of its own, as an ordinary user would see it."""
    script = """
import os, resource, subprocess, sys
os.geteuid = lambda: 1000
from lazward.execution.runtime import crowd
resource.setrlimit(resource.RLIMIT_NPROC, (5000, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
show = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[0])"]
soft = crowd.hold_back()
print(subprocess.check_output(show, text=True).strip())
crowd.let_go(soft)
print(subprocess.check_output(show, text=True).strip())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.stdout.split() == ["4500", "5000"], done.stderr
