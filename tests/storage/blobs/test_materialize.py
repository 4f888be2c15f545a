import os
import time

import pytest
import sqlalchemy as sa

from lazward.contract.errors import ArmError
from lazward.storage.blobs import materialize
from lazward.storage.blobs.materialize import prune
from lazward.storage.tables import blob

ACCOUNT, CONTAINER = "acct1", "cont1"


@pytest.fixture
def at(any_store, tmp_path):
    async def make(name, into="out"):
        made = await any_store.materialize(ACCOUNT, CONTAINER, name, tmp_path / into, cache=tmp_path / "cache")
        return {str(path.relative_to(tmp_path / into)): path.read_bytes() for path in made}

    return make


async def fill(store, **blobs):
    for name, data in blobs.items():
        await store.put(ACCOUNT, CONTAINER, name, data)


class TestWhat:
    async def test_one_blob_under_its_last_name(self, any_store, at):
        await fill(any_store, **{"d/e/f.txt": b"1", "d/e/f.txt.bak": b"2"})
        assert await at("d/e/f.txt") == {"f.txt": b"1"}

    async def test_a_folder_with_or_without_slash(self, any_store, at):
        await fill(any_store, **{"d/a": b"1", "d/e/b": b"22", "d2/c": b"3"})
        assert await at("d", "1") == await at("d/", "2") == {"a": b"1", "e/b": b"22"}

    async def test_the_container(self, any_store, at):
        await fill(any_store, **{"a": b"1", "d/b": b"2"})
        assert await at("") == {"a": b"1", "d/b": b"2"}

    async def test_nothing_and_nowhere(self, any_store, at, tmp_path):
        assert await at("none") == {}
        with pytest.raises(ArmError) as caught:
            await any_store.materialize(ACCOUNT, "nope", "", tmp_path / "x", cache=tmp_path / "cache")
        assert caught.value.code == "ContainerNotFound"

    async def test_folders_that_are_blobs(self, any_store, at, tmp_path):
        await any_store.put(ACCOUNT, CONTAINER, "d/empty", b"", meta={"hdi_isfolder": "true"})
        await fill(any_store, **{"d/x": b""})
        assert await at("d") == {"x": b""}
        assert (tmp_path / "out" / "empty").is_dir()

    async def test_blobs_of_many_extents(self, any_store, at):
        for n in range(30):
            await any_store.append(ACCOUNT, CONTAINER, "log", bytes([n]) * (n * 1000 + 1))
        assert await at("log") == {"log": b"".join(bytes([n]) * (n * 1000 + 1) for n in range(30))}


class TestHow:
    async def test_files_are_read_only_and_shared(self, store, tmp_path):
        await fill(store, a=b"data")
        (first,) = await store.materialize(ACCOUNT, CONTAINER, "a", tmp_path / "1", cache=tmp_path / "cache")
        (second,) = await store.materialize(ACCOUNT, CONTAINER, "a", tmp_path / "2", cache=tmp_path / "cache")
        assert first.stat().st_mode & 0o222 == 0
        assert first.stat().st_ino == second.stat().st_ino
        assert first.stat().st_nlink == 3

    async def test_stored_bytes_are_out_of_reach(self, store, tmp_path):
        """Somebody with every right writes into an input: neither the store nor the next job sees it."""
        await fill(store, a=b"data")
        (first,) = await store.materialize(ACCOUNT, CONTAINER, "a", tmp_path / "1", cache=tmp_path / "cache")
        first.chmod(0o644)
        first.write_bytes(b"evil")
        (second,) = await store.materialize(ACCOUNT, CONTAINER, "a", tmp_path / "2", cache=tmp_path / "cache")
        assert second.read_bytes() == b"data"
        assert await store.read_all(ACCOUNT, CONTAINER, "a") == b"data"

    async def test_again_into_the_same_folder(self, store, tmp_path):
        await fill(store, **{"d/a": b"1"})
        await store.materialize(ACCOUNT, CONTAINER, "d", tmp_path / "1", cache=tmp_path / "cache")
        await fill(store, **{"d/a": b"2"})
        (path,) = await store.materialize(ACCOUNT, CONTAINER, "d", tmp_path / "1", cache=tmp_path / "cache")
        assert path.read_bytes() == b"2"

    async def test_pruning_spares_what_is_in_use(self, store, tmp_path):
        await fill(store, used=b"x" * 100, unused=b"y" * 100)
        await store.materialize(ACCOUNT, CONTAINER, "", tmp_path / "1", cache=tmp_path / "cache")
        (tmp_path / "1" / "unused").unlink()
        assert prune(tmp_path / "cache", 1000) == 0
        assert prune(tmp_path / "cache", 0) == 100
        assert prune(tmp_path / "cache", 0) == 0


class TestSafety:
    """S2, S3: a name is data until here; here it must stay inside."""

    @pytest.mark.parametrize("name", ["../evil", "a/../../evil", "..", ".", "a/./b", "a/\0b", "x" * 300])
    async def test_names_that_are_no_paths_are_refused(self, store, db, tmp_path, name):
        await fill(store, ok=b"1")
        if "\0" in name and not db.is_sqlite:
            return  # PostgreSQL keeps none
        # No API stores such a name; say that something did.
        db.write_now(lambda tx: tx.execute(sa.update(blob).values(name=name)))
        with pytest.raises(ArmError) as caught:
            await store.materialize(ACCOUNT, CONTAINER, "", tmp_path / "deep" / "out", cache=tmp_path / "cache")
        assert (caught.value.status, caught.value.code) == (400, "InvalidResourceName")
        assert not [path for path in tmp_path.rglob("*") if path.name in ("evil", "b")]

    @pytest.mark.parametrize("name", ["/etc/x", "//x", "a//x", "C:\\x", "a\\..\\..\\x", "~/x", "%2e%2e/x", "a/...", "\u2024\u2024/x"])
    async def test_odd_names_stay_inside(self, store, tmp_path, name):
        await fill(store, **{name: b"1"})
        (path,) = await store.materialize(ACCOUNT, CONTAINER, "", tmp_path / "out", cache=tmp_path / "cache")
        assert path.resolve().is_relative_to((tmp_path / "out").resolve())

    async def test_a_link_in_the_destination_is_not_followed(self, store, tmp_path):
        await fill(store, **{"d/x": b"1", "y": b"2"})
        (tmp_path / "out").mkdir()
        (tmp_path / "outside").mkdir()
        (tmp_path / "target").write_bytes(b"keep")
        (tmp_path / "out" / "d").symlink_to(tmp_path / "outside")
        (tmp_path / "out" / "y").symlink_to(tmp_path / "target")
        with pytest.raises(ArmError) as caught:
            await store.materialize(ACCOUNT, CONTAINER, "", tmp_path / "out", cache=tmp_path / "cache")
        assert caught.value.code == "InvalidResourceName"
        assert os.listdir(tmp_path / "outside") == []
        assert (tmp_path / "target").read_bytes() == b"keep"

    async def test_a_name_that_is_folder_and_file(self, store, tmp_path):
        await fill(store, **{"a": b"1", "a/b": b"2"})
        with pytest.raises(ArmError) as caught:
            await store.materialize(ACCOUNT, CONTAINER, "", tmp_path / "out", cache=tmp_path / "cache")
        assert (caught.value.status, caught.value.code) == (409, "PathConflict")

    async def test_a_cached_file_that_is_pruned_before_it_is_linked_is_fetched_again(self, store, tmp_path, monkeypatch):
        await fill(store, a=b"1")
        real, taken = materialize._link, []

        def link(cached, path, root, info):
            if not taken:
                taken.append(materialize.prune(tmp_path / "cache", 0))
            return real(cached, path, root, info)

        monkeypatch.setattr(materialize, "_link", link)
        (path,) = await store.materialize(ACCOUNT, CONTAINER, "", tmp_path / "out", cache=tmp_path / "cache")
        assert taken == [1] and path.read_bytes() == b"1"

    def test_what_a_killed_process_fetched_is_removed_after_a_day(self, tmp_path):
        partial = tmp_path / "partial"
        partial.mkdir()
        for name, age in (("old", 2 * 86400), ("new", 60)):
            (partial / name).write_bytes(b"x")
            at = time.time() - age
            os.utime(partial / name, (at, at))
        materialize.prune(tmp_path, 10**9)
        assert [path.name for path in partial.iterdir()] == ["new"]
