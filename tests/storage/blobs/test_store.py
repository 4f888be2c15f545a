import asyncio
import errno
import os
import tracemalloc

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.blobs.layout import FOLD_LIMIT
from lazward.storage.blobs.appending import AppendRules
from lazward.storage.blobs.store import BlobStore

ACCOUNT, CONTAINER = "acct1", "cont1"


def code(caught):
    return caught.value.status, caught.value.code


class TestPut:
    async def test_round_trip(self, any_store, clock):
        info = await any_store.put(ACCOUNT, CONTAINER, "a/b.txt", b"hello", headers={"contentType": "text/plain"}, meta={"x": "1"})
        assert (info.kind, info.size, info.headers, info.meta, info.created) == ("BlockBlob", 5, {"contentType": "text/plain"}, {"x": "1"}, clock())
        assert await any_store.info(ACCOUNT, CONTAINER, "a/b.txt") == info
        assert await any_store.read_all(ACCOUNT, CONTAINER, "a/b.txt") == b"hello"
        assert b"".join([p async for p in any_store.read(ACCOUNT, CONTAINER, "a/b.txt", 1, 3)]) == b"el"

    async def test_a_stream(self, any_store):
        async def data():
            for n in range(50):
                yield bytes([n]) * 100_000

        info = await any_store.put(ACCOUNT, CONTAINER, "big", data())
        assert info.size == 5_000_000
        assert b"".join([p async for p in any_store.read(ACCOUNT, CONTAINER, "big", 99_999, 100_001)]) == b"\x00\x01"

    async def test_an_overwrite_keeps_the_creation_and_drops_the_bytes(self, store, clock, stored):
        first = await store.put(ACCOUNT, CONTAINER, "a", b"1")
        clock.forward(5)
        second = await store.put(ACCOUNT, CONTAINER, "a", b"22")
        assert (second.created, second.modified) == (first.created, first.created + 5)
        assert first.etag != second.etag
        assert await store.read_all(ACCOUNT, CONTAINER, "a") == b"22"
        clock.forward(7200)
        assert (await store.collect()).extents == 1
        assert stored() == {second.extents[0][0]}

    async def test_a_reader_sees_one_version(self, store):
        await store.put(ACCOUNT, CONTAINER, "a", b"1" * 3_000_000)
        reading = store.read(ACCOUNT, CONTAINER, "a")
        got = await anext(reading)
        await store.put(ACCOUNT, CONTAINER, "a", b"2")
        await store.collect()
        got += b"".join([piece async for piece in reading])
        assert got == b"1" * 3_000_000

    async def test_if_absent(self, store, stored):
        await store.put(ACCOUNT, CONTAINER, "a", b"1", if_none_match_any=True)
        with pytest.raises(ArmError) as caught:
            await store.put(ACCOUNT, CONTAINER, "a", b"2", if_none_match_any=True)
        assert code(caught) == (409, "BlobAlreadyExists")
        assert await store.read_all(ACCOUNT, CONTAINER, "a") == b"1"
        assert len(stored()) == 1  # what was written for nothing is gone

    async def test_of_many_at_once_one_creates(self, store):
        outcomes = await asyncio.gather(*(store.put(ACCOUNT, CONTAINER, "a", b"x", if_none_match_any=True) for _ in range(16)), return_exceptions=True)
        assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
        assert {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)} == {ArmError}

    async def test_no_container(self, store, stored):
        for doing in (store.put(ACCOUNT, "other", "a", b"1"), store.append(ACCOUNT, "other", "a", b"1"), store.read_all(ACCOUNT, "other", "a"), store.list(ACCOUNT, "other")):
            with pytest.raises(ArmError) as caught:
                await doing
            assert code(caught) == (404, "ContainerNotFound")
        assert stored() == set()
        assert await store.info(ACCOUNT, "other", "a") is None
        assert await store.delete_prefix(ACCOUNT, "other", "") == 0

    @pytest.mark.parametrize(("name", "kwargs"), [("a", {"headers": {"contentType": "a\r\nb"}}), ("a", {"meta": {"a": "\n"}}), ("../x", {}), ("", {})])
    async def test_bad_input_changes_nothing(self, store, stored, name, kwargs):
        with pytest.raises(ArmError) as caught:
            await store.put(ACCOUNT, CONTAINER, name, b"1", **kwargs)
        assert caught.value.status == 400
        assert stored() == set()
        assert (await store.list(ACCOUNT, CONTAINER)).blobs == []

    async def test_missing(self, store):
        with pytest.raises(ArmError) as caught:
            await store.read_all(ACCOUNT, CONTAINER, "a")
        assert code(caught) == (404, "BlobNotFound")
        assert await store.info(ACCOUNT, CONTAINER, "a") is None
        assert not await store.delete(ACCOUNT, CONTAINER, "a")


class TestMemory:
    """Constant, whatever the size."""

    async def test_of_uploads_and_downloads(self, store):
        piece = b"x" * 65_536

        async def data():
            for _ in range(1024):
                yield bytes(piece)

        tracemalloc.start()
        try:
            await store.put(ACCOUNT, CONTAINER, "big", data())
            up = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            size = 0
            async for got in store.read(ACCOUNT, CONTAINER, "big"):
                size += len(got)
            down = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert size == 64 << 20
        assert max(up, down) < 8 << 20


async def test_a_full_disk_is_said(store, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "write", full)
    for doing in (store.put(ACCOUNT, CONTAINER, "a", b"1"), store.append(ACCOUNT, CONTAINER, "a", b"1")):
        with pytest.raises(ArmError) as caught:
            await doing
        assert code(caught) == (507, "InsufficientStorage")


class TestPutFile:
    async def test_the_file_may_change_afterwards(self, any_store, tmp_path):
        path = tmp_path / "f"
        path.write_bytes(b"before")
        await any_store.put_file(ACCOUNT, CONTAINER, "f", path)
        with path.open("r+b") as out:
            out.write(b"AFTER!")
        assert await any_store.read_all(ACCOUNT, CONTAINER, "f") == b"before"

    async def test_moved(self, store, tmp_path):
        path = tmp_path / "f"
        path.write_bytes(b"x")
        await store.put_file(ACCOUNT, CONTAINER, "f", path, move=True)
        assert not path.exists()
        assert await store.read_all(ACCOUNT, CONTAINER, "f") == b"x"

    async def test_empty(self, store, tmp_path):
        (tmp_path / "f").touch()
        assert (await store.put_file(ACCOUNT, CONTAINER, "f", tmp_path / "f")).size == 0
        assert await store.read_all(ACCOUNT, CONTAINER, "f") == b""


class TestAppend:
    async def test_creates_and_keeps_the_order(self, any_store):
        await asyncio.gather(*(any_store.append(ACCOUNT, CONTAINER, "log", f"{n}\n".encode()) for n in range(60)))
        info = await any_store.info(ACCOUNT, CONTAINER, "log")
        assert info.kind == "AppendBlob"
        assert (await any_store.read_all(ACCOUNT, CONTAINER, "log")).split() == [str(n).encode() for n in range(60)]
        assert len(info.extents) <= 8  # folded
        assert info.blocks == 60

    async def test_two_processes_lose_nothing(self, db, local, clock):
        stores = [BlobStore(db, local, clock), BlobStore(db, local, clock)]
        await stores[0].ensure_container(ACCOUNT, CONTAINER)
        await asyncio.gather(*(stores[n % 2].append(ACCOUNT, CONTAINER, "log", f"{n}\n".encode()) for n in range(40)))
        lines = (await stores[0].read_all(ACCOUNT, CONTAINER, "log")).split()
        assert sorted(map(int, lines)) == list(range(40))
        for half in (0, 1):  # each keeps its own order
            own = [int(line) for line in lines if int(line) % 2 == half]
            assert own == sorted(own)

    async def test_large_ones_are_not_rewritten(self, store):
        big = os.urandom(FOLD_LIMIT + 1)
        await store.append(ACCOUNT, CONTAINER, "log", b"head")
        info = await store.append(ACCOUNT, CONTAINER, "log", big)
        await store.append(ACCOUNT, CONTAINER, "log", b"tail")
        assert [size for _, size in info.extents] == [4, len(big)]
        assert await store.read_all(ACCOUNT, CONTAINER, "log") == b"head" + big + b"tail"

    async def test_old_bytes_stay_readable_while_they_are_folded(self, store):
        for _ in range(5):
            await store.append(ACCOUNT, CONTAINER, "log", b"x" * 10)
        reading = store.read(ACCOUNT, CONTAINER, "log")
        got = await anext(reading)
        for _ in range(5):
            await store.append(ACCOUNT, CONTAINER, "log", b"y" * 100)
        await store.collect()
        assert got + b"".join([p async for p in reading]) == b"x" * 50

    async def test_a_slow_one_keeps_nobody_waiting(self, store):
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow():
            yield b"slow"
            arrived.set()
            await go_on.wait()

        waiting = asyncio.create_task(store.append(ACCOUNT, CONTAINER, "log", slow()))
        await arrived.wait()
        await store.append(ACCOUNT, CONTAINER, "log", b"quick,")
        go_on.set()
        await waiting
        assert await store.read_all(ACCOUNT, CONTAINER, "log") == b"quick,slow"

    async def test_rules(self, store, stored):
        with pytest.raises(ArmError) as caught:
            await store.append(ACCOUNT, CONTAINER, "log", b"x", rules=AppendRules(create=False))
        assert code(caught) == (404, "BlobNotFound")
        await store.append(ACCOUNT, CONTAINER, "log", b"12345", rules=AppendRules(position=0))
        for rules, wanted in ((AppendRules(position=4), "AppendPositionConditionNotMet"), (AppendRules(size_limit=9), "MaxBlobSizeConditionNotMet")):
            for data in (b"67890", b"x" * (FOLD_LIMIT + 1)):
                with pytest.raises(ArmError) as caught:
                    await store.append(ACCOUNT, CONTAINER, "log", data, rules=rules)
                assert code(caught) == (412, wanted)
        assert await store.read_all(ACCOUNT, CONTAINER, "log") == b"12345"
        assert len(stored()) == 1

    async def test_a_block_blob_cannot_be_appended_to(self, store):
        await store.put(ACCOUNT, CONTAINER, "a", b"1")
        with pytest.raises(ArmError) as caught:
            await store.append(ACCOUNT, CONTAINER, "a", b"2")
        assert code(caught) == (409, "InvalidBlobType")

    async def test_nothing_appended_makes_an_empty_blob(self, store):
        assert (await store.append(ACCOUNT, CONTAINER, "log", b"")).extents == []
        assert (await store.append(ACCOUNT, CONTAINER, "log", b"x")).size == 1
        assert (await store.append(ACCOUNT, CONTAINER, "log", b"")).size == 1


class TestDelete:
    async def test_prefix(self, store, clock, stored):
        for name in ("a/1", "a/2", "ab", "b"):
            await store.put(ACCOUNT, CONTAINER, name, name.encode())
        assert await store.delete_prefix(ACCOUNT, CONTAINER, "a/") == 2
        assert [blob.name for blob in (await store.list(ACCOUNT, CONTAINER)).blobs] == ["ab", "b"]
        assert len(stored()) == 4
        clock.forward(7200)
        await store.collect()
        assert len(stored()) == 2

    async def test_account(self, store, clock, stored):
        await store.ensure_container(ACCOUNT, "cont2")
        await store.ensure_container("acct2", CONTAINER)
        for account, container in ((ACCOUNT, CONTAINER), (ACCOUNT, "cont2"), ("acct2", CONTAINER)):
            await store.put(account, container, "a", b"x")
        await store.delete_account(ACCOUNT)
        with pytest.raises(ArmError):
            await store.list(ACCOUNT, CONTAINER)
        clock.forward(7200)
        assert (await store.collect()).blobs == 2
        clock.forward(7200)
        await store.collect()
        assert len(stored()) == 1
        assert await store.read_all("acct2", CONTAINER, "a") == b"x"
