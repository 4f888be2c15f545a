"""Folders that a process cannot write to.

Mode bits do it for ordinary users. The superuser passes by those, so there the process gets a mount namespace of its own in which
the folder is mounted read-only: with util-linux's `unshare` and `mount`, where the kernel lets us.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

_SCRIPT = 'root=$1; shift; mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" && exec "$@"'


def protect(folder: Path) -> None:
    """Takes the write bits off a folder and everything in it."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            if not (Path(path) / name).is_symlink():
                (Path(path) / name).chmod(0o444)
        Path(path).chmod(0o555)


def wrap(argv: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The command that runs argv with folder read-only; argv itself where mode bits are enough or nothing more can be done."""
    return (*_namespace(folder), *argv) if os.geteuid() == 0 and namespaces_work() else tuple(argv)


@functools.cache
def namespaces_work() -> bool:
    """Whether this user may make a mount namespace and mount in it; tried once."""
    if not shutil.which("unshare") or not shutil.which("mount"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*_namespace(Path(folder)), "true"], capture_output=True, check=False, timeout=10)
    return done.returncode == 0


def _namespace(folder: Path) -> tuple[str, ...]:
    return ("unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c", _SCRIPT, "lazward", str(folder))
