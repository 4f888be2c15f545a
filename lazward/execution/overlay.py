"""A thin environment over a cached one: what a job installs lands in it, wins over the cached packages, and leaves them untouched.

The overlay is a virtual environment of its own (sys.prefix, bin, site-packages) whose only content is a .pth file that adds the cached
environment's site-packages behind its own. So `pip install` sees the cached packages as installed, never removes them ("outside
environment"), and console scripts of both run with the overlay's Python. Making one takes files and links only, no process."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lazward.execution.pip_settings import job_environment

_PTH = "_lazward_environment.pth"
_NOT_COPIED = ("python", "activate", "deactivate", "pydoc.bat")


class Environment(msgspec.Struct, frozen=True):
    """A ready environment: `path` the virtual environment, `lock` its packages with versions and hashes, `notes` what is different
    from what was asked for, `loosened` the versions among it: "numpy 1.21.2 -> 1.23.2"."""

    path: Path
    python: Path
    bin: Path
    key: str
    python_version: str
    lock: str
    notes: tuple[str, ...] = ()
    loosened: tuple[str, ...] = ()

    @property
    def site_packages(self) -> Path:
        major, minor = self.python_version.split(".")[:2]
        return self.path / "lib" / f"python{major}.{minor}" / "site-packages"

    @property
    def packages(self) -> int:
        return sum(line[:1].isalnum() for line in self.lock.splitlines())


def job_overlay(env: Environment, folder: Path, environ: Mapping[str, str] = os.environ, path: str = os.defpath, plugin: Path | None = None) -> dict[str, str]:
    """Makes the overlay in `folder` (or finds it there) and returns the variables that a job's processes run with: PATH (the overlay's
    bin before `path`), VIRTUAL_ENV, and the server's index settings for pip and uv. `folder` counts as a user of the environment,
    which is not pruned while the folder exists. plugin: a folder of packages that the job can import as well (client_plugin.py)."""
    bin_folder, site_packages = folder / "bin", folder / env.site_packages.relative_to(env.path)
    bin_folder.mkdir(parents=True, exist_ok=True)
    site_packages.mkdir(parents=True, exist_ok=True)
    hold(env, folder)
    _link(folder / "lib64", "lib")
    (folder / "pyvenv.cfg").write_text((env.path / "pyvenv.cfg").read_text().replace("relocatable = true\n", ""))
    added = [env.site_packages, *([plugin] if plugin else [])]
    (site_packages / _PTH).write_text("".join(f"import site; site.addsitedir({str(one)!r})\n" for one in added))
    for entry in os.scandir(env.bin):
        _script(Path(entry.path), bin_folder / entry.name)
    for name in ("share", "etc"):
        _mirror(env.path / name, folder / name)
    return job_environment(environ) | {"PATH": os.pathsep.join([str(bin_folder), path]), "VIRTUAL_ENV": str(folder)}


def hold(env: Environment, holder: Path) -> None:
    """Keeps the environment from being pruned as long as the folder `holder` exists."""
    uses = _uses(env)
    uses.mkdir(parents=True, exist_ok=True)
    _link(uses / hashlib.sha256(str(holder).encode()).hexdigest()[:32], str(holder))


def release(env: Environment, holder: Path) -> None:
    """The opposite of hold, for a holder whose folder stays."""
    (_uses(env) / hashlib.sha256(str(holder).encode()).hexdigest()[:32]).unlink(missing_ok=True)


def _uses(env: Environment) -> Path:
    return env.path.parent.parent / "uses" / env.key


def _script(source: Path, target: Path) -> None:
    """Python itself as a link to the interpreter, scripts as copies (their first line finds the Python beside them), programs as links."""
    if os.path.lexists(target):
        return
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.name == "activate" or not source.name.startswith(_NOT_COPIED):
        with source.open("rb") as file:
            is_script = file.read(2) == b"#!" or source.name == "activate"
        if is_script:
            shutil.copy(source, target)
        else:
            target.symlink_to(source)


def _mirror(source: Path, target: Path) -> None:
    """Real folders with a link for every file, so that writing into the overlay never writes into the cached environment."""
    for folder, _, files in os.walk(source):
        inside = target / os.path.relpath(folder, source)
        inside.mkdir(parents=True, exist_ok=True)
        for name in files:
            _link(inside / name, os.path.join(folder, name))  # noqa: PTH118


def _link(path: Path, to: str) -> None:
    try:
        path.symlink_to(to)
    except FileExistsError:
        pass
