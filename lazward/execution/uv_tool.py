"""Runs uv: its lines go to the build log as they come, a cancelled call leaves no process behind."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

_SECRET = re.compile(r"(://)[^/\s@]+@")
_UNREACHABLE = re.compile(r"error sending request|dns error|client error \(Connect\)|operation timed out|Could not connect", re.IGNORECASE)
_NOISE = re.compile(r"^(Using (CPython|Python) .* (interpreter|environment) at|Creating virtual environment|Activate with:|Prepared |Audited |Resolved )")


class Finished(msgspec.Struct, frozen=True):
    """A call that ended. `errors` is what it wrote to stderr, without secrets."""

    code: int
    output: str
    errors: str


class Uv:
    """The uv binary with an environment of its own: `environ` is all that uv sees."""

    def __init__(self, binary: Path, environ: Mapping[str, str]):
        self.binary = binary
        self.environ = dict(environ) | {
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
            "UV_PYTHON_DOWNLOADS": "manual",  # `uv python install` alone, never as a side effect
            "GIT_TERMINAL_PROMPT": "0",
        }
        self._unreachable: dict[str, float] = {}

    async def run(
        self, arguments: Sequence[str], variables: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> Finished:
        """Runs uv in the root folder, so that no project file of a parent folder is taken for settings."""
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                str(self.binary), *arguments, env=self.environ | dict(variables or {}), cwd="/", start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )
        )  # fmt: skip
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:  # asyncio itself would end uv alone, not what uv has started by then
            await asyncio.shield(_stop_when_started(starting))
            raise
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            output, errors = await asyncio.gather(process.stdout.read(), _lines(process.stderr, log))
            code = await process.wait()
        except BaseException:
            await asyncio.shield(_stop(process))
            raise
        return Finished(code, output.decode(errors="replace"), errors)

    async def fetch(
        self, arguments: Sequence[str], variables: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> Finished:
        """Like run; where an index does not answer, once more with what uv has in its cache."""
        done = await self.run(arguments, variables, log)
        if done.code == 0 or not _UNREACHABLE.search(done.errors):
            return done
        if log:
            log("the package index cannot be reached: uv's cache is tried")
        cached = await self.run([*arguments, "--offline"], variables, log)
        return cached if cached.code == 0 else done

    async def reaches(self, url: str, seconds: float = 2.0) -> bool:
        """Whether a connection is made within that time; a no is kept for ten minutes. With a proxy only the call itself can tell."""
        if any(self.environ.get(v) for v in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
            return True
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        if time.monotonic() - self._unreachable.get(f"{host}:{port}", -600.0) < 600:
            return False
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), seconds)
            writer.close()
            return True
        except (OSError, TimeoutError):
            self._unreachable[f"{host}:{port}"] = time.monotonic()
            return False


def find_uv() -> Path:
    """The binary of the uv wheel, or the one on PATH."""
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        if found is None:
            raise RuntimeError("uv was not found: install the package `uv` where lazward is installed") from None
        return Path(found)


def without_secrets(text: str) -> str:
    """The text with user names and passwords taken out of URLs."""
    return _SECRET.sub(r"\1***@", text)


async def _lines(stream: asyncio.StreamReader, log: Callable[[str], None] | None) -> str:
    whole, rest = "", ""
    while chunk := await stream.read(65536):
        text = without_secrets(rest + chunk.decode(errors="replace"))
        *complete, rest = text.split("\n")
        for line in complete:
            whole += line + "\n"
            if log and line.strip() and not _NOISE.match(line):
                log(line.rstrip())
    if rest.strip() and log:
        log(rest.rstrip())
    return whole + rest


async def _stop_when_started(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    await _stop(await starting)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ends the process group: politely, then by force. A process that left the group is not waited for."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            await asyncio.wait_for(process.wait(), 2)
        except TimeoutError:
            continue
