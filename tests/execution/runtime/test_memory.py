from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazward.execution import processes
from lazward.execution.runtime import memory

SHARING = """
import os, time
held = b"x" * (60 << 20)
for _ in range(3):
    if os.fork() == 0:
        break
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not processes.LINUX, reason="proportional sizes are Linux's")
def test_memory_shared_by_a_tree_counts_once():
    parent = subprocess.Popen([sys.executable, "-I", "-S", "-c", SHARING], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    try:
        tree = [p for p in (processes.look_at(int(parent.stdout.readline())) for _ in range(4)) if p]
        assert memory.held(tree, at_least=1 << 40) > 240 << 20
        assert 60 << 20 < memory.held(tree, at_least=0) < 120 << 20
    finally:
        processes.kill_all(lambda: processes.descendants(parent.pid))
        parent.kill()
        parent.wait()
        parent.stdout.close()


@pytest.mark.skipif(not processes.LINUX, reason="the counters are Linux's")
def test_kernel_kills_are_counted():
    assert isinstance(memory.kernel_kills(), int)


def test_kernel_kills_come_from_the_first_counter_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "events").write_text("low 0\noom 4\noom_kill 3\noom_group_kill 9\n")
    (tmp_path / "vmstat").write_text("oom_kill 7\n")
    monkeypatch.setattr(memory, "LINUX", True)
    monkeypatch.setattr(memory, "_counters", lambda: [str(tmp_path / name) for name in ("none", "events", "vmstat")])
    assert memory.kernel_kills() == 3
    os.remove(tmp_path / "events")
    assert memory.kernel_kills() == 7
    os.remove(tmp_path / "vmstat")
    assert memory.kernel_kills() is None
