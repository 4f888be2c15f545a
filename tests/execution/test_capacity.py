from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazward.execution import capacity
from tests.execution.conftest import until

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def system(root: Path, groups: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_machine_without_limits(tmp_path: Path):
    assert capacity.measure(tmp_path) == capacity.Capacity(CORES, MEMORY, 0)
    unlimited = {"cpu_DOT_max": "max 100000\n", "memory_DOT_max": "max\n"}
    assert capacity.measure(system(tmp_path, "0::/\n", **unlimited)) == capacity.Capacity(CORES, MEMORY, 0)


@pytest.mark.parametrize(("limit", "cores"), [("50000 100000", 1), ("100000 100000", 1), ("99999999 100000", CORES), ("1 100", 1)])
def test_cores_of_a_control_group(tmp_path: Path, limit: str, cores: int):
    assert capacity.measure(system(tmp_path, "0::/\n", cpu_DOT_max=limit)).cores == cores


def test_the_smallest_limit_on_the_way_up_counts(tmp_path: Path):
    files = {"a__b__memory_DOT_max": "300", "a__memory_DOT_max": "200", "memory_DOT_max": "max", "c__memory_DOT_max": "100"}
    assert capacity.measure(system(tmp_path, "0::/a/b\n", **files)).memory_bytes == 200


def test_version_one_groups(tmp_path: Path):
    files = {
        "cpu,cpuacct__x__cpu_DOT_cfs_quota_us": "-1",
        "cpu,cpuacct__x__cpu_DOT_cfs_period_us": "100000",
        "cpu,cpuacct__cpu_DOT_cfs_quota_us": "100000",
        "cpu,cpuacct__cpu_DOT_cfs_period_us": "100000",
        "memory__y__memory_DOT_limit_in_bytes": "4096",
        "memory__memory_DOT_limit_in_bytes": "9223372036854771712",
    }
    found = capacity.measure(system(tmp_path, "3:cpu,cpuacct:/x\n2:memory:/y\n1:name=systemd:/z\n", **files))
    assert found == capacity.Capacity(1, 4096, 0)


def nvidia_smi(folder: Path, script: str) -> str:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return str(program)


async def test_gpus_are_those_that_nvidia_smi_lists(tmp_path: Path):
    lines = "echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'; echo '  MIG 1g.10gb Device 0: (UUID: MIG-1)'; echo 'GPU 1: NVIDIA H100 (UUID: GPU-2)'"
    count = capacity.GpuCount(nvidia_smi(tmp_path, lines), devices=tmp_path)
    await until(lambda: int(count) == 2)


async def test_the_device_files_count_until_it_answers(tmp_path: Path):
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    answered = tmp_path / "answered"
    script = f"while test ! -e {tmp_path}/go; do sleep 0.01; done; touch {answered}; exit 9"
    count = capacity.GpuCount(nvidia_smi(tmp_path, script), devices=tmp_path)
    assert int(count) == 3
    (tmp_path / "go").touch()
    await until(lambda: not count._thread.is_alive())
    assert answered.exists() and int(count) == 3


def test_no_nvidia_smi_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "nvidia0").touch()
    assert int(capacity.GpuCount(devices=tmp_path)) == 0
