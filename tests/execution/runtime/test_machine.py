from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from lazward.execution import processes
from lazward.execution.runtime.machine import Machine

STAT = "cpu  {user} 0 0 {idle} {waiting} 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n"
NET = "Inter-| Receive | Transmit\n face |bytes packets\n  lo: {lo} 1 0 0 0 0 0 0 {lo} 1 0 0 0 0 0 0\neth0:{received} 9 0 0 0 0 0 0 {sent} 4 0 0 0 0 0 0\n"


class Proc:
    def __init__(self, root: Path):
        self.root = root
        (root / "proc" / "net").mkdir(parents=True)
        (root / "proc" / "meminfo").write_text("MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable:  6000000 kB\n")
        self.says(user=100, idle=100, waiting=0)
        self.sent()

    def says(self, **ticks: int) -> None:
        (self.root / "proc" / "stat").write_text(STAT.format(**ticks))

    def sent(self, lo: int = 0, received: int = 0, sent: int = 0) -> None:
        (self.root / "proc" / "net" / "dev").write_text(NET.format(lo=lo, received=received, sent=sent))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_processors_are_measured_from_one_look_to_the_next(proc: Proc):
    machine = Machine("/", str(proc.root))
    proc.says(user=130, idle=160, waiting=10)  # 30 of 100 ticks; waiting for a disk is idling
    assert machine.look()["cpu_utilization_percentage"] == pytest.approx(30)
    proc.says(user=230, idle=160, waiting=10)
    assert machine.look()["cpu_utilization_percentage"] == pytest.approx(100)
    assert "cpu_utilization_percentage" not in machine.look()  # no time has passed


def test_memory_in_megabytes_and_percent(proc: Proc):
    found = Machine("/", str(proc.root)).look()
    assert (found["system_memory_usage_megabytes"], found["system_memory_usage_percentage"]) == (2_048, 25)


def test_traffic_of_all_interfaces_counts_from_the_beginning(proc: Proc):
    proc.sent(lo=1_000_000, received=5_000_000, sent=7_000_000)
    machine = Machine("/", str(proc.root))
    proc.sent(lo=2_000_000, received=5_500_000, sent=9_000_000)
    found = machine.look()
    assert (found["network_receive_megabytes"], found["network_transmit_megabytes"]) == (1.5, 3.0)
    proc.sent()  # an interface is gone
    assert machine.look()["network_receive_megabytes"] == 0


def test_where_there_is_no_proc_the_disk_is_told(tmp_path: Path):
    assert set(Machine(str(tmp_path), str(tmp_path)).look()) == {"disk_usage_percentage", "disk_usage_megabytes", "disk_available_megabytes"}


def test_a_folder_that_is_gone_has_no_disk(proc: Proc):
    assert not any(name.startswith("disk") for name in Machine(str(proc.root / "gone"), str(proc.root)).look())


@pytest.mark.skipif(not processes.LINUX, reason="/proc is Linux's")
def test_agrees_with_what_mlflow_asks(tmp_path: Path):
    machine, disk, memory = Machine(str(tmp_path)), psutil.disk_usage(str(tmp_path)), psutil.virtual_memory()
    found = machine.look()
    assert found["disk_usage_percentage"] == pytest.approx(disk.percent, abs=2)
    assert found["disk_usage_megabytes"] == pytest.approx(disk.used / 1e6, rel=0.02)
    assert found["disk_available_megabytes"] == pytest.approx(disk.free / 1e6, rel=0.02)
    assert found["system_memory_usage_percentage"] == pytest.approx(memory.percent, abs=10)
    assert {"network_receive_megabytes", "network_transmit_megabytes"} <= found.keys()
