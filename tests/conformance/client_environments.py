"""Virtual environments for client packages that cannot live beside those of the tests: azureml-mlflow, which the tests' own
environment has, allows older releases of MLflow only."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lazward.execution.pip_settings import read_settings

NEWEST_MLFLOW = ("mlflow-skinny>=3.17", "scikit-learn", "skops", "pandas", "matplotlib", "pip")
MLFLOW_SERVER = ("mlflow>=3.17",)  # with its server
MLFLOW_2 = ("mlflow-skinny==2.22.*", "scikit-learn<1.7", "pandas<3", "numpy<2.3", "matplotlib", "setuptools<81")


@functools.cache
def python_with(*requirements: str) -> str:
    """The interpreter of a fresh environment with these; made once per test process (seconds: uv links from its cache).
    Skips the test where the package index cannot be reached."""
    folder = Path(tempfile.mkdtemp(prefix="lazward-clients-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    python = folder / "venv" / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "-p", sys.executable, str(folder / "venv")], check=True)
    install = [*uv, "pip", "install", "-q", "-p", str(python)]
    environ = {**os.environ, **read_settings(os.environ).variables()}  # the user's pip settings: uv does not look at them
    done = subprocess.run([*install, *requirements], capture_output=True, text=True, check=False, env=environ)
    if done.returncode and any("+cpu" in requirement for requirement in requirements):  # no such wheel at hand: PyTorch's own index has it
        done = subprocess.run([*install, "--torch-backend", "cpu", *(r.replace("+cpu", "") for r in requirements)], capture_output=True, text=True, check=False, env=environ)
    if done.returncode and ("client error" in done.stderr or "Failed to fetch" in done.stderr or "dns error" in done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return str(python)
