"""A backup of a server at work, restored elsewhere: what was acknowledged before it is there, what ran says so, what waited runs, what
served serves again, nothing is stuck; and the server it was taken from notices nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.server import Server, until
from tests.durability.load import OVER, PATIENCE_S, Job, Jobs, Scorer, Writer, left_over


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A data dir that is not there yet; its path is short, for the sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="lzr"))
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


def lazward(server: Server, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "lazward.cli.main", *words], env=server.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_taken_from_a_server_at_work(tmp_path: Path, elsewhere: Path):
    with Server() as server:
        arm = server.client()
        jobs = Jobs(server, tmp_path / "witness")
        scorer, writer = Scorer(server), Writer(server)
        batch = {"done": Job("done", "lines=5 metrics=1"), "running": Job("running", "lines=3 last=wait"), "waiting": Job("big", "lines=7")}
        for name, job in batch.items():
            arm.put(server.path(f"jobs/{name}"), jobs.document("kept", job))
            if name == "running":
                until(lambda: "kept-running waits" in jobs.seen() and jobs.log("running").count("\n") == 3, PATIENCE_S, what=server.logs)
        until(lambda: arm.get(server.path("jobs/done"))["properties"]["status"] == "Completed", PATIENCE_S)
        scorer.start()
        writer.start()
        until(lambda: len(writer.acknowledged) > 20, PATIENCE_S)
        before = dict(writer.acknowledged)
        lazward(server, "backup", str(tmp_path / "backup.tar"), "--data-dir", str(server.data_dir))
        count = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > count, PATIENCE_S)  # it goes on
        writer.stop()
        scorer.stop()
        assert writer.missing() == []
        for name in ("running", "waiting"):
            arm.post(server.path(f"jobs/{name}/cancel"))
            until(lambda name=name: arm.get(server.path(f"jobs/{name}"))["properties"]["status"] == "Canceled", PATIENCE_S)

    lazward(server, "restore", str(tmp_path / "backup.tar"), "--data-dir", str(elsewhere))
    with Server(elsewhere) as server:
        arm = server.client()

        def facts(path: str) -> dict:
            return arm.get(server.path(path))["properties"]

        until(lambda: all(facts(f"jobs/{name}")["status"] in OVER for name in batch), PATIENCE_S, 0.1, server.logs)
        assert facts("jobs/done")["status"] == "Completed"
        lost = facts("jobs/running")
        assert (lost["status"], lost["error"]["code"]) == ("Failed", "JobLost")
        assert "backup" in lost["error"]["message"]
        assert facts("jobs/waiting")["status"] == "Completed", facts("jobs/waiting")
        jobs.server = scorer.server = writer.server = server
        assert jobs.log("running") == "".join(f"line {i} of kept-running\n" for i in range(3))
        assert jobs.log("waiting") == "".join(f"line {i} of kept-big\n" for i in range(7))
        assert jobs.seen().count("kept-running began") == 1
        writer.acknowledged = {path: written for path, written in before.items() if "/computes/" not in path}  # those are written again and again
        assert writer.missing() == []
        until(lambda: facts("onlineEndpoints/durable/deployments/blue")["provisioningState"] == "Succeeded", PATIENCE_S, 0.1, server.logs)
        scorer.connect()
        assert scorer.score() == "0"
        until(lambda: left_over(server, 1) == [], 30, 0.1, lambda: left_over(server, 1))
        assert not (elsewhere / "restored.json").exists()
