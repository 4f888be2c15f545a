import asyncio
import contextlib
import random
import time
from pathlib import Path

import pytest

from lazward.orchestration.logs import LineLog, LogPump, tail
from lazward.storage.blobs.extents import Extents
from lazward.storage.blobs.store import BlobStore

ACCOUNT, CONTAINER, NAME = "lz0", "azureml", "run/user_logs/std_log.txt"


@pytest.fixture
async def blobs(db, tmp_path: Path) -> BlobStore:
    store = BlobStore(db, Extents.from_url(str(tmp_path / "blobs")), time.time)
    await store.ensure_container(ACCOUNT, CONTAINER)
    return store


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "std_log.txt"


def pump_of(blobs, log: Path) -> LogPump:
    return LogPump(blobs, ACCOUNT, CONTAINER, {NAME: log})


def write(log: Path, text: str) -> None:
    with log.open("a") as out:
        out.write(text)


async def stored(blobs) -> str:
    return (await blobs.read_all(ACCOUNT, CONTAINER, NAME)).decode()


class Around:
    """The blob store with something else instead of append."""

    def __init__(self, blobs: BlobStore, append):
        self._blobs = blobs
        self.append = append

    def __getattr__(self, name):
        return getattr(self._blobs, name)


class TestLogPump:
    async def test_copies_what_comes_and_what_is_left_at_the_end(self, blobs, log):
        async with pump_of(blobs, log).running():
            write(log, "one\n")
            async with asyncio.timeout(10):
                while await blobs.info(ACCOUNT, CONTAINER, NAME) is None:
                    await asyncio.sleep(0.01)
            write(log, "two\n")
        assert await stored(blobs) == "one\ntwo\n"

    async def test_a_look_that_is_to_come_later_is_no_loss(self, blobs, log):
        """Nor when the block fails: what it has written by then is what tells why."""
        appends = []

        async def counted(*args, **kwargs):
            appends.append(args)
            await blobs.append(*args, **kwargs)

        with pytest.raises(ValueError, match="failed"):
            async with pump_of(Around(blobs, counted), log).running(60):
                write(log, "one\n")
                await asyncio.sleep(0)
                write(log, "two\n")
                raise ValueError("failed")
        assert await stored(blobs) == "one\ntwo\n" and len(appends) == 1

    async def test_goes_on_where_a_pump_that_died_ended(self, blobs, log):
        write(log, "one\n")
        await pump_of(blobs, log).drain()
        write(log, "two\n")
        await pump_of(blobs, log).drain()
        assert await stored(blobs) == "one\ntwo\n"

    async def test_an_append_that_was_given_up_but_came_through_is_not_said_twice(self, blobs, log):
        """Cancelling does not stop the database's thread: the bytes are there although nobody heard so."""
        done = asyncio.Event()

        async def slow(*args, **kwargs):
            await blobs.append(*args, **kwargs)
            done.set()
            await asyncio.Event().wait()

        write(log, "one\n")
        pump = pump_of(Around(blobs, slow), log)
        draining = asyncio.create_task(pump.drain())
        await asyncio.wait_for(done.wait(), 10)
        draining.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await draining
        pump.blobs = blobs
        write(log, "two\n")
        await pump.drain()
        assert await stored(blobs) == "one\ntwo\n"

    async def test_two_at_the_same_file_say_every_line_once(self, blobs, log):
        lines = "".join(f"line {i}\n" for i in range(300))
        pumps = [pump_of(BlobStore(blobs.db, blobs.extents, time.time), log) for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            for pump in pumps:
                await stack.enter_async_context(pump.running())
            for start in range(0, len(lines), 97):
                write(log, lines[start : start + 97])
                await asyncio.gather(*(pump.drain() for pump in pumps))
        assert await stored(blobs) == lines

    @pytest.mark.parametrize("seed", range(5))
    async def test_whenever_it_is_cancelled_or_dies_every_byte_is_there_once(self, blobs, log, seed):
        chance = random.Random(seed)
        written, pump = "", pump_of(blobs, log)
        for number in range(40):
            piece = f"{number} " * chance.randint(0, 30) + "\n"
            write(log, piece)
            written += piece
            draining = asyncio.create_task(pump.drain())
            if chance.random() < 0.6:
                for _ in range(chance.randint(0, 30)):
                    await asyncio.sleep(0)
                draining.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await draining
            if chance.random() < 0.3:
                pump = pump_of(blobs, log)
        await pump.drain()
        assert await stored(blobs) == written

    async def test_a_store_that_is_away_costs_no_line(self, blobs, log):
        failures = [OSError("no route"), RuntimeError("busy")]

        async def moody(*args, **kwargs):
            if failures:
                raise failures.pop()
            await blobs.append(*args, **kwargs)

        async with pump_of(Around(blobs, moody), log).running():
            write(log, "one\n")
            async with asyncio.timeout(20):
                while failures:
                    await asyncio.sleep(0.01)
        assert await stored(blobs) == "one\n"

    async def test_a_blob_that_the_job_replaced_is_left_alone(self, blobs, log):
        write(log, "one\n")
        pump = pump_of(blobs, log)
        await pump.drain()
        await blobs.put(ACCOUNT, CONTAINER, NAME, b"mine")
        write(log, "two\n")
        await pump.drain()
        await pump.drain()
        assert await stored(blobs) == "mine"

    async def test_a_log_that_never_came_is_no_blob(self, blobs, log):
        async with pump_of(blobs, log).running():
            pass
        assert await blobs.info(ACCOUNT, CONTAINER, NAME) is None


class TestLineLog:
    def test_each_line_has_the_time(self, tmp_path):
        say = LineLog(tmp_path / "a" / "log.txt", lambda: "now")
        say("one\ntwo")
        say("")
        assert say.path.read_text() == "[now] one\n[now] two\n[now] \n"


class TestTail:
    def test_the_last_lines_and_no_more_than_the_limit(self, tmp_path):
        path = tmp_path / "log"
        path.write_text("".join(f"{i}\n" for i in range(1000)))
        assert tail(path, 2) == "998\n999"
        assert len(tail(path, 1000, 50)) <= 50
        assert tail(tmp_path / "none") == ""
