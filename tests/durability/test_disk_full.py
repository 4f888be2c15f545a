"""The disk of the data dir is full for a while: whoever writes is told so (507), who reads is answered, a job that ends meanwhile is not
lost, and all goes on when there is room again. On a small file system of its own, where one may be mounted."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.server import Answer, Server, until
from lazward.execution import processes
from tests.durability.load import PATIENCE_S, Job, Jobs, Writer, left_over

SIZE = 96 << 20


@pytest.fixture
def disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lzd"))
    mounted = sys.platform == "linux" and subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True).returncode == 0
    try:
        if not mounted:
            pytest.skip("no file system of a given size can be mounted here (it takes root on Linux)")
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def fill(path: Path) -> None:
    """Writes until there is no byte left."""
    piece = 1 << 20
    with path.open("ab", buffering=0) as file:
        while piece:
            try:
                file.write(b"x" * piece)
            except OSError:
                piece //= 2


def test_is_said_and_survived(disk: Path, tmp_path: Path):
    filler = disk / "filler"
    with Server(disk / "data") as server:
        arm, blobs = server.client(), server.client("https://storage.azure.com")
        jobs, writer = Jobs(server, tmp_path / "witness"), Writer(server)
        go = tmp_path / "go"
        document = jobs.document("full", Job("job", "lines=5 metrics=1"))
        document["properties"]["command"] += f" && touch {tmp_path}/quiet && while [ ! -e {go} ]; do sleep 0.05; done; exit 3"
        arm.put(server.path("jobs/quiet"), document)
        until((tmp_path / "quiet").exists, PATIENCE_S, what=server.logs)
        writer.start()
        until(lambda: len(writer.acknowledged) > 10, PATIENCE_S)
        account = next(d for d in arm.get(server.path("datastores"))["value"] if d["name"] == "workspaceblobstore")["properties"]
        place = f"/{account['accountName'].rsplit('/', 1)[-1]}.blob.core.windows.net/{account['containerName']}"

        def put_asset() -> Answer:
            return arm.json_call("PUT", server.path("data/full/versions/1"), {"properties": {"dataType": "uri_file", "dataUri": "https://example.org/x", "description": "d" * 20000}})

        def put_blob() -> Answer:
            return blobs.call("PUT", f"{place}/large", os.urandom(8 << 20), {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"})

        fill(filler)
        before = server.pids()
        answer = until(lambda: (said := put_asset()).status == 507 and said, PATIENCE_S, what=server.logs)
        error = answer.json()["error"]
        assert error["code"] == "InsufficientStorage" and "disk" in error["message"] and "full" in error["message"]
        fill(filler)
        answer = put_blob()
        assert answer.status == 507 and answer.headers["x-ms-error-code"] == "InsufficientStorage", answer
        assert arm.json_call("GET", server.path("jobs/quiet")).status == 200
        fill(filler)
        go.touch()  # the job ends, and neither its keeper nor the worker can write that down
        [launch] = (server.data_dir / "run" / "launches").glob("*.*")
        keeper = json.loads((launch / "keeper.json").read_text())["pid"]
        until(lambda: processes.descendants(keeper) == [], PATIENCE_S, what=server.logs)
        filler.unlink()

        assert until(lambda: (said := put_asset()).status in (200, 201) and said, PATIENCE_S, what=server.logs)
        assert put_blob().status == 201
        ended = until(lambda: (facts := arm.patiently("GET", server.path("jobs/quiet")).json()["properties"])["status"] == "Failed" and facts, PATIENCE_S, what=server.logs)
        assert (ended["error"]["code"], ended["exit"]["code"]) == ("UserError", 3)
        assert jobs.log("quiet") == "".join(f"line {i} of full-job\n" for i in range(5))
        writer.stop()
        assert writer.missing() == []
        assert server.pids() == before
        until(lambda: left_over(server, 0) == [], 30, 0.1, lambda: left_over(server, 0))
        with contextlib.closing(sqlite3.connect(server.data_dir / "lazward.db")) as db:
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)
