"""What a parallel job adds to a plain process pool: `python -m bench.parallel [repeats]`, over 10 000 small files on this machine.

Both list the same folder, read every file, do a little with it, and write one line per file into one file, with as many processes and
as many files at a time. In turn, the best of each; everything is counted, the start of the interpreter included. The runner adds
retries, time-outs, progress, and logs per process. Workers of the runner are sessions of their own, and Linux may share a busy machine
out by session: there, compare the seconds of CPU.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lazward.orchestration.job_parallel import RUNNER

FILES, AT_A_TIME, ROUNDS = 10_000, 20, (0, 1, 10)

# What both do: `rounds` of hashing, so that a file takes about 0.05, 0.2 or 1.5 ms.
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


def main(repeats: int) -> None:
    processes = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in").mkdir()
        for i in range(FILES):
            (root / "in" / f"{i:05d}.txt").write_text(f"file {i}\n" * 20)
        (root / "score.py").write_text(SCRIPT)
        (root / "pool.py").write_text(POOL)
        plan = {"entry_script": "score.py", "input": str(root / "in"), "input_kind": "folder", "mini_batch_size": AT_A_TIME, "workers_per_instance": processes, "append_row_to": str(root / "rows.txt")}
        (root / "plan.json").write_text(json.dumps(plan))
        for rounds in ROUNDS:
            none = (float("inf"), float("inf"))
            pool, runner = none, none
            for _ in range(repeats):
                command = [sys.executable, str(root / "pool.py"), str(root / "in"), str(root / "pool.txt"), str(processes), str(AT_A_TIME), str(rounds)]
                pool = better(pool, timed(command, root))
                runner = better(runner, timed([sys.executable, "-u", str(RUNNER), str(rounds)], root))
            assert (root / "rows.txt").read_text() == (root / "pool.txt").read_text()
            print(
                f"{rounds:2d} rounds, {processes} processes: wall pool {pool[0]:6.2f} s, runner {runner[0]:6.2f} s, {runner[0] / pool[0]:.2f}x;"
                f"   CPU pool {pool[1]:6.2f} s, runner {runner[1]:6.2f} s, {runner[1] / pool[1]:.2f}x"
            )


def better(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), min(one[1], other[1])


def timed(command: list[str], root: Path) -> tuple[float, float]:
    """Seconds on the clock, and of CPU in all processes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=root, check=True, capture_output=True, env={"PATH": os.environ["PATH"], "LAZWARD_PARALLEL_PLAN": str(root / "plan.json")})
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
