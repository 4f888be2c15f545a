"""A peer's own virtual environment, made by the benchmark from the user's registry: what is measured against never becomes a dependency."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


class CannotInstall(Exception):
    """The registry has it not, or it does not install here; the text says which."""


def own_environment(folder: Path, *packages: str) -> Path:
    """Makes `folder` with the newest of these packages; its Python. Raises CannotInstall."""
    uv = [sys.executable, "-m", "uv"]
    python = folder / "bin" / "python"
    for command in ([*uv, "venv", "-q", "--python", sys.executable, str(folder)], [*uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python), *packages]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CannotInstall(f"{' '.join(packages)}: {(done.stderr.strip().splitlines() or ['no reason given'])[0][:200]}")
    return python
