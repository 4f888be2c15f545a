"""Blob storage through the real client against plain files: `python bench/blobs.py [--size MIB] [--dir FOLDER]`.

Prints: 1 GiB up and down with azure-storage-blob (max_concurrency 4) beside a plain copy of the file, the server's memory meanwhile,
small blobs per second, and a listing of 100,000 blobs. The server is a process of its own, with TLS, as in production.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lazward.identity import sas  # noqa: E402
from tests.live import ACCOUNT, MASTER_KEY  # noqa: E402

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
    """Peak resident memory of a process, and the CPU time it used."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        import psutil

        self.process = psutil.Process(pid)
        self.base = self.peak = self.process.memory_info().rss
        self.cpu = sum(self.process.cpu_times()[:2])
        self.done = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.done.wait(0.02):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def stop(self) -> str:
        self.done.set()
        self.join()
        cpu = sum(self.process.cpu_times()[:2]) - self.cpu
        return f"server: {cpu:5.2f} s CPU, {self.base >> 20} MiB before, {self.peak >> 20} MiB at most"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--size", type=int, default=1024, help="MiB of the large blob")
    options.add_argument("--count", type=int, default=100_000, help="blobs of the listing")
    options.add_argument("--dir", default=None)
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lzbench", dir=given.dir))
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        port, ca = server.stdout.readline().split()
        run(folder, int(port), ca, server.pid, given)
    finally:
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder)


def run(folder: Path, port: int, ca: str, pid: int, given: argparse.Namespace) -> None:
    from azure.storage.blob import BlobServiceClient

    key = sas.account_key(MASTER_KEY, ACCOUNT)
    service = BlobServiceClient(f"https://localhost:{port}/{ACCOUNT}.blob.core.windows.net", credential=key, connection_verify=ca)
    container = service.create_container("bench")
    source = folder / "source"
    with source.open("wb") as out:
        for _ in range(given.size // 16):
            out.write(os.urandom(16 << 20))

    def rate(seconds: float) -> str:
        return f"{seconds:6.2f} s  {given.size / seconds:7.0f} MiB/s"

    began = time.perf_counter()
    with source.open("rb") as data, (folder / "copy").open("wb") as out:
        shutil.copyfileobj(data, out, 4 << 20)
    print(f"plain copy      {rate(time.perf_counter() - began)}")
    (folder / "copy").unlink()
    blob = container.get_blob_client("big")
    for concurrency in (4, 1):
        memory, began = Memory(pid), time.perf_counter()
        with source.open("rb") as data:
            blob.upload_blob(data, overwrite=True, max_concurrency=concurrency)
        print(f"upload   x{concurrency}     {rate(time.perf_counter() - began)}  {memory.stop()}")
        memory, began = Memory(pid), time.perf_counter()
        with (folder / "down").open("wb") as out:
            blob.download_blob(max_concurrency=concurrency).readinto(out)
        print(f"download x{concurrency}     {rate(time.perf_counter() - began)}  {memory.stop()}")
    (folder / "down").unlink()
    one_get(folder, blob, key, ca, given, rate, pid)
    small(container, pid)
    listing(folder, service, given.count)


def one_get(folder: Path, blob, key: str, ca: str, given: argparse.Namespace, rate, pid: int) -> None:
    """The server's part alone: one GET and one PUT by curl, which costs little itself."""
    query = sas.sign_blob_sas(key, ACCOUNT, "bench", "big", permissions="rw", expires=time.time() + 900)
    if not shutil.which("curl"):
        return
    url = f"{blob.url}?{query}"
    memory, began = Memory(pid), time.perf_counter()
    subprocess.run(["curl", "-s", "--cacert", ca, "-o", "/dev/null", url], check=True)
    print(f"curl GET        {rate(time.perf_counter() - began)}  {memory.stop()}")
    memory, began = Memory(pid), time.perf_counter()
    subprocess.run(["curl", "-s", "-f", "--cacert", ca, "-T", str(folder / "source"), "-H", "x-ms-blob-type: BlockBlob", "-H", "Expect:", url], check=True)
    print(f"curl PUT        {rate(time.perf_counter() - began)}  {memory.stop()}")


def small(container, pid: int) -> None:
    data = os.urandom(10_000)
    for workers in (1, 8):
        with ThreadPoolExecutor(workers) as pool:
            names = [uuid.uuid4().hex for _ in range(600)]
            memory, began = Memory(pid), time.perf_counter()
            list(pool.map(lambda name: container.upload_blob(name, data), names))
            put = len(names) / (time.perf_counter() - began)
            began = time.perf_counter()
            list(pool.map(lambda name: container.download_blob(name).readall(), names))
            print(f"10 kB, {workers} at once: {put:5.0f} PUT/s, {len(names) / (time.perf_counter() - began):5.0f} GET/s {memory.stop()}")


def listing(folder: Path, service, count: int) -> None:
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
    print(f"list {total} blobs in pages of 5000: {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    folders = sum(1 for _ in listed.walk_blobs())
    print(f"list its {folders} folders: {time.perf_counter() - began:.3f} s")


if __name__ == "__main__":
    main()
