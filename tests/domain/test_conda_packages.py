"""Names of conda packages on PyPI."""

from __future__ import annotations

import pytest

from lazward.domain.conda_packages import RENAMED, is_not_python, pypi_name


@pytest.mark.parametrize(("conda", "pypi"), [("pytorch", "torch"), ("opencv", "opencv-python-headless"), ("pandas", "pandas"),
                                             ("librosa", "librosa"), ("mpi4py", "mpi4py"), ("python-dateutil", "python-dateutil"),
                                             ("cuda-python", "cuda-python")])  # fmt: skip
def test_python_packages_have_a_name(conda: str, pypi: str) -> None:
    assert pypi_name(conda) == pypi
    assert not is_not_python(conda)


@pytest.mark.parametrize("name", ["cudatoolkit", "cudnn", "gcc", "gcc_linux-64", "libgcc-ng", "libgomp", "openmpi", "mkl", "_openmp_mutex",
                                  "openssl", "ffmpeg", "openjdk", "graphviz", "cpuonly", "pytorch-cuda", "ca-certificates", "tk"])  # fmt: skip
def test_system_libraries_are_left_out(name: str) -> None:
    assert pypi_name(name) is None
    assert not is_not_python(name)


@pytest.mark.parametrize("name", ["r-base", "r", "r-tidyverse", "julia", "perl-dbi", "octave"])
def test_other_languages_are_told_apart(name: str) -> None:
    assert is_not_python(name)


@pytest.mark.parametrize("name", ["rich", "ray-core", "requests", "ruamel.yaml", "regex", "perlin-noise", "juliacall"])
def test_python_packages_are_not_taken_for_other_languages(name: str) -> None:
    assert not is_not_python(name)


def test_no_name_stands_for_itself() -> None:
    assert all(conda != pypi and pypi for conda, pypi in RENAMED.items())
