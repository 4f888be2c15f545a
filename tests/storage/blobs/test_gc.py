import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import textwrap

from lazward.storage.blobs import gc
from lazward.storage.blobs.extents import Extents
from lazward.storage.blobs.records import BlobKey
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database

ACCOUNT, CONTAINER = "acct1", "cont1"


def age(local, id, seconds):
    path = local.local_path(id)
    at = path.stat().st_mtime - seconds
    os.utime(path, (at, at))


class TestCollect:
    async def test_dropped_extents_stay_for_their_readers_a_while(self, store, clock, stored):
        await store.put(ACCOUNT, CONTAINER, "a", b"x")
        await store.delete(ACCOUNT, CONTAINER, "a")
        clock.forward(gc.GRACE - 1)
        assert (await store.collect()).extents == 0
        clock.forward(2)
        assert (await store.collect()).extents == 1
        assert stored() == set()

    async def test_blocks_that_were_never_committed(self, store, clock, stored):
        key = BlobKey(ACCOUNT, CONTAINER, "b")
        await store.stage(key, "AA==", await store.write(b"x"))
        clock.forward(gc.STALE - 1)
        assert (await store.collect()).blocks == 0
        clock.forward(2)
        assert (await store.collect()).blocks == 1
        clock.forward(gc.GRACE + 1)
        await store.collect()
        assert stored() == set()

    async def test_a_crash_between_deleting_and_forgetting_is_harmless(self, store, local, clock):
        info = await store.put(ACCOUNT, CONTAINER, "a", b"x")
        await store.delete(ACCOUNT, CONTAINER, "a")
        await local.delete([info.extents[0][0]])
        clock.forward(7200)
        assert (await store.collect()).extents == 1
        assert (await store.collect()).extents == 0


class TestSweep:
    async def test_takes_old_orphans_and_nothing_else(self, store, local, stored):
        orphan, young = await local.write(b"orphan"), await local.write(b"young")
        blob = await store.put(ACCOUNT, CONTAINER, "a", b"blob")
        staged = await store.write(b"staged")
        await store.stage(BlobKey(ACCOUNT, CONTAINER, "s"), "AA==", staged)
        await store.put(ACCOUNT, CONTAINER, "gone", b"dropped")
        dropped = (await store.info(ACCOUNT, CONTAINER, "gone")).extents[0][0]
        await store.delete(ACCOUNT, CONTAINER, "gone")
        for id in stored() - {young.id}:
            age(local, id, gc.SWEEP_AGE + 60)
        assert await store.sweep() == 1
        assert stored() == {young.id, blob.extents[0][0], staged.id, dropped}
        assert orphan.id not in stored()

    async def test_in_several_passes(self, store, local, stored):
        for n in range(7):
            await store.put(ACCOUNT, CONTAINER, str(n), b"x")
        for _ in range(5):
            await local.write(b"orphan")
        for id in stored():
            age(local, id, gc.SWEEP_AGE + 60)
        assert await gc.sweep(store.db, local, at_once=3) == 5
        assert len(stored()) == 7


async def test_an_upload_that_took_too_long_is_not_committed(store, monkeypatch, stored):
    monkeypatch.setattr(gc, "MAX_UPLOAD", -1.0)
    try:
        await store.put(ACCOUNT, CONTAINER, "a", b"x")
    except Exception as error:
        assert error.status == 408
    else:
        raise AssertionError("it was committed")
    assert stored() == set()


WRITER = """
import asyncio, hashlib, os, sys, time
from lazward.storage.blobs.extents import Extents
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database

async def main():
    store = BlobStore(Database(sys.argv[1]), Extents.from_url(sys.argv[2]), time.time)

    async def one(n):
        while True:
            data = os.urandom(20_000)
            await store.put("acct1", "cont1", f"b{n}", data)
            await store.append("acct1", "cont1", f"log{n}", data[:100])
            print(f"b{n}", hashlib.sha256(data).hexdigest(), data[:100].hex(), flush=True)
    await asyncio.gather(*(one(n) for n in range(4)))

asyncio.run(main())
"""


def test_killed_at_any_moment_nothing_acknowledged_is_lost(database_url, tmp_path, clock):
    from lazward.storage.tables import metadata

    folder = str(tmp_path / "e")
    db = Database(database_url)
    metadata.create_all(db.engine)
    store = BlobStore(db, Extents.from_url(folder), clock)
    asyncio.run(store.ensure_container(ACCOUNT, CONTAINER))
    for round in range(3):
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), database_url, folder], stdout=subprocess.PIPE, text=True)
        said = [child.stdout.readline().split() for _ in range(10 + 13 * round)]
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        said += [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        for name in {words[0] for words in said}:
            acknowledged = [words[1:] for words in said if words[0] == name]
            data = asyncio.run(store.read_all(ACCOUNT, CONTAINER, name))
            assert len(data) == 20_000  # whole, be it the last acknowledged or one that came after
            log = asyncio.run(store.read_all(ACCOUNT, CONTAINER, "log" + name[1:]))
            at = -1
            for _, line in acknowledged:
                at = log.index(bytes.fromhex(line), at + 1)  # each of them, in order
            if hashlib.sha256(data).hexdigest() != acknowledged[-1][0]:
                assert data[:100] not in [bytes.fromhex(line) for _, line in acknowledged]  # newer, not older
    for path in (tmp_path / "e").rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))
    asyncio.run(store.sweep())
    for info in asyncio.run(store.list(ACCOUNT, CONTAINER)).blobs:
        assert len(asyncio.run(store.read_all(ACCOUNT, CONTAINER, info.name))) == info.size
    store.extents.close()
    db.close()
