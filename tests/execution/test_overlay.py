"""Overlays: what a job installs is its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from lazward.domain.environments import PackageSet
from lazward.execution.environments import Environment, hold, job_overlay, release
from lazward.execution.prune import holders
from tests.execution.wheelhouse import Wheelhouse


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    house = Wheelhouse(tmp_path / "wheels")
    house.add("alpha", "1.0", requires=["beta"], script="alpha")
    house.add("alpha", "2.0", requires=["beta"], script="alpha")
    house.add("beta", "1.0")
    house.add("gamma", "1.0", requires=["beta"], script="gamma")
    return house


@pytest.fixture
async def env(house: Wheelhouse, tmp_path: Path) -> Environment:
    return await house.cache(tmp_path).ensure(PackageSet(requirements=("alpha==1.0",)), lambda _: None)


@pytest.fixture
def job(env: Environment, house: Wheelhouse, tmp_path: Path):
    variables = job_overlay(env, tmp_path / "job/env", house.environ(tmp_path / "home"), "/usr/bin:/bin")

    def run(command: str) -> str:
        done = subprocess.run(["/bin/sh", "-c", command], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def fingerprint(folder: Path) -> str:
    """Names, link targets and contents, bytecode apart."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


class TestJobOverlay:
    def test_sees_the_cached_packages_and_commands(self, job, tmp_path: Path) -> None:
        assert job("python -c 'import alpha, beta; print(alpha.__version__, beta.__version__)'") == "1.0 1.0"
        assert job("alpha") == "1.0"
        assert job("python -c 'import sys; print(sys.prefix)'") == str(tmp_path / "job/env")
        assert job("command -v python; command -v pip; command -v alpha").split() == [str(tmp_path / "job/env/bin" / n) for n in ("python", "pip", "alpha")]

    def test_what_pip_installs_wins_and_leaves_the_cached_environment_as_it_is(self, job, env: Environment, tmp_path: Path) -> None:
        before = fingerprint(env.path)
        (tmp_path / "requirements.txt").write_text("alpha==2.0\ngamma\n")
        output = job("python -m pip install -r requirements.txt")
        assert "already satisfied: beta" in output
        assert job("python -c 'import alpha; print(alpha.__version__)' && alpha && gamma").split() == ["2.0", "2.0", "1.0"]
        assert job("python -c 'import importlib.metadata as m; print(m.version(\"alpha\"))'") == "2.0"
        job("pip uninstall -y beta; pip install --upgrade pip")
        assert fingerprint(env.path) == before
        assert subprocess.run([env.bin / "alpha"], capture_output=True, text=True, env={}).stdout == "1.0\n"

    def test_two_overlays_of_one_environment_are_apart(self, job, env: Environment, house: Wheelhouse, tmp_path: Path) -> None:
        job("pip install alpha==2.0")
        other = job_overlay(env, tmp_path / "other", house.environ(tmp_path / "home"))
        done = subprocess.run([tmp_path / "other/bin/alpha"], env=other, capture_output=True, text=True)
        assert done.stdout == "1.0\n"

    def test_made_again_it_keeps_what_was_installed(self, job, env: Environment, house: Wheelhouse, tmp_path: Path) -> None:
        job("pip install alpha==2.0")
        job_overlay(env, tmp_path / "job/env", house.environ(tmp_path / "home"))
        assert job("alpha") == "2.0"

    def test_data_files_are_there_and_writing_over_them_stays_inside(self, env: Environment, tmp_path: Path) -> None:
        shared = env.path / "share/jupyter/kernels/k.json"
        shared.parent.mkdir(parents=True)
        shared.write_text("cached")
        job_overlay(env, tmp_path / "job", {})
        inside = tmp_path / "job/share/jupyter/kernels/k.json"
        assert inside.read_text() == "cached"
        inside.unlink()  # as pip does before it writes
        inside.write_text("changed")
        (inside.parent / "new.json").write_text("new")
        assert shared.read_text() == "cached"
        assert [p.name for p in shared.parent.iterdir()] == ["k.json"]

    def test_variables(self, env: Environment, tmp_path: Path) -> None:
        environ = {"PIP_INDEX_URL": "https://i/simple", "PIP_USER": "1", "PIP_TARGET": "/x", "SECRET": "x", "UV_INDEX": "https://j", "HOME": "/h"}
        variables = job_overlay(env, tmp_path / "job", environ, "/usr/bin")
        assert variables["PATH"] == f"{tmp_path / 'job/bin'}:/usr/bin"
        assert variables["VIRTUAL_ENV"] == str(tmp_path / "job")
        assert variables["PIP_INDEX_URL"] == "https://i/simple"
        assert variables["UV_INDEX"] == "https://j"
        assert variables["PIP_USER"] == "0"
        assert not {"SECRET", "PIP_TARGET", "HOME"} & variables.keys()


class TestHold:
    def test_a_holder_counts_as_long_as_its_folder_is_there(self, env: Environment, tmp_path: Path) -> None:
        uses = env.path.parent.parent / "uses" / env.key
        holder = tmp_path / "deployment"
        holder.mkdir()
        hold(env, holder)
        hold(env, holder)
        assert holders(uses) == [str(holder)]
        holder.rmdir()
        assert holders(uses) == []

    def test_release(self, env: Environment, tmp_path: Path) -> None:
        hold(env, tmp_path)
        release(env, tmp_path)
        release(env, tmp_path)
        assert holders(env.path.parent.parent / "uses" / env.key) == []
