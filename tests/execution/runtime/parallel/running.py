"""The real runner, with real processes, in a folder of the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lazward.orchestration.job_parallel import RUNNER

PATIENCE_S = 60


class Run:
    """A job that is over: code, out (the main log), rows, and the folder with its logs."""

    def __init__(self, folder: Path, script: str | None, arguments: tuple[str, ...] = (), python: str = sys.executable, env: dict[str, str] | None = None, **plan: Any):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        if script is not None:
            (folder / "score.py").write_text(script)
        document = {
            "entry_script": "score.py", "input": str(folder / "in"), "input_kind": "folder", "timeout_s": 30, "max_retries": 1, "workers_per_instance": 2,
            "append_row_to": str(folder / "rows.txt"), **plan,
        }
        (folder / "plan.json").write_text(json.dumps(document))
        variables = {"PATH": os.environ["PATH"], "LAZWARD_PARALLEL_PLAN": str(folder / "plan.json"), "TMPDIR": str(folder), **(env or {})}
        done = subprocess.run([python, "-u", str(RUNNER), *arguments], cwd=folder, env=variables, capture_output=True, text=True, timeout=PATIENCE_S)
        self.code, self.out = done.returncode, done.stdout + done.stderr

    @property
    def rows(self) -> list[str]:
        return (self.folder / "rows.txt").read_text().splitlines()

    def log(self, pattern: str) -> str:
        """All logs whose path below logs/ matches."""
        return "".join(path.read_text() for path in sorted((self.folder / "logs").glob(pattern)))


def write_files(folder: Path, count: int) -> list[str]:
    """Files in folder/in, each with its number; their names in order."""
    (folder / "in").mkdir(parents=True)
    for i in range(count):
        (folder / "in" / f"{i:03d}").write_text(str(i))
    return [f"{i:03d}" for i in range(count)]
