import pytest

from lazward.contract.errors import ArmError
from lazward.storage.blobs import containers


def test_pages_in_order(db, clock):
    for name in ("bbb", "aaa", "abc", "abd"):
        db.write_now(containers.create, "acct1", name, {}, clock())
    db.write_now(containers.create, "acct2", "abz", {}, clock())
    found, after = db.read_now(containers.page, "acct1", "", "", 3)
    assert [info.name for info in found] == ["aaa", "abc", "abd"]
    assert [info.name for info in db.read_now(containers.page, "acct1", "", after, 3)[0]] == ["bbb"]
    assert [info.name for info in db.read_now(containers.page, "acct1", "ab", "", 9)[0]] == ["abc", "abd"]


def test_there_is_one_of_a_name(db, clock):
    db.write_now(containers.create, "acct1", "aaa", {"x": "1"}, clock())
    with pytest.raises(ArmError) as caught:
        db.write_now(containers.create, "acct1", "aaa", {}, clock())
    assert (caught.value.status, caught.value.code) == (409, "ContainerAlreadyExists")
    assert db.write_now(containers.ensure, "acct1", "aaa", clock()).meta == {"x": "1"}


async def test_a_new_one_of_the_name_is_empty(store, clock, stored):
    await store.put("acct1", "cont1", "a", b"old")
    await store.db.write(containers.delete, "acct1", "cont1", clock())
    await store.ensure_container("acct1", "cont1")
    assert (await store.list("acct1", "cont1")).blobs == []
    await store.put("acct1", "cont1", "a", b"new")
    for _ in range(2):
        clock.forward(7200)
        await store.collect()
    assert await store.read_all("acct1", "cont1", "a") == b"new"
    assert len(stored()) == 1
