"""Telling builds for GPUs from others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lazward.domain.environments import PackageSet
from lazward.execution.cpu_builds import cuda_packages, has_gpu, local_cpu_builds
from lazward.execution.interpreters import Interpreter
from tests.execution.wheelhouse import Wheelhouse, own_tag, version_in


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


class TestEnvironmentsWithoutGpu:
    @pytest.fixture
    def torch(self, tmp_path: Path) -> Wheelhouse:
        house = Wheelhouse(tmp_path / "wheels")
        house.add("torch", "9.0", requires=["nvidia-cublas"])
        house.add("torch", "8.0", requires=["nvidia-cublas"])
        house.add("torch", "8.0+cpu", tag=own_tag())
        house.add("torch", "9.0+cpu", tag="cp38-none-any")
        house.add("nvidia-cublas", "1.0")
        house.add("torchvision", "0.9", requires=["torch"])
        return house

    async def test_without_a_gpu_the_cpu_build_of_a_local_folder_is_taken(self, torch: Wheelhouse, tmp_path: Path) -> None:
        lines: list[str] = []
        env = await torch.cache(tmp_path).ensure(PackageSet(requirements=("torch",)), lines.append)
        assert version_in(env, "torch") == "8.0+cpu"
        assert "nvidia" not in env.lock
        assert any("no GPU" in line for line in lines)

    async def test_with_a_gpu_nothing_changes(self, torch: Wheelhouse, tmp_path: Path) -> None:
        env = await torch.cache(tmp_path, gpus=True).ensure(PackageSet(requirements=("torch",)), lambda _: None)
        assert version_in(env, "torch") == "9.0"
        assert "nvidia-cublas" in env.lock

    async def test_a_pin_counts_more(self, torch: Wheelhouse, tmp_path: Path) -> None:
        env = await torch.cache(tmp_path).ensure(PackageSet(requirements=("torch==9.0",)), lambda _: None)
        assert version_in(env, "torch") == "9.0"
        assert any("without CUDA was found" in note for note in env.notes)

    async def test_a_companion_without_a_cpu_build_keeps_cuda(self, torch: Wheelhouse, tmp_path: Path) -> None:
        env = await torch.cache(tmp_path).ensure(PackageSet(requirements=("torchvision",)), lambda _: None)
        assert version_in(env, "torch") == "9.0"

    async def test_an_image_s_companion_is_left_out_instead(self, torch: Wheelhouse, tmp_path: Path) -> None:
        env = await torch.cache(tmp_path).ensure(PackageSet(soft=("torch==8.*", "torchvision")), lambda _: None)
        assert version_in(env, "torch") == "8.0+cpu"
        assert "torchvision" not in env.lock
        assert any("torchvision" in note for note in env.notes)

    async def test_a_pinned_torch_is_not_mixed_with_a_companion_for_cuda(self, torch: Wheelhouse, tmp_path: Path) -> None:
        packages = PackageSet(requirements=("torch==8.0", "torchvision"))
        env = await torch.cache(tmp_path).ensure(packages, lambda _: None)
        assert version_in(env, "torch") == "8.0"
        assert any("taken with CUDA" in note for note in env.notes)

    async def test_nccl_is_left_out_for_xgboost(self, tmp_path: Path) -> None:
        house = Wheelhouse(tmp_path / "wheels")
        house.add("xgboost", "1.0", requires=["nvidia-nccl-cu12"])
        house.add("nvidia-nccl-cu12", "1.0")
        env = await house.cache(tmp_path).ensure(PackageSet(requirements=("xgboost",)), lambda _: None)
        assert "nvidia" not in env.lock
        kept = await house.cache(tmp_path, gpus=True).ensure(PackageSet(requirements=("xgboost",)), lambda _: None)
        assert "nvidia" in kept.lock
