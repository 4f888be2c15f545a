"""What a sampler writes, beside the records of a launch and over processes of this test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lazward.execution import processes
from lazward.execution.runtime import records, sampler
from lazward.execution.runtime.order import Limits, Order, ProcessOrder
from lazward.execution.runtime.sampler import Sampler

linux = pytest.mark.skipif(not processes.LINUX, reason="/proc is Linux's")
BUSY = """
import os, sys, time
held = b"x" * (50 << 20)
with open(sys.argv[1], "wb") as file:
    file.write(b"x" * (8 << 20))
    os.fsync(file.fileno())
while time.process_time() < 0.3:
    pass
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-I", "-S", "-c", BUSY, str(tmp_path / "written")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Sampler]]:
    """Samplers as keepers make them; a keeper's file is closed by its end."""
    made: list[Sampler] = []

    def one(tree=list, count: int = 1, step: int = 0, **limits) -> Sampler:
        (tmp_path / "records").mkdir(exist_ok=True)
        order = Order(b"", b"", b"/", os.fsencode(tmp_path), Limits(**limits), 1.0, [ProcessOrder([b"a"], [], b"/log")] * count, 10.0, step)
        made.append(Sampler(order, str(tmp_path / "records"), tree))
        return made[-1]

    yield one
    for sampler_ in made:
        os.close(sampler_._fd)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "records" / records.METRICS).read_text().splitlines()]


@linux
def test_what_the_processes_take(make, tmp_path: Path, busy: subprocess.Popen[str]):
    made = make(lambda: [p for p in [processes.look_at(busy.pid)] if p], memory_bytes=1 << 30)
    assert busy.stdout and busy.stdout.readline() == "ready\n"
    made.look({busy.pid: 0})
    [found] = lines(tmp_path)
    assert found["step"] == 0
    assert 50 < found["job_memory_usage_megabytes"] < 200
    assert found["job_memory_usage_percentage"] == pytest.approx(found["job_memory_usage_megabytes"] * 1e6 / 2**30 * 100, abs=0.01)
    assert found["job_cpu_cores"] > 0
    assert found["job_cpu_utilization_percentage"] == pytest.approx(found["job_cpu_cores"] * 100 / (os.cpu_count() or 1), abs=0.1)
    assert (found["job_processes"], found["job_threads"]) == (1, 1)
    assert found["job_disk_write_megabytes"] >= 8.38
    assert {"cpu_utilization_percentage", "system_memory_usage_megabytes", "disk_available_megabytes", "network_receive_megabytes"} <= found.keys()
    assert not any(name.startswith("rank_") for name in found)


@linux
def test_each_of_several_processes_has_values_of_its_own(make, tmp_path: Path, busy: subprocess.Popen[str]):
    assert busy.stdout and busy.stdout.readline() == "ready\n"
    me = processes.look_at(busy.pid)
    assert me
    below = processes.Process(1 << 22, busy.pid, 1, 1, 1, 3_000_000, 1, 5.0)
    stray = processes.Process((1 << 22) + 1, 1, 1, 1, 1, 7_000_000)
    made = make(lambda: [me, below, stray], count=2)
    made.look({busy.pid: 1})
    [found] = lines(tmp_path)
    assert found["rank_1/job_memory_usage_megabytes"] == pytest.approx((me.resident + 3_000_000) / 1e6, abs=0.001)
    assert found["rank_1/job_cpu_cores"] > 0
    assert (found["rank_0/job_memory_usage_megabytes"], found["rank_0/job_cpu_cores"]) == (0, 0)


def test_steps_go_on_from_the_first(make, tmp_path: Path):
    made = make(step=17)
    for _ in range(3):
        made.look({})
    assert [line["step"] for line in lines(tmp_path)] == [17, 18, 19]
    assert all(now["at"] >= before["at"] for before, now in zip(lines(tmp_path), lines(tmp_path)[1:], strict=False))


def test_a_launch_that_was_over_soon_has_one_sample_with_its_peak(make, tmp_path: Path):
    made = make()
    made.last(123_000_000)
    [found] = lines(tmp_path)
    assert (found["job_memory_usage_megabytes"], found["job_processes"]) == (123, 0)


def test_the_last_sample_of_one_that_had_others_tells_what_was_used_in_all(make, tmp_path: Path):
    made = make()
    made.look({})
    made.last(123)
    found = lines(tmp_path)[1]
    assert "job_memory_usage_megabytes" not in found and "job_processes" not in found
    assert not any("cpu" in name for name in found)  # a moment is too short to measure that
    if processes.LINUX:
        assert {"network_receive_megabytes", "job_disk_write_megabytes"} <= found.keys()


@linux
def test_what_the_keeper_writes_itself_is_not_the_launches(make, tmp_path: Path):
    made = make()
    before = made._transferred([])
    with (tmp_path / "mine").open("wb") as file:
        file.write(b"x" * (4 << 20))
        os.fsync(file.fileno())
    assert made._transferred([]) == before


def test_a_full_disk_leaves_no_half_a_line(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = make()
    made.look({})
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(sampler.os, "write", lambda fd, data: write(fd, data[:20]))
        made.look({})
    made.look({})
    assert [line["step"] for line in lines(tmp_path)] == [0, 1]


def test_no_room_at_all_is_no_fault(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = make()

    def none(fd: int, data: bytes) -> int:
        raise OSError("full")

    with monkeypatch.context() as full:
        full.setattr(sampler.os, "write", none)
        made.look({})
        made.last(1)
    assert lines(tmp_path) == []
    order = Order(b"", b"", b"/", b"/", Limits(), 1.0, [], 10.0)
    assert sampler.begin(order, str(tmp_path / "gone"), list) is None


def test_the_older_the_launch_and_the_dearer_a_look_the_rarer_are_samples(make, tmp_path: Path):
    made = make()
    made.look({})
    assert 9 < made.at - made._looked < 12
    made.began -= 8640 * 60
    made.look({})
    assert 59 < made.at - made._looked < 62


def test_a_look_costs_little(make, tmp_path: Path):
    """Printed, not judged: what a sample of a small tree costs its keeper."""
    import time

    made = make(lambda: [p for p in [processes.look_at(os.getpid())] if p])
    began = time.process_time()
    for _ in range(20):
        made.look({})
    cost = (time.process_time() - began) / 20
    print(f"\none sample: {cost * 1000:.2f} ms of a core, {cost / 10 * 100:.4f} % of it at an interval of 10 s")
    assert len(lines(tmp_path)) == 20
