import asyncio
import os

import pytest

from lazward.storage.blobs.extents import PIECE, Extents, md5


async def pieces(*given):
    for piece in given:
        yield piece


async def read(extents, id, start, end):
    return b"".join([piece async for piece in extents.read(id, start, end)])


class TestEvery:
    """What holds for files and for objects."""

    async def test_what_was_written_is_read_in_any_range(self, extents):
        data = os.urandom(3 * PIECE + 7)
        written = await extents.write(data)
        assert written.size == len(data)
        for start, end in ((0, len(data)), (0, 1), (PIECE - 1, PIECE + 1), (len(data) - 1, len(data)), (5, 2 * PIECE + 9)):
            assert await read(extents, written.id, start, end) == data[start:end]

    async def test_streams_of_any_size(self, extents):
        for parts in ([], [b""], [b"a"], [b"a" * 100] * 9, [os.urandom(700_000)] * 30):
            digest = md5()
            written = await extents.write(pieces(*parts), [digest])
            whole = b"".join(parts)
            expected = md5()
            expected.update(whole)
            assert (written.size, written.digests["md5"]) == (len(whole), expected.digest())
            if whole:
                assert await read(extents, written.id, 0, len(whole)) == whole

    async def test_a_failing_stream_leaves_nothing(self, extents):
        async def bad():
            yield b"x" * (2 * PIECE)
            raise RuntimeError("gone")

        with pytest.raises(RuntimeError):
            await extents.write(bad())
        assert [found async for found in extents.listed()] == []

    async def test_files_are_taken_in(self, extents, tmp_path):
        path = tmp_path / "source"
        path.write_bytes(b"data" * 1000)
        copied = await extents.write_file(path)
        path.write_bytes(b"changed")
        assert await read(extents, copied.id, 0, copied.size) == b"data" * 1000
        moved = await extents.write_file(path, move=True)
        assert await read(extents, moved.id, 0, moved.size) == b"changed"
        assert not path.exists()

    async def test_nothing_is_stored_of_nothing(self, extents, tmp_path):
        (tmp_path / "empty").touch()
        assert (await extents.write(b"")).size == (await extents.write_file(tmp_path / "empty")).size == 0
        assert [found async for found in extents.listed()] == []

    async def test_deleting_is_done_once_or_twice(self, extents):
        written = await extents.write(b"x")
        await extents.delete([written.id])
        await extents.delete([written.id])
        with pytest.raises(FileNotFoundError):
            await read(extents, written.id, 0, 1)

    async def test_listed_with_their_age(self, extents):
        ids = {(await extents.write(b"x")).id for _ in range(5)}
        assert {id async for id, at in extents.listed() if at > 1_600_000_000} == ids

    @pytest.mark.parametrize("id", ["../../etc/passwd", "", "a" * 31, "A" * 32, "/" * 32, "a" * 31 + "\n"])
    async def test_only_ids_made_here_become_paths(self, extents, id):
        with pytest.raises(ValueError):
            await read(extents, id, 0, 1)
        with pytest.raises(ValueError):
            await extents.delete([id])


class TestLocal:
    async def test_files_are_private_and_below_the_folder(self, local):
        written = await local.write(b"secret")
        path = local.local_path(written.id)
        assert path.is_relative_to(local.folder)
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0

    async def test_a_moved_file_is_young(self, local, tmp_path):
        path = tmp_path / "old"
        path.write_bytes(b"x")
        os.utime(path, (1, 1))
        moved = await local.write_file(path, move=True)
        assert local.local_path(moved.id).stat().st_mtime > 1_600_000_000

    async def test_a_link_is_copied_not_moved(self, local, tmp_path):
        (tmp_path / "real").write_bytes(b"x")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        moved = await local.write_file(tmp_path / "link", move=True)
        assert not local.local_path(moved.id).is_symlink()
        assert (tmp_path / "real").exists()

    async def test_a_reader_that_goes_away_leaves_no_file_open(self, local):
        written = await local.write(b"x" * (5 * PIECE))
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        for _ in range(3):
            reading = local.read(written.id, 0, written.size)
            await anext(reading)
            await reading.aclose()
        assert (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0) == before

    async def test_a_cancelled_write_leaves_no_file(self, local, stored):
        waiting = asyncio.Event()

        async def slow():
            yield b"x" * (2 * PIECE)
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(local.write(slow()))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stored() == set()

    async def test_a_short_extent_is_an_error_not_short_data(self, local):
        written = await local.write(b"x" * 10)
        os.truncate(local.local_path(written.id), 5)
        with pytest.raises(OSError, match="ends at 5"):
            await read(local, written.id, 0, 10)

    async def test_synced_when_asked(self, tmp_path, monkeypatch):
        synced = []
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_mode & 0o170000))
        extents = Extents.from_url(str(tmp_path / "s"), fsync=True)
        await extents.write(b"x")
        assert len(synced) == 2  # the file and its folder
        extents.close()


async def test_urls(tmp_path):
    assert Extents.from_url(f"file://{tmp_path}/a%20b").folder.name == "a b"
    assert type(Extents.from_url("memory://")).__name__ == "ObjectExtents"
