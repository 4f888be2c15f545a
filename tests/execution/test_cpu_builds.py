"""Telling builds for GPUs from others."""

from __future__ import annotations

import sys
from pathlib import Path

from lazward.execution.cpu_builds import cuda_packages, has_gpu, local_cpu_builds
from lazward.execution.interpreters import Interpreter
from tests.execution.wheelhouse import Wheelhouse, own_tag


def test_cuda_packages_of_a_lock() -> None:
    lock = "nvidia-cublas-cu12==1 \\\n    --hash=x\nnvidia-ml-py==2\ntorch==2\ntriton==3\nxgboost==1\ncuda-toolkit==1\n"
    assert cuda_packages(lock) == ["nvidia-cublas-cu12", "triton", "cuda-toolkit"]


def test_local_cpu_builds_are_those_for_this_python_newest_first(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path)
    for version, tag in (("1.9+cpu", own_tag()), ("1.10+cpu", own_tag()), ("2.0+cpu", "cp38-none-any"), ("3.0", own_tag()), ("4.0+cu12", own_tag())):
        house.add("torch", version, tag=tag)
    house.add("other", "1.0+cpu")
    (tmp_path / "not-a-wheel.whl").touch()
    python = Interpreter("/x", ".".join(map(str, sys.version_info[:3])), "linux")
    assert local_cpu_builds([tmp_path], "torch", python) == ["1.10+cpu", "1.9+cpu"]
    assert local_cpu_builds([tmp_path], "torch", Interpreter("/x", "3.8.1", "linux")) == ["2.0+cpu"]


def test_has_gpu_looks_for_devices(tmp_path: Path) -> None:
    assert not has_gpu(tmp_path)
    (tmp_path / "nvidiactl").touch()
    assert not has_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert has_gpu(tmp_path)
