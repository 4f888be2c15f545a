"""Builds without CUDA: which packages of a lock are for GPUs only, and which CPU wheels a local folder has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags, platform_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from lazward.execution.interpreters import Interpreter

# Compiled against one build of torch: with another one they do not import.
COMPANIONS = {"torchvision", "torchaudio", "torchtext", "torchcsprng", "xformers", "fbgemm-gpu", "torch-scatter", "torch-sparse", "torch-cluster"}
_CUDA = re.compile(r"^(nvidia-[\w-]+|cuda-(toolkit|bindings|pathfinder)|triton)==", re.MULTILINE)
_NO_CUDA = {"nvidia-ml-py", "nvidia-ml-py3"}


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether this machine has a GPU that CUDA or ROCm builds can use. macOS has no such builds."""
    return any(devices.glob("nvidia[0-9]*")) or (devices / "kfd").exists() or (devices / "dxg").exists()


def cuda_packages(lock: str) -> list[str]:
    """The packages of a lock that are of use on an NVIDIA GPU only."""
    return [match.group(1) for match in _CUDA.finditer(lock) if match.group(1) not in _NO_CUDA]


def local_cpu_builds(folders: Iterable[Path], package: str, python: Interpreter) -> list[str]:
    """The versions, newest first, of `package` that folders hold as `+cpu` wheels for this Python."""
    tags = _tags(python.minor)
    found: set[Version] = set()
    for folder in folders:
        for path in folder.glob("*.whl"):
            try:
                name, version, _, wheel_tags = parse_wheel_filename(path.name)
            except InvalidWheelFilename:
                continue
            if name == canonicalize_name(package) and version.local == "cpu" and wheel_tags & tags:
                found.add(version)
    return [str(v) for v in sorted(found, reverse=True)]


def _tags(minor: tuple[int, int]) -> set[Tag]:
    platforms = list(platform_tags())
    interpreter = f"cp{minor[0]}{minor[1]}"
    found = set(cpython_tags(minor, platforms=platforms))
    return found | set(compatible_tags(minor, interpreter=interpreter, platforms=platforms))
