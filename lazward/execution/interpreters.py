"""The Python interpreters of this machine: those on PATH, of pyenv, asdf, mise and uv, and the server's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

OLDEST = (3, 8)  # older ones can neither install current pip nor run what Lazward starts beside user code
_FIRST, _NEWEST = 6, 100  # minor versions that ranges are understood of
_NAME = re.compile(r"^python3\.(\d+)$")
_QUERY = (
    "import json,platform,sys,sysconfig\n"
    "print(json.dumps([platform.python_version(),sys.implementation.name,sysconfig.get_platform(),platform.libc_ver()[0],"
    "getattr(sys,'_base_executable',sys.executable) if sys.prefix!=sys.base_prefix else sys.executable]))"
)
_FOLDERS = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")


class Interpreter(msgspec.Struct, frozen=True):
    """`version` is "3.10.13"; `platform` what wheels are chosen by, such as "linux-x86_64-glibc"."""

    path: str
    version: str
    platform: str

    @property
    def minor(self) -> tuple[int, int]:
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)


class Choice(msgspec.Struct, frozen=True):
    """Interpreters to try, best first. `exact` is False when the version asked for is not on this machine: `note` says so, and `asked`
    is that version's "3.8"."""

    candidates: tuple[Interpreter, ...]
    exact: bool = True
    note: str = ""
    asked: str = ""


class Interpreters:
    """Finds interpreters. What a file turned out to be is kept in `cache`, so that a file is asked once."""

    def __init__(self, cache: Path, environ: Mapping[str, str], oldest: tuple[int, int] = OLDEST):
        self.cache, self.environ, self.oldest = cache, environ, oldest
        self._known: dict[str, list[str]] | None = None

    async def choose(self, request: str) -> Choice:
        """For "3.10" or "3.10.4" that Python, else the nearest newer, else the nearest older; for a range or "" every one that fits,
        the server's own version first, then the newest. Empty when the machine has none that fits."""
        found = self.paths()
        minors = sorted(found)
        definite = re.fullmatch(r"3\.(\d+)(?:\.\d+)*", request)
        if definite:
            return await self._definite(request, int(definite.group(1)), found)
        try:
            specifiers = SpecifierSet(request)
        except InvalidSpecifier:
            return Choice((), note=f"`{request}` is no Python version")
        own = sys.version_info.minor
        order = sorted(minors, key=lambda m: (m != own, -m))
        candidates = []
        for minor in order:
            interpreter = await self._first(found[minor])
            if interpreter and interpreter.version in specifiers:
                candidates.append(interpreter)
        if candidates:
            return Choice(tuple(candidates[:5]))
        inside = [minor for minor in range(_FIRST, _NEWEST) if _touches(specifiers, minor)]
        if not inside:
            return Choice((), note=f"no Python {request} is on this machine")
        return await self._nearest(request, inside[-1] if max(found) > inside[-1] else inside[0], found)

    async def _definite(self, request: str, minor: int, found: dict[int, list[Path]]) -> Choice:
        wanted = found.get(minor, [])
        if request.count(".") > 1:  # a patch version: that one if it is there, else any of its minor version
            wanted = sorted(wanted, key=lambda p: f"/{request}/" not in f"{p}/")
        first = await self._first(wanted)
        if first:
            note = "" if first.version.startswith(request) else f"Python {request} was asked for, {first.version} is taken"
            return Choice((first,), note=note)
        return await self._nearest(request, minor, found)

    async def _nearest(self, request: str, minor: int, found: dict[int, list[Path]]) -> Choice:
        """In place of 3.`minor`, which is not here: the nearest newer, else the nearest older."""
        others = sorted((m for m in found if m != minor), key=lambda m: (m < minor, abs(m - minor)))
        for other in others:
            interpreter = await self._first(found[other])
            if interpreter:
                old = (3, minor) < self.oldest
                why = f"is older than {self.oldest[0]}.{self.oldest[1]}, the oldest in use" if old else "is not on this machine"
                note = f"Python {request} was asked for and {why}: {interpreter.version} is taken"
                return Choice((interpreter,), exact=False, note=note, asked=f"3.{minor}")
        return Choice((), note=f"no Python {request} is on this machine")

    def paths(self) -> dict[int, list[Path]]:
        """Minor version -> files, best first, without running any of them."""
        found: dict[int, list[Path]] = {sys.version_info.minor: [Path(getattr(sys, "_base_executable", sys.executable))]}
        for folder in self._folders():
            try:
                named = [(path, _NAME.match(path.name)) for path in folder.iterdir()]
            except OSError:
                continue
            for path, match in named:
                if match and (3, int(match.group(1))) >= self.oldest:
                    found.setdefault(int(match.group(1)), []).append(path)
        return found

    def has(self, request: str) -> bool:
        """Whether a file of a version asked for is there, without running it."""
        definite = re.fullmatch(r"3\.(\d+)(?:\.\d+)*", request)
        if definite:
            return int(definite.group(1)) in self.paths()
        try:
            specifiers = SpecifierSet(request)
        except InvalidSpecifier:
            return False
        return any(_touches(specifiers, minor) for minor in self.paths())

    def _folders(self) -> list[Path]:
        home = Path(self.environ.get("HOME", "/nonexistent"))
        data = Path(self.environ.get("XDG_DATA_HOME") or home / ".local/share")
        managers = [
            Path(self.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions",
            Path(self.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python"),
            Path(self.environ.get("ASDF_DATA_DIR") or home / ".asdf") / "installs/python",
            Path(self.environ.get("MISE_DATA_DIR") or data / "mise") / "installs/python",
            Path("/Library/Frameworks/Python.framework/Versions"),
        ]
        installed = [version / "bin" for manager in managers for version in sorted(_inside(manager), key=_newest_first)]
        # pyenv's and asdf's shims are scripts that may refuse; what they stand for is found above.
        on_path = [Path(p) for p in self.environ.get("PATH", "").split(os.pathsep) if p and not p.rstrip("/").endswith("shims")]
        return [*installed, *on_path, *(Path(f) for f in _FOLDERS)]

    async def _first(self, paths: list[Path]) -> Interpreter | None:
        for path in paths:
            interpreter = await self.ask(path)
            if interpreter and interpreter.minor >= self.oldest:
                return interpreter
        return None

    async def ask(self, path: Path) -> Interpreter | None:
        """What the file is, None when it does not run or is no CPython. A virtual environment's stands for its base."""
        try:
            status = path.stat()
        except OSError:
            return None
        key = f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"
        known = self._read()
        if key not in known:
            known[key] = await _query(path)
            self._write(known)
        answer = known[key]
        if len(answer) < 5 or answer[1] != "cpython":
            return None
        platform = "-".join(p for p in (answer[2], answer[3]) if p)
        return Interpreter(answer[4], answer[0], platform)

    def _read(self) -> dict[str, list[str]]:
        if self._known is None:
            try:
                self._known = json.loads(self.cache.read_text())
            except (OSError, ValueError):
                self._known = {}
        return self._known if isinstance(self._known, dict) else {}

    def _write(self, known: dict[str, list[str]]) -> None:
        self._known = known
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.cache.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(known))
        temporary.replace(self.cache)


def _touches(specifiers: SpecifierSet, minor: int) -> bool:
    """Whether a range has versions of 3.`minor`."""
    return any(specifiers.contains(f"3.{minor}.{patch}") for patch in range(40))


def _newest_first(folder: Path) -> tuple[int, ...]:
    return tuple(-int(n) for n in re.findall(r"\d+", folder.name)[:3])


def _inside(folder: Path) -> list[Path]:
    """What a folder holds; nothing when it is not there, or another user's: PYENV_ROOT outlives a change of the user."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


async def _query(path: Path) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        str(path), "-I", "-c", _QUERY, env={"PATH": os.defpath}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        return [str(v) for v in json.loads(output)]
    except (TimeoutError, ValueError, OSError):
        return []
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
