"""What the tests of executors share: ways to write a launch, and to see whether processes are gone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lazward.domain.ports import Executor, LaunchSpec, LaunchStatus, ProcessSpec
from lazward.execution import processes
from lazward.execution.runtime import records

PATIENCE_S = 30.0  # for what must happen; a test that waits so long has failed


class Bench:
    """Makes launches of shell and Python programs in a folder, and remembers which processes they reported.

    A program reports a process of its tree by appending `pid` lines to the file "pids" ($PIDS in its environment)."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.pids = folder / "pids"
        self.names: set[str] = set()  # of the launches that were meant
        self.env = {"PATH": os.environ.get("PATH", os.defpath), "PIDS": str(self.pids), "HERE": str(folder)}

    def spec(self, name: str, *argvs: tuple[str, ...], env: dict[str, str] | None = None, **limits) -> LaunchSpec:
        self.names.add(name)
        made = tuple(
            ProcessSpec(argv, self.env if env is None else env, str(self.log(name, i))) for i, argv in enumerate(argvs)
        )
        return LaunchSpec(name, made, **{"cwd": str(self.folder), "grace_s": 10.0, **limits})

    def log(self, name: str, index: int = 0) -> Path:
        return self.folder / f"{name.encode().hex()[:100]}.{index}.log"

    async def reported(self, count: int) -> list[processes.Process]:
        """Waits until so many processes have reported themselves, and returns them with their start times."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self._lines()) < count:
            assert time.monotonic() < deadline, f"only {self._lines()} of {count} processes reported"
            await asyncio.sleep(0.01)
        seen = [processes.look_at(int(line)) for line in self._lines()]
        return [process for process in seen if process]

    def _lines(self) -> list[str]:
        if not self.pids.exists():
            return []
        return [line for line in self.pids.read_text().splitlines(keepends=True) if line.endswith("\n")]


def is_alive(process: processes.Process) -> bool:
    now = processes.look_at(process.pid)
    return now is not None and now.start == process.start


async def until(condition) -> None:
    """Waits for something that must happen."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def py(script: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", script)


# Reports itself and sleeps; with a daemon (double fork, own session, closed files, no TERM) that does the same.
REPORT_AND_SLEEP = "echo $$ >> $PIDS; exec sleep 600"
DAEMON = """
import os, signal, time
def report():
    with open(os.environ["PIDS"], "a") as file:
        file.write(f"{os.getpid()}\\n")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 100)
        report()
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Subject(NamedTuple):
    """An executor under test. expression: makes one over `root` (a Path), here and in another process; imports: what that needs there;
    keeper: the id of the process that holds a running launch, and whose end by SIGKILL loses it."""

    expression: str
    imports: str
    keeper: Callable[[Any, str], int]


# An executor is added by one line here, and passes all of test_executor_*.py.
SUBJECTS = {
    "local": Subject(
        "LocalExecutor(root)", "from lazward.execution.local import LocalExecutor",
        lambda executor, name: json.loads(Path(executor.folder(name), records.KEEPER).read_text())["pid"],
    ),
}

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=SUBJECTS.values(), ids=SUBJECTS.keys())
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


@pytest.fixture
def another(subject: Subject, bench: Bench) -> Iterator[Callable[[], Executor]]:
    """Makes one more executor in the same way: what another worker would hold."""
    made: list[Executor] = []

    def make() -> Executor:
        names: dict[str, Any] = {"root": bench.folder / "launches"}
        exec(subject.imports, names)
        made.append(eval(subject.expression, names))
        return made[-1]

    yield make
    if made:
        asyncio.run(_stop(made[0], bench.names))
    for executor in made:
        executor.close()


async def _stop(executor: Executor, names: set[str]) -> None:
    """What a test that failed has left running."""
    for name in names:
        if (await executor.poll(name)).state == "running":
            await executor.cancel(name)


@pytest.fixture
def executor(another: Callable[[], Executor]) -> Executor:
    return another()


@pytest.fixture
def elsewhere(subject: Subject, bench: Bench) -> Callable[[str], subprocess.Popen[str]]:
    """Runs Python code that has `executor` and `bench` in another process. Returns the Popen."""

    def run(code: str) -> subprocess.Popen[str]:
        script = f"""
import asyncio, os, signal
from pathlib import Path
from tests.execution.conftest import *
{subject.imports}
bench = Bench(Path({str(bench.folder)!r}))
root = bench.folder / "launches"
async def main():
    executor = {subject.expression}
    {code}
asyncio.run(main())
"""
        return subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)

    return run


async def run(executor: Executor, spec: LaunchSpec) -> LaunchStatus:
    await executor.start(spec)
    return await executor.wait(spec.name, PATIENCE_S)
