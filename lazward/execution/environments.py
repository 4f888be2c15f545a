"""Virtual environments, each built once and kept under the hash of its lock.

Layout of the root folder: `envs/KEY` the environments (a folder there is complete: it was built elsewhere and renamed), `resolved/HASH`
what a request resolved to, `uses/KEY` links to the folders that use one, `locks`, `logs` of builds, `tmp` builds under way."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from lazward.contract.errors import ArmError
from lazward.domain.package_set import PackageSet
from lazward.execution.cpu_builds import has_gpu
from lazward.execution.file_lock import file_lock
from lazward.execution.interpreters import OLDEST, Interpreters
from lazward.execution.overlay import Environment, hold, job_overlay, release
from lazward.execution.pip_settings import IndexSettings, read_settings, tool_environment
from lazward.execution.prune import Pruned, holders, prune
from lazward.execution.resolution import FAILED, Resolution
from lazward.execution.resolve import Resolver, explained, reason_of
from lazward.execution.uv_tool import Uv, find_uv

__all__ = ["Environment", "EnvironmentCache", "Pruned", "hold", "job_overlay", "release"]

_FORMAT = 2  # counts up when the same request has to be resolved anew
_FOLDERS = ("envs", "resolved", "uses", "locks", "logs", "tmp")
Log = Callable[[str], None]


class _Resolved(msgspec.Struct):
    key: str
    resolution: Resolution
    python_asked: str
    made: float


class _Failed(Exception):
    """uv's reason why packages could not be installed."""


class EnvironmentCache:
    """Environments under `root`, shared by every process that names the same folder.

    uv                the binary; default: of the uv package, or on PATH
    environ           the server's environment: index settings, caches and certificates are taken from it
    gpus              whether CUDA builds are wanted; default: whether this machine has a GPU
    python_downloads  whether `uv python install` may fetch a missing version
    oldest_python     older versions asked for are replaced by the nearest newer one
    strict            never takes other versions than those asked for by name
    lock_max_age_s    resolve anew after this time; default never: a lock stays until `rebuild`
    """

    def __init__(
        self, root: Path, uv: Path | None = None, *, environ: Mapping[str, str] = os.environ, gpus: bool | None = None,
        python_downloads: bool = False, oldest_python: tuple[int, int] = OLDEST, strict: bool = False, lock_max_age_s: float | None = None,
    ):  # fmt: skip
        self.root = root.absolute()
        for name in _FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self.environ = dict(environ)
        self.uv = Uv(uv or find_uv(), tool_environment(self.environ) | self._cache_variables())
        self.interpreters = Interpreters(self.root / "interpreters.json", self.environ, oldest_python)
        self.gpus = has_gpu() if gpus is None else gpus
        self.python_downloads, self.strict, self.lock_max_age_s = python_downloads, strict, lock_max_age_s

    async def ensure(
        self, packages: PackageSet, log: Log, extra: Sequence[str] = (), *, context: Path | None = None, rebuild: bool = False
    ) -> Environment:
        """The environment of a package set plus the requirements `extra`, built if it is not there. `context` is the folder that
        `context:` requirements are in. Raises ArmError(400, EnvironmentBuildFailed) with the reason; cancelling stops the build."""
        started = time.monotonic()
        for note in packages.notes:
            log(note)
        settings = read_settings(self.environ).with_options(packages.options)
        request = self._request_hash(packages, extra, settings, context)
        if not rebuild:
            ready = await self._ready(request)
            if ready:
                return self._announce(ready, log, started, "from the cache")
        output = _Output(self.root / "logs" / f"{request}.log", log)
        async with file_lock(self.root / "locks" / f"{request}.lock", on_wait=output.follow):
            ready = None if rebuild else await self._ready(request)
            if ready:
                return self._announce(ready, log, started, "built by another process")
            output.begin()
            for note in settings.notes:
                output(note)
            resolved = None if rebuild else self._read(request)
            if resolved is None:
                resolved = await self._resolve(packages, extra, settings, context, request, output)
            else:
                output("the environment was resolved before: its lock is kept")
            try:
                environment = await self._build(resolved, settings, output, rebuild)
            except _Failed as error:
                raise explained(str(error), packages, *resolved.resolution.notes) from None
        return self._announce(environment, log, started, "built")

    async def prune(self, keep_bytes: int | None = None, keep_days: float | None = None) -> list[Pruned]:
        """Removes the least recently used environments until at most `keep_bytes` are left, and all not used for `keep_days`. What a
        running job or deployment holds stays. Locks stay too: a removed environment comes back as it was."""
        return await prune(self.root, keep_bytes, keep_days)

    async def _ready(self, request: str) -> Environment | None:
        """The environment that a request resolved to, if it is there and whole. Takes the lock that prune takes."""
        resolved = self._read(request)
        if resolved is None or not self._environment(resolved).python.exists():
            return None
        async with file_lock(self.root / "locks" / f"{resolved.key}.lock", shared=True):
            environment = self._environment(resolved)
            if not environment.python.exists():
                return None
            os.utime(environment.path)
        return environment

    def _read(self, request: str) -> _Resolved | None:
        try:
            resolved = msgspec.json.decode((self.root / "resolved" / f"{request}.json").read_bytes(), type=_Resolved)
        except (OSError, msgspec.DecodeError):
            return None
        if self.lock_max_age_s is not None and time.time() - resolved.made > self.lock_max_age_s:
            return None
        if resolved.resolution.fallback and self.interpreters.has(resolved.python_asked):
            return None  # the Python asked for has come since
        return resolved

    async def _resolve(
        self, packages: PackageSet, extra: Sequence[str], settings: IndexSettings, context: Path | None, request: str, log: Log
    ) -> _Resolved:
        started = time.monotonic()
        log(f"resolving {len(packages.requirements) + len(packages.soft) + len(extra)} requirements")
        await self._fetch_python(packages.python, log)
        for left in (self.root / "tmp").glob(f"resolve-{request}-*"):  # of one that was killed: the lock of this request is ours now
            shutil.rmtree(left, ignore_errors=True)
        work = self._temporary(f"resolve-{request}")
        try:
            resolver = Resolver(self.uv, self.interpreters, settings, work, self.gpus, log, self.strict)
            resolution = await resolver.resolve(packages, extra, context)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        resolved = _Resolved(_key(resolution, context), resolution, packages.python, time.time())
        count = self._environment(resolved).packages
        log(f"resolved {count} packages for Python {resolution.python.version} in {time.monotonic() - started:.1f} s")
        path = self.root / "resolved" / f"{request}.json"
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        temporary.write_bytes(msgspec.json.encode(resolved))
        temporary.replace(path)
        return resolved

    async def _build(self, resolved: _Resolved, settings: IndexSettings, output: _Output, rebuild: bool) -> Environment:
        environment = self._environment(resolved)
        async with file_lock(self.root / "locks" / f"{resolved.key}.lock", on_wait=output.wait):
            whole = environment.python.exists()
            if whole and (not rebuild or holders(self.root / "uses" / resolved.key)):
                return environment
            self._sweep(resolved.key)
            work = self._temporary(resolved.key)
            try:
                await self._install(resolved, settings, work, output)
                if environment.path.exists():  # its Python is gone, or a rebuild: the old one is moved away in one step
                    environment.path.rename(self.root / "tmp" / f"{resolved.key}-old-{secrets.token_hex(4)}")
                (work / "env").rename(environment.path)
            finally:
                self._sweep(resolved.key)
        return environment

    def _sweep(self, key: str) -> None:
        """Removes what builds left behind, which were killed or are done: the lock of the key is ours. The uv of a killed build may
        live on for a while: renamed first, the folder is out of its reach."""
        for left in (self.root / "tmp").glob(f"{key}-*"):
            gone = left.with_name(f"pruned-{secrets.token_hex(8)}")
            left.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    async def _install(self, resolved: _Resolved, settings: IndexSettings, work: Path, log: Log) -> None:
        """A relocatable environment in work/env: scripts find the Python beside them, so that the folder can be renamed and its
        scripts copied into overlays. Bytecode is left to the first import (figures in ADR 0010)."""
        started = time.monotonic()
        folder, lock = work / "env", work / "requirements.txt"
        lock.write_text(resolved.resolution.lock)
        python = resolved.resolution.python.path
        made = await self.uv.run(["venv", "--relocatable", "--prompt", resolved.key[:8], "--python", python, str(folder)], None, log)
        if made.code:
            raise ArmError(400, FAILED, f"The environment's Python could not be set up: {reason_of(made.errors)}", "python")
        arguments = ["pip", "install", "--python", str(folder / "bin/python"), "--no-deps", "-r", str(lock), *settings.arguments()]
        done = await self.uv.fetch([*arguments, *resolved.resolution.arguments], settings.variables(), log)
        if done.code:
            raise _Failed(reason_of(done.errors))
        (folder / "lazward-lock.txt").write_text(resolved.resolution.lock)
        log(f"installed in {time.monotonic() - started:.1f} s")

    async def _fetch_python(self, request: str, log: Log) -> None:
        if not self.python_downloads or not request or self.interpreters.has(request) or not request[0].isdigit():
            return
        log(f"fetching Python {request}")
        done = await self.uv.run(["python", "install", "--no-bin", request], {"UV_HTTP_TIMEOUT": "20", "UV_HTTP_RETRIES": "1"}, log)
        if done.code:
            log(f"Python {request} could not be fetched: another one of this machine is taken")

    def _environment(self, resolved: _Resolved) -> Environment:
        path = self.root / "envs" / resolved.key
        resolution = resolved.resolution
        return Environment(path, path / "bin" / "python", path / "bin", resolved.key, resolution.python.version, resolution.lock,
                           resolution.notes, resolution.loosened)  # fmt: skip

    def _request_hash(self, packages: PackageSet, extra: Sequence[str], settings: IndexSettings, context: Path | None) -> str:
        local = [r for r in packages.requirements if r.startswith("context:")]
        parts = [
            _FORMAT, packages.python, packages.requirements, packages.soft, packages.constraints, packages.cpu_only, tuple(extra),
            settings.fingerprint(), self.gpus, self.strict, self.interpreters.oldest, [digest_of(context, r) for r in local],
        ]  # fmt: skip
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:40]

    def _temporary(self, name: str) -> Path:
        work = self.root / "tmp" / f"{name}-{os.getpid()}-{secrets.token_hex(4)}"
        work.mkdir(mode=0o700)
        return work

    def _cache_variables(self) -> dict[str, str]:
        """uv's cache of downloads is the user's own; a service without a home keeps it here."""
        home = self.environ.get("HOME", "")
        if "UV_CACHE_DIR" in self.environ or "XDG_CACHE_HOME" in self.environ or (home and os.access(home, os.W_OK)):
            return {}
        return {"UV_CACHE_DIR": str(self.root / "uv-cache")}

    def _announce(self, environment: Environment, log: Log, started: float, how: str) -> Environment:
        for note in environment.notes:
            log(note)
        what = f"Python {environment.python_version}, {environment.packages} packages"
        log(f"environment {environment.key[:12]} is ready ({how}, {time.monotonic() - started:.2f} s): {what}")
        return environment


class _Output:
    """The log of a build: its lines go to the caller and to a file, which those who wait for the same build follow."""

    def __init__(self, path: Path, log: Log):
        self.path, self.log = path, log
        self._offset, self._waits = 0, False

    def begin(self) -> None:
        self.path.write_text("")

    def __call__(self, line: str) -> None:
        self.log(line)
        with self.path.open("a") as file:
            file.write(line + "\n")

    def wait(self) -> None:
        if not self._waits:
            self.log("waiting for another build of the same environment")
            self._waits = True

    def follow(self) -> None:
        self.wait()
        try:
            text = self.path.read_text()
        except OSError:
            return
        complete = text[: text.rfind("\n") + 1]
        for line in complete[self._offset :].splitlines():
            self.log(f"  {line}")
        self._offset = max(self._offset, len(complete))


def _key(resolution: Resolution, context: Path | None) -> str:
    """Of everything that decides what is in the environment: interpreter version, platform, lock; files by their content."""
    lock = resolution.lock
    if context is not None and str(context.resolve()) in lock:
        lock += digest_of(context, "context:.")
    python = resolution.python
    return hashlib.sha256(msgspec.json.encode([python.version, python.platform, lock, resolution.arguments])).hexdigest()[:32]


def digest_of(context: Path | None, requirement: str) -> str:
    """The content of a file or folder of the build context."""
    if context is None:
        return ""
    digest = hashlib.sha256()
    path = (context / requirement.removeprefix("context:").partition("[")[0]).resolve()
    if not path.is_relative_to(context.resolve()):
        return ""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(context.resolve())}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
