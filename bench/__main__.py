"""All benchmarks, one after the other, as one Markdown table: `python -m bench [--quick] [name ...]`. Each runs in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from bench.measure import HEADER, machine

ALL = ("start", "submit", "environment", "deployment", "arm", "client", "executor", "blobs", "orchestration", "tracking")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="as few samples as will do to see that each works")
    options.add_argument("names", nargs="*", default=ALL, metavar="name", help=f"which ones: {', '.join(ALL)} (default: all)")
    given = options.parse_args()
    if unknown := set(given.names) - set(ALL):
        options.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    print(f"{machine()}\n\n{HEADER}", flush=True)
    failed = 0
    for name in given.names:
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", f"bench.{name}", "--rows", *(["--quick"] if given.quick else [])], cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True)
        print(done.stdout, end="", flush=True)
        print(f"{name}: {time.monotonic() - began:.0f} s" + (f", failed with exit code {done.returncode}" if done.returncode else ""), file=sys.stderr, flush=True)
        failed += done.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
