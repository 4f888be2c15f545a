import pytest

from lazward.contract.errors import ArmError
from lazward.domain.blobs.conditions import Conditions
from lazward.storage.blobs import blocks
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobKey

KEY = BlobKey("acct1", "cont1", "big")


async def stage(store, name, data, key=KEY):
    await store.stage(key, name, await store.write(data))


async def commit(store, *wanted, key=KEY, **kwargs):
    return await store.db.write(blocks.commit, key, [pair if isinstance(pair, tuple) else ("Latest", pair) for pair in wanted], Draft(), store.now(), **kwargs)


async def names(store, key=KEY):
    _, committed, staged = await store.db.read(blocks.listed, key, "", store.now())
    return [id for id, _ in committed], [id for id, _ in staged]


class TestCommit:
    async def test_nothing_is_visible_before_it(self, store):
        await stage(store, "AA==", b"1")
        assert await store.info(*KEY) is None
        assert await names(store) == ([], ["AA=="])
        info = await commit(store, "AA==")
        assert (info.size, info.blocks) == (1, ["AA=="])
        assert await names(store) == (["AA=="], [])

    async def test_order_repeats_and_reuse(self, store, clock, stored):
        for name, data in (("AA==", b"1"), ("AQ==", b"2"), ("Ag==", b"3")):
            await stage(store, name, data)
        await commit(store, "Ag==", "AA==", "AA==")
        assert await store.read_all(*KEY) == b"311"
        await stage(store, "AQ==", b"5")
        await commit(store, ("Committed", "AA=="), ("Uncommitted", "AQ=="), ("Latest", "Ag=="), ("Committed", "AA=="))
        assert await store.read_all(*KEY) == b"1531"
        await commit(store, "AA==")
        clock.forward(7200)
        await store.collect()
        assert await store.read_all(*KEY) == b"1"
        assert len(stored()) == 1

    async def test_the_latest_is_the_staged_one(self, store):
        await stage(store, "AA==", b"old")
        await commit(store, "AA==")
        await stage(store, "AA==", b"new")
        await commit(store, ("Committed", "AA=="))
        assert await store.read_all(*KEY) == b"old"
        await stage(store, "AA==", b"new")
        await commit(store, "AA==")
        assert await store.read_all(*KEY) == b"new"

    async def test_a_missing_block_changes_nothing(self, store):
        await stage(store, "AA==", b"1")
        await commit(store, "AA==")
        await stage(store, "AQ==", b"2")
        for wanted in (("Committed", "AQ=="), ("Uncommitted", "AA=="), ("Latest", "Ag==")):
            with pytest.raises(ArmError) as caught:
                await commit(store, wanted)
            assert (caught.value.status, caught.value.code) == (400, "InvalidBlockList")
        assert await names(store) == (["AA=="], ["AQ=="])

    async def test_conditions_and_leases(self, store):
        await store.put(*KEY, b"x")
        await stage(store, "AA==", b"1")
        with pytest.raises(ArmError) as caught:
            await commit(store, "AA==", wanted=Conditions(if_none_match=("*",)))
        assert caught.value.code == "BlobAlreadyExists"

    async def test_an_empty_list_makes_an_empty_blob(self, store):
        assert (await commit(store)).size == 0
        assert await store.read_all(*KEY) == b""

    async def test_too_many(self, store):
        with pytest.raises(ArmError) as caught:
            await commit(store, *["AA=="] * 50_001)
        assert caught.value.code == "BlockCountExceedsLimit"

    async def test_putting_the_blob_whole_drops_what_was_staged(self, store, clock, stored):
        await stage(store, "AA==", b"1")
        await store.put(*KEY, b"x")
        assert await names(store) == ([], [])
        clock.forward(7200)
        await store.collect()
        assert len(stored()) == 1

    async def test_there_must_be_a_container(self, store, stored):
        with pytest.raises(ArmError) as caught:
            await stage(store, "AA==", b"1", BlobKey("acct1", "nope", "x"))
        assert caught.value.code == "ContainerNotFound"
        assert stored() == set()


class TestFlush:
    """The Data Lake's way: append at positions, flush up to one."""

    async def append(self, store, position, data):
        await store.stage(KEY, blocks.position_id(position), await store.write(data), must_exist=True)

    async def flush(self, store, position, **kwargs):
        return await store.db.write(blocks.flush, KEY, position, {}, store.now(), **kwargs)

    async def test_out_of_order_and_on_top(self, store):
        await store.put(*KEY, b"")
        await self.append(store, 3, b"def")
        await self.append(store, 0, b"abc")
        assert (await self.flush(store, 6)).size == 6
        await self.append(store, 6, b"gh")
        await self.flush(store, 8)
        assert await store.read_all(*KEY) == b"abcdefgh"

    async def test_what_is_beyond_is_dropped_or_kept(self, store, clock, stored):
        await store.put(*KEY, b"")
        for position, data in ((0, b"ab"), (2, b"cd"), (4, b"ef")):
            await self.append(store, position, data)
        await self.flush(store, 2, keep_rest=True)
        await self.flush(store, 4)
        assert await store.read_all(*KEY) == b"abcd"
        with pytest.raises(ArmError) as caught:
            await self.flush(store, 6)
        assert caught.value.code == "InvalidFlushPosition"
        clock.forward(7200)
        await store.collect()
        assert len(stored()) == 2

    @pytest.mark.parametrize("position", [1, 2, 7, 2**40])
    async def test_gaps_and_wrong_positions(self, store, position):
        await store.put(*KEY, b"")
        await self.append(store, 0, b"abc")
        await self.append(store, 5, b"fg")
        with pytest.raises(ArmError) as caught:
            await self.flush(store, position)
        assert caught.value.code == "InvalidFlushPosition"
        assert await store.read_all(*KEY) == b""

    async def test_the_file_must_be_there(self, store):
        with pytest.raises(ArmError) as caught:
            await self.append(store, 0, b"x")
        assert caught.value.code == "BlobNotFound"
