"""S19: no text takes for ever to read, or stands for more than it is; and nothing that is packed is unpacked in a server."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from lazward.domain.dockerfile import MAX_EXPANDED, expand
from lazward.domain.tracking.filter import RUNS, parse_filter

LAZWARD = Path(__file__).parent.parent.parent / "lazward"
UNPACKERS = {"zipfile", "tarfile", "gzip", "bz2", "lzma", "zlib", "shutil.unpack_archive"}


def test_s19_no_reader_of_texts_can_be_made_to_work_for_ever():
    """In a process whose processor time and memory end: the last name it printed is the reader that took them."""
    done = subprocess.run([sys.executable, "-m", "tests.security.hostile_texts"], cwd=LAZWARD.parent, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(LAZWARD.parent)})
    assert (done.returncode, done.stdout.strip()) == (0, "done"), "\n".join(done.stderr.splitlines()[-25:])


def test_s19_hostile_texts_are_still_read_right():
    assert parse_filter("   metrics.a   >   1.50e-3 " + " " * 50_000, RUNS) == parse_filter("metrics.a > 0.0015", RUNS)
    assert expand("x" * MAX_EXPANDED * 2 + "$A", {"A": "b"}).endswith("b")  # long by itself, not by what it stands for


def test_s19_code_snapshots_contexts_and_models_are_never_unpacked():
    """Only the readers of backups and of exports unpack anything, at a person's command (tests/cli/test_archive.py has bombs and slips,
    tests/cli/moving/test_archive_file.py damaged exports), and spans may come compressed, as one text of bounded size
    (tests/apps/mlflow/test_otlp.py); the rest are files one by one."""
    found = set()
    for path in LAZWARD.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {name.partition(".")[0] for name in names} & UNPACKERS or (isinstance(node, ast.Attribute) and node.attr in ("unpack_archive", "extractall")):
                found.add(path.relative_to(LAZWARD).as_posix())
    assert found == {"cli/archive.py", "cli/moving/archive_file.py", "cli/tar_file.py", "apps/mlflow/otlp.py"}
