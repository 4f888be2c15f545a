"""The commands, on the data dir of a server that runs: an import killed in the middle goes on, and says what it did."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.server import Server
from lazward.cli.main import run
from lazward.cli.moving.archive_file import Writer
from lazward.domain.tracking.moved import Experiment, Run, RunEnd, Values

VALUES, PIECE = 120_000, 1000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def long_run(path: Path) -> Path:
    """One run with many values, and small ones."""
    with Writer(path, {"totals": {"runs": 21}}) as writer:
        writer.add(Experiment("7", "long", "active", None, {}, 1.0, 2.0))
        tags = {"mlflow.runName": "n"}
        for name in range(20):
            writer.add(Run(f"small{name}", "7", "n", "FINISHED", "active", "u", None, 1.0, 2.0, None, {"p": "q"}, tags, [], {}, 0))
            writer.add(RunEnd(f"small{name}"))
        writer.add(Run("long", "7", "n", "FINISHED", "active", "u", None, 1.0, 2.0, None, {"p": "q"}, tags, [], {"m": (VALUES - 1, VALUES - 1)}, VALUES))
        for first in range(0, VALUES, PIECE):
            writer.add(Values("long", [("m", at, at, float(at % 977)) for at in range(first, first + PIECE)]))
        writer.add(RunEnd("long"))
    return path


def test_killed_in_the_middle_it_goes_on(server, tmp_path, capsys, wait_for):
    file = long_run(tmp_path / "long.tar.gz")
    words = ["import", str(file), "--data-dir", str(server.data_dir)]
    begun = subprocess.Popen([sys.executable, "-m", "lazward.cli.main", *words], env=server.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with closing(sqlite3.connect(f"file:{server.data_dir}/lazward.db?mode=ro", uri=True)) as db:
        def count() -> int:
            return db.execute("SELECT count(*) FROM metric").fetchone()[0]

        try:
            wait_for(lambda: count() > 5 * PIECE)
        finally:
            os.kill(begun.pid, signal.SIGKILL)
            begun.communicate()
        assert 0 < count() < VALUES
        client = server.client()
        base = f"/mlflow/plain{server.workspace}/api/2.0/mlflow"
        shown = client.post(f"{base}/runs/search", {"experiment_ids": ["7"], "run_view_type": "ALL", "max_results": 100})
        assert "long" not in [r["info"]["run_id"] for r in shown["runs"]]
        assert run([*words, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["imported"]["runs"] >= 1 and told["imported"]["runs"] + told["already_there"].get("runs", 0) == 21 and told["refused"] == []
        assert count() == VALUES
        low, high, step = db.execute("SELECT low, high, step FROM latest_metric WHERE key = 'm'").fetchone()
        assert (low, high, step) == (0.0, 976.0, VALUES - 1)
        assert db.execute("SELECT sum(count) FROM metric_sketch").fetchone()[0] > VALUES // 2
    assert run(words) == 0
    said = capsys.readouterr()
    assert "imported: nothing" in said.out and "21 runs" in said.out and "runs/s" in said.out
    found = client.post(f"{base}/runs/search", {"experiment_ids": ["7"], "max_results": 100})["runs"]
    assert len(found) == 21


def test_export_says_what_it_wrote(server, tmp_path, capsys):
    file = tmp_path / "out.tar"
    server.client().post(f"/mlflow/plain{server.workspace}/api/2.0/mlflow/experiments/create", {"name": "to be exported"})
    assert run(["export", str(file), "--data-dir", str(server.data_dir)]) == 0
    assert "experiments" in capsys.readouterr().out and file.stat().st_size > 0
    other = tmp_path / "other.tar"
    assert run(["export", str(other), "--experiment", "no such", "--data-dir", str(server.data_dir)]) == 1
    assert "no experiment named 'no such'" in capsys.readouterr().err and not other.exists()
    assert run(["export", str(tmp_path / "a" / "b"), "--data-dir", str(server.data_dir)]) == 2


def test_a_bad_file_is_said_and_ends_with_1(server, tmp_path, capsys):
    file = long_run(tmp_path / "long.tar")
    cut = tmp_path / "cut.tar"
    cut.write_bytes(file.read_bytes()[:200_000])
    for path, says in ((cut, "is damaged at or after the member records/"), (tmp_path / "none", "No such file")):
        assert run(["import", str(path), "--data-dir", str(server.data_dir)]) == 1
        said = capsys.readouterr().err
        assert says in said and "goes on from there" in said
