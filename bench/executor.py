"""What the local executor adds to a bare process: `python -m bench.executor`.

The same interpreter runs the same one-line program, by subprocess and as a launch, in turn. "first line" is from the call to
the moment the program reads the clock; "ended" is to the moment the caller knows the end.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Row, main
from lazward.domain.ports import LaunchSpec, ProcessSpec
from lazward.execution import local

PROGRAM = (sys.executable, "-I", "-S", "-c", "import time; print(time.time())")
CASES = ("bare process", "launch", "launch, no spare keeper")


async def measured(repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds to the first line and to the end, by case."""
    with tempfile.TemporaryDirectory() as folder:
        executor = local.LocalExecutor(Path(folder, "launches"))
        await executor.warm()
        figures: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
        for i in range(repeats):
            began = time.time()
            done = subprocess.run(PROGRAM, env={}, capture_output=True, check=True)  # noqa: ASYNC221
            figures[CASES[0]].append((float(done.stdout) - began, time.time() - began))
            for case in CASES[1:]:
                await asyncio.sleep(0.1)  # the spare keeper is made meanwhile
                if case == CASES[2] and executor._spare:
                    local._dismiss(executor._spare)
                    executor._spare = None
                figures[case].append(await launch(executor, f"{case} {i}", Path(folder, f"{case} {i}.log")))
        executor.close()
    return figures


async def launch(executor: local.LocalExecutor, name: str, log: Path) -> tuple[float, float]:
    began = time.time()
    await executor.start(LaunchSpec(name, (ProcessSpec(PROGRAM, {}, str(log)),), cwd="/"))
    status = await executor.wait(name, 60)
    ended = time.time() - began
    assert status.code == 0, status
    return float(log.read_text()) - began, ended


def rows(quick: bool) -> list[Row]:
    figures = asyncio.run(measured(2 if quick else 30))

    def ms(case: str, at: int) -> list[float]:
        return [sample[at] * 1000 for sample in figures[case]]

    return [
        Row(f"executor: {case}, to {what}", ms(case, at), "a bare `Popen` of the same program", ms(CASES[0], at))
        for case in CASES[1:] for at, what in enumerate(("the first line", "its end known"))
    ]


if __name__ == "__main__":
    main(rows, __doc__)
