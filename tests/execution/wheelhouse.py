"""Wheels made by hand in a folder, and a cache of environments that looks nowhere else: no network, no compiler."""

from __future__ import annotations

import base64
import ensurepip
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from lazward.execution.environments import Environment, EnvironmentCache


class Wheelhouse:
    """A folder of wheels. It always has the pip that comes with this Python, and a stand-in for setuptools."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        bundled = Path(ensurepip.__file__).parent / "_bundled"
        for wheel in bundled.glob("pip-*.whl"):
            shutil.copy(wheel, folder)
        self.add("setuptools", "80.0")

    def add(
        self, name: str, version: str, requires: Sequence[str] = (), tag: str = "py3-none-any", script: str = "", text: str = ""
    ) -> Path:
        """A wheel with one module NAME whose __version__ says which it is; `script` is a command that prints that version."""
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        body = text or f"__version__ = {version!r}\n\ndef main():\n    print(__version__)\n"
        files = {
            f"{module}/__init__.py": body,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + "".join(f"Requires-Dist: {r}\n" for r in requires),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        if script:
            files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{script} = {module}:main\n"
        record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items())
        files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
        path = self.folder / f"{module}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            for inner, content in files.items():
                wheel.writestr(inner, content)
        return path

    def environ(self, home: Path) -> dict[str, str]:
        """Variables of a user whose only package index is this folder."""
        home.mkdir(parents=True, exist_ok=True)
        return {
            "HOME": str(home), "PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder),
            "PIP_CONFIG_FILE": "/dev/null", "UV_CACHE_DIR": str(home / "uv-cache"),
        }  # fmt: skip

    def cache(self, folder: Path, **settings: object) -> EnvironmentCache:
        settings.setdefault("gpus", False)
        environ = self.environ(folder / "home") | dict(settings.pop("environ", {}))  # type: ignore[call-overload]
        return EnvironmentCache(folder / "cache", environ=environ, **settings)  # type: ignore[arg-type]


def printed_by(*argv: str | Path) -> str:
    return subprocess.run(argv, capture_output=True, text=True, env={}).stdout.strip()


def version_in(env: Environment, module: str) -> str:
    """The __version__ of an installed module, "" where it does not import."""
    return printed_by(env.python, "-c", f"import {module}; print({module}.__version__)")


def alive(pid: int) -> bool:
    """Whether the process runs: one that ended and waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def own_tag(abi_version: tuple[int, int] = sys.version_info[:2]) -> str:
    """A wheel tag of this Python alone."""
    return f"cp{abi_version[0]}{abi_version[1]}-none-any"


def _digest(content: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
