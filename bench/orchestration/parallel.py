"""What a parallel job adds to a plain process pool, over 10 000 small files.

Both list the same folder, read every file, do a little with it, and write one line per file into one file, with as many processes and
as many files at a time. In turn; everything is counted, the start of the interpreter included. The runner adds
retries, time-outs, progress, and logs per process. Workers of the runner are sessions of their own, and Linux may share a busy machine
out by session: there, compare the seconds of CPU.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Row, alternate
from lazward.orchestration.job_parallel import RUNNER

FILES, AT_A_TIME = 10_000, 20
ROUNDS = {0: "about 0.05 ms", 1: "about 0.2 ms", 10: "about 1.2 ms"}  # of hashing, and what a file takes

# What both do.
WORK = """
import hashlib, os, sys
def one(path, rounds):
    with open(path, "rb") as source:
        data = source.read()
    for _ in range(rounds):
        data = hashlib.pbkdf2_hmac("sha256", data, b"salt", 200)
    return os.path.basename(path) + " " + hashlib.sha256(data).hexdigest()
"""
SCRIPT = WORK + """
ROUNDS = int(sys.argv[1])
def run(mini_batch):
    return [one(path, ROUNDS) for path in mini_batch]
"""
POOL = WORK + """
import functools, multiprocessing
if __name__ == "__main__":
    folder, out, processes, size, rounds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    paths = sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    with multiprocessing.Pool(processes) as pool, open(out, "w") as rows:
        for row in pool.imap(functools.partial(one, rounds=rounds), paths, chunksize=size):
            rows.write(row + "\\n")
"""


def rows(quick: bool) -> list[Row]:
    processes = os.cpu_count() or 1
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in").mkdir()
        for i in range(FILES):
            (root / "in" / f"{i:05d}.txt").write_text(f"file {i}\n" * 20)
        (root / "score.py").write_text(SCRIPT)
        (root / "pool.py").write_text(POOL)
        plan = {"entry_script": "score.py", "input": str(root / "in"), "input_kind": "folder", "mini_batch_size": AT_A_TIME, "workers_per_instance": processes, "append_row_to": str(root / "rows.txt")}
        (root / "plan.json").write_text(json.dumps(plan))
        for rounds, work in ROUNDS.items():
            pool = [sys.executable, str(root / "pool.py"), str(root / "in"), str(root / "pool.txt"), str(processes), str(AT_A_TIME), str(rounds)]
            runner = [sys.executable, "-u", str(RUNNER), str(rounds)]
            times = alternate({"runner": functools.partial(timed, runner, root), "pool": functools.partial(timed, pool, root)}, 1 if quick else 5)
            assert (root / "rows.txt").read_text() == (root / "pool.txt").read_text()
            for at, what in ((0, ""), (1, ", CPU of all processes")):
                found.append(Row(
                    f"parallel job, {FILES:,} files of {work}{what}", [t[at] for t in times["runner"]], f"`multiprocessing.Pool({processes})`", [t[at] for t in times["pool"]], "s", "" if what else "at most 1.2x",
                ))
    return found


def timed(command: list[str], root: Path) -> tuple[float, float]:
    """Seconds on the clock, and of CPU in all processes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=root, check=True, capture_output=True, env={"PATH": os.environ["PATH"], "LAZWARD_PARALLEL_PLAN": str(root / "plan.json")})
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

