"""Blob storage through the real client against plain files: `python -m bench.blobs`.

1 GiB up and down with azure-storage-blob (max_concurrency 4) and with curl, in turn with a plain copy of the file; the server's memory
meanwhile; small blobs per second; a listing of 100,000 blobs. The server is a process of its own, with TLS, as in production.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measure import Row, alternate, main
from lazward.identity import sas
from tests.live import ACCOUNT, MASTER_KEY

ROOT = Path(__file__).resolve().parent.parent
SERVER = """
import sys, uvloop
from pathlib import Path
uvloop.install()
from lazward.apps.blob.routes import blob_routes
from tests.live import serve

with serve(blob_routes, Path(sys.argv[1])) as live:
    print(live.port, live.ca, flush=True)
    sys.stdin.read()
"""


class Memory(threading.Thread):
    """The most resident memory of a process (MiB), from the start to stop()."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        import psutil

        self.process = psutil.Process(pid)
        self.base = self.peak = self.process.memory_info().rss
        self.done = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.done.wait(0.02):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def stop(self) -> tuple[float, float]:
        self.done.set()
        self.join()
        return self.base / 2**20, self.peak / 2**20


def rows(quick: bool) -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="lz"))
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert server.stdin and server.stdout
    try:
        port, ca = server.stdout.readline().split()
        return run(folder, int(port), ca, server.pid, quick)
    finally:
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder)


def run(folder: Path, port: int, ca: str, pid: int, quick: bool) -> list[Row]:
    from azure.storage.blob import BlobServiceClient

    key = sas.account_key(MASTER_KEY, ACCOUNT)
    service = BlobServiceClient(f"https://localhost:{port}/{ACCOUNT}.blob.core.windows.net", credential=key, connection_verify=ca)
    container = service.create_container("bench")
    memory = Memory(pid)
    found = large(folder, container.get_blob_client("big"), key, ca, 64 if quick else 1024, 1 if quick else 2)
    before, peak = memory.stop()
    found.append(Row("server memory during the transfers, at most", [peak], "before them", [before], "MiB"))
    return found + small(folder, container, 60 if quick else 600) + listing(folder, service, 5_000 if quick else 100_000)


def large(folder: Path, blob, key: str, ca: str, size: int, rounds: int) -> list[Row]:
    """size: MiB. Every figure is MiB per second."""
    source, target = folder / "source", folder / "target"
    with source.open("wb") as out:
        for _ in range(size // 16):
            out.write(os.urandom(16 << 20))
    query = sas.sign_blob_sas(key, ACCOUNT, "bench", "big", permissions="rw", expires=time.time() + 3600)
    curl = ["curl", "-s", "-f", "--cacert", ca, f"{blob.url}?{query}"]

    def copy() -> None:
        with source.open("rb") as data, target.open("wb") as out:
            shutil.copyfileobj(data, out, 4 << 20)

    def upload() -> None:
        with source.open("rb") as data:
            blob.upload_blob(data, overwrite=True, max_concurrency=4)

    def download() -> None:
        with target.open("wb") as out:
            blob.download_blob(max_concurrency=4).readinto(out)

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        def case() -> float:
            began = time.perf_counter()
            work()
            return size / (time.perf_counter() - began)

        return case

    cases: dict[str, Callable[[], float]] = {"copy": timed(copy)}
    cases |= {"upload by azure-storage-blob": timed(upload), "download by azure-storage-blob": timed(download)}
    if shutil.which("curl"):  # the server's part alone: curl costs little itself
        cases["GET by curl"] = timed(lambda: subprocess.run([*curl, "-o", os.devnull], check=True))
        cases["PUT by curl"] = timed(lambda: subprocess.run([*curl, "-T", str(source), "-H", "x-ms-blob-type: BlockBlob", "-H", "Expect:"], check=True))
    found = alternate(cases, rounds)
    source.unlink()
    target.unlink()
    return [Row(f"{size} MiB: {name}", found[name], "a plain copy of the file", found["copy"], "MiB/s") for name in cases if name != "copy"]


def small(folder: Path, container, count: int) -> list[Row]:
    """Blobs of 10 kB by the real client, against files written and read."""
    data, files = os.urandom(10_000), folder / "small"
    files.mkdir()

    def rate(workers: int, work: Callable[[str], object], names: list[str]) -> float:
        with ThreadPoolExecutor(workers) as pool:
            began = time.perf_counter()
            list(pool.map(work, names))
            return len(names) / (time.perf_counter() - began)

    out = []
    for workers in (1, 8):
        names = [uuid.uuid4().hex for _ in range(count)]
        written = rate(workers, lambda name: (files / name).write_bytes(data), names)
        put = rate(workers, lambda name: container.upload_blob(name, data), names)
        read = rate(workers, lambda name: (files / name).read_bytes(), names)
        got = rate(workers, lambda name: container.download_blob(name).readall(), names)
        out += [
            Row(f"blobs of 10 kB by azure-storage-blob, {workers} at once: PUT", [put], "files written", [written], "/s"),
            Row(f"blobs of 10 kB by azure-storage-blob, {workers} at once: GET", [got], "files read", [read], "/s"),
        ]
    return out


def listing(folder: Path, service, count: int) -> list[Row]:
    import sqlalchemy as sa

    from lazward.storage.db import Database
    from lazward.storage.tables import blob
    from lazward.storage.tables import container as containers

    db = Database(f"sqlite:///{folder}/live.db")

    def fill(tx) -> None:
        tx.execute(sa.insert(containers).values(account=ACCOUNT, name="many", etag="e", meta={}, modified=time.time()))
        for at in range(0, count, 5000):
            tx.execute(sa.insert(blob), [{
                "account": ACCOUNT, "container": "many", "name": f"folder{n % 100:03}/file{n:08}.bin", "kind": "BlockBlob", "size": 1, "etag": f"0x{n:X}", "extents": [[uuid.uuid4().hex, 1]],
                "blocks": None, "headers": {"contentType": "a/b"}, "meta": {}, "tags": None, "access": None, "lease": None, "created": time.time(), "modified": time.time(),
            } for n in range(at, min(count, at + 5000))])

    db.write_now(fill)
    db.close()
    listed = service.get_container_client("many")
    began = time.perf_counter()
    total = sum(1 for _ in listed.list_blobs())
    all_s = time.perf_counter() - began
    began = time.perf_counter()
    folders = sum(1 for _ in listed.walk_blobs())
    folders_s = time.perf_counter() - began
    assert (total, folders) == (count, 100)
    return [Row(f"list {total} blobs in pages of 5000", [all_s], unit="s"), Row(f"list the {folders} folders they are in", [folders_s * 1000])]


if __name__ == "__main__":
    main(rows, __doc__)
