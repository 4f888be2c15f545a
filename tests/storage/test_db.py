"""A database that is away: restarted, locked, full. (Transactions as such are tested with everything that uses them.)"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from lazward.contract.errors import ArmError
from lazward.storage import tasks
from lazward.storage.db import Database, DatabaseAway
from lazward.storage.tables import metadata
from tests.postgres import Postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


def count(tx) -> int:
    return tx.execute(sa.text("select count(*) from task")).scalar_one()


class TestPostgresql:
    @pytest.mark.parametrize("mode", ["fast", "immediate"])
    async def test_that_is_stopped_and_started_again_is_waited_for(self, postgres, clock, mode):
        db = Database(postgres.url, patience_s=60)
        metadata.create_all(db.engine)
        before = await db.read(count)
        await db.write(tasks.enqueue, "k", f"{mode} before", {}, clock())
        postgres.stop(mode)
        waiting = [asyncio.create_task(db.write(tasks.enqueue, "k", f"{mode} {i}", {}, clock())) for i in range(20)]
        reading = [asyncio.create_task(db.read(count)) for _ in range(20)]
        done, _ = await asyncio.wait([*waiting, *reading], timeout=1)
        assert not done
        await asyncio.to_thread(postgres.start)
        await asyncio.wait_for(asyncio.gather(*waiting, *reading), 60)
        assert await db.read(count) == before + 21
        db.close()

    async def test_that_stays_away_is_said_when_patience_ends(self, postgres):
        db = Database(postgres.url, patience_s=0.2)
        metadata.create_all(db.engine)
        await db.read(count)
        postgres.stop("fast")
        try:
            for ask in (db.read, db.write):
                with pytest.raises(DatabaseAway, match="cannot be reached") as caught:
                    await ask(count)
                assert not caught.value.maybe_done and not caught.value.full
        finally:
            postgres.start()
        assert isinstance(await db.read(count), int)
        db.close()

    async def test_that_goes_in_the_middle_of_a_transaction_has_done_nothing_of_it(self, postgres, clock):
        db = Database(postgres.url, patience_s=60)
        metadata.create_all(db.engine)
        before, runs = await db.read(count), []

        def write(tx) -> None:
            runs.append(1)
            tasks.enqueue(tx, "k", "in the middle", {}, clock())
            if len(runs) == 1:
                postgres.stop("immediate")
                postgres.start()
            tasks.enqueue(tx, "k", "and after", {}, clock())

        await db.write(write)
        assert len(runs) == 2 and await db.read(count) == before + 2
        db.close()

    async def test_that_breaks_in_the_commit_is_not_asked_again(self, postgres, clock):
        """Whether it was done nobody knows, so nothing is repeated blindly."""
        db = Database(postgres.url, patience_s=60)
        metadata.create_all(db.engine)
        runs = []

        def write(tx) -> None:
            runs.append(1)
            tasks.enqueue(tx, "k", "commit", {}, clock())
            mine = tx.execute(sa.text("select pg_backend_pid()")).scalar_one()
            with db.engine.connect() as other:
                other.execute(sa.text("select pg_terminate_backend(:pid, 5000)"), {"pid": mine})

        with pytest.raises(DatabaseAway) as caught:
            await db.write(write)
        assert caught.value.maybe_done and runs == [1]
        db.close()


class TestSqlite:
    @pytest.fixture
    def db(self, tmp_path, monkeypatch) -> Iterator[Database]:
        monkeypatch.setattr("lazward.storage.db.BUSY_MS", 50)
        made = Database(f"sqlite:///{tmp_path}/a.db", patience_s=0.3)
        metadata.create_all(made.engine)
        yield made
        made.close()

    async def test_that_is_locked_is_waited_for_and_can_be_read(self, db, clock):
        db.patience_s = 60
        other = sqlite3.connect(db.engine.url.database, isolation_level=None)
        other.execute("begin exclusive")
        waiting = [asyncio.create_task(db.write(tasks.enqueue, "k", str(i), {}, clock())) for i in range(20)]
        done, _ = await asyncio.wait(waiting, timeout=0.5)
        assert not done and await db.read(count) == 0
        other.execute("rollback")
        await asyncio.wait_for(asyncio.gather(*waiting), 60)
        assert await db.read(count) == 20
        other.close()

    async def test_that_stays_locked_is_said(self, db, clock):
        other = sqlite3.connect(db.engine.url.database, isolation_level=None)
        other.execute("begin exclusive")
        with pytest.raises(DatabaseAway, match="locked by another program"):
            await db.write(tasks.enqueue, "k", "s", {}, clock())
        other.close()
        await db.write(tasks.enqueue, "k", "s", {}, clock())

    async def test_without_room_says_so_and_goes_on_when_there_is(self, db, clock):
        """max_page_count is SQLite's own way to a full disk."""

        def fill(tx) -> None:
            pages = tx.execute(sa.text("pragma page_count")).scalar_one()
            tx.execute(sa.text(f"pragma max_page_count={pages + 4}"))
            tasks.enqueue(tx, "k", "large", {"text": "x" * 100_000}, clock())

        with pytest.raises(DatabaseAway, match="disk of the database is full") as caught:
            await db.write(fill)
        assert caught.value.full
        await db.write(lambda tx: tx.execute(sa.text("pragma max_page_count=1000000")) and None)
        await db.write(tasks.enqueue, "k", "large", {"text": "x" * 100_000}, clock())
        assert await db.read(count) == 1

    async def test_an_error_of_the_statement_is_none_of_that(self, db):
        with pytest.raises(sa.exc.OperationalError, match="no such table"):
            await db.read(lambda tx: tx.execute(sa.text("select * from nowhere")))


class TestSmall:
    """write_small(): on SQLite on the thread that asks, when it can."""

    @pytest.fixture
    def threads(self):
        seen: list[str] = []

        def note(tx, result=None):
            seen.append(threading.current_thread().name)
            return result

        note.seen = seen
        return note

    async def test_is_done_at_once_when_nobody_else_writes(self, db, threads):
        assert await db.write_small(threads, "answer") == "answer"
        assert threads.seen == ["MainThread" if db.is_sqlite else "db-small-0"]

    async def test_what_it_writes_is_there_and_wakes_who_is_to_be_woken(self, db, clock):
        woken: list[str] = []
        db.on_tasks = lambda: woken.append("tasks")

        def write(tx):
            tx.run_after_commit(lambda: woken.append("after"))
            return tasks.enqueue(tx, "k", "s", {}, clock())

        await db.write_small(write)
        assert woken == ["after", "tasks"] and await db.read(count) == 1

    async def test_undoes_what_raises(self, db, clock):
        def refused(tx):
            tasks.enqueue(tx, "k", "s", {}, clock())
            raise ArmError(409, "Conflict", "no")

        for _ in range(2):
            with pytest.raises(ArmError):
                await db.write_small(refused)
        with pytest.raises(sa.exc.DBAPIError):
            await db.write_small(lambda tx: tx.raw("insert into nowhere values (1)"))
        assert await db.read(count) == 0
        await db.write_small(tasks.enqueue, "k", "s", {}, clock())
        assert await db.read(count) == 1

    async def test_that_turns_out_to_be_large_is_begun_anew_elsewhere(self, db, threads, clock):
        def write(tx):
            threads(tx)
            tasks.enqueue(tx, "k", "s", {}, clock())
            tx.takes_a_while()

        await db.write_small(write)
        assert threads.seen == (["MainThread", "db-write-0"] if db.is_sqlite else ["db-small-0"])
        assert await db.read(count) == 1

    async def test_goes_with_the_others_while_somebody_writes(self, db, threads):
        if not db.is_sqlite:
            pytest.skip("has a thread of its own")
        inside, go = threading.Event(), threading.Event()

        def slow(tx):
            inside.set()
            assert go.wait(30)

        other = asyncio.create_task(db.write(slow))
        await asyncio.to_thread(inside.wait, 30)
        small = asyncio.create_task(db.write_small(threads))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(other, small)
        assert threads.seen == ["db-write-0"]

    async def test_waits_for_another_program_as_others_do(self, tmp_path, clock, threads):
        db = Database(f"sqlite:///{tmp_path}/a.db", patience_s=60)
        metadata.create_all(db.engine)
        await db.write_small(threads)
        other = sqlite3.connect(db.engine.url.database, isolation_level=None)
        other.execute("begin immediate")
        waiting = [asyncio.create_task(db.write_small(tasks.enqueue, "k", str(i), {}, clock())) for i in range(5)]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
        other.execute("rollback")
        await asyncio.wait_for(asyncio.gather(*waiting), 60)
        assert await db.read(count) == 5
        await db.write_small(threads)
        assert threads.seen == ["MainThread", "MainThread"]
        other.close()
        db.close()

    async def test_the_log_is_taken_over_by_the_thread_that_may_wait(self, tmp_path, threads):
        db = Database(f"sqlite:///{tmp_path}/a.db")
        for _ in range(600):
            await db.write_small(threads)
        assert threads.seen.count("db-write-0") == 2 and threads.seen.count("MainThread") == 598
        db.close()

    async def test_that_waits_for_the_disk_is_nothing_for_this_thread(self, tmp_path, threads):
        db = Database(f"sqlite:///{tmp_path}/a.db", synchronous="full")
        await db.write_small(threads)
        assert threads.seen == ["db-write-0"]
        db.close()

    async def test_an_answer_that_fails_when_it_is_fetched_is_an_error_of_the_database(self, db):
        for write in (db.write, db.write_small):
            with pytest.raises(sa.exc.DBAPIError):
                await write(lambda tx: tx.raw("select 1 where cast(? as integer) / 0 > 0" if not tx.sqlite else "select json('{')", (1,) if not tx.sqlite else ()).fetchall())


class TestPart:
    def test_what_a_part_wrote_is_undone_when_it_raises_and_the_rest_stays(self, db, clock):
        made: dict[str, str] = {}

        def write(tx):
            made["before"] = tasks.enqueue(tx, "k", "before", {}, clock())
            with pytest.raises(ValueError), tx.part():
                made["inside"] = tasks.enqueue(tx, "k", "inside", {}, clock())
                raise ValueError
            with tx.part():
                made["kept"] = tasks.enqueue(tx, "k", "kept", {}, clock())

        db.write_now(write)
        assert {name: db.read_now(tasks.get, task) is not None for name, task in made.items()} == {"before": True, "inside": False, "kept": True}

    def test_a_part_is_not_written_before_the_whole(self, db, clock):
        def write(tx):
            with tx.part():
                tasks.enqueue(tx, "k", "s", {}, clock())
            raise ValueError

        with pytest.raises(ValueError):
            db.write_now(write)
        assert db.read_now(tasks.next_due) is None


class TestMany:
    INTO = "INSERT INTO run_tag (run, key, value) VALUES (?, ?, ?) ON CONFLICT (run, key) DO UPDATE SET value = excluded.value"

    @pytest.mark.parametrize("count", [0, 1, 3, 1700])
    def test_rows_of_any_number(self, db, count):
        for value in ("old", "new"):
            db.write_now(lambda tx, value=value: tx.raw_many(self.INTO, [(1, f"k{at}", f"{value} ?%s{at}") for at in range(count)]))
        assert sorted(db.read_now(lambda tx: tx.raw("SELECT key, value FROM run_tag").fetchall())) == sorted((f"k{at}", f"new ?%s{at}") for at in range(count))

    def test_one_that_is_refused_undoes_all(self, db):
        with pytest.raises(sa.exc.IntegrityError):
            db.write_now(lambda tx: tx.raw_many("INSERT INTO run_tag (run, key, value) VALUES (?, ?, ?)", [(1, "a", "v"), (1, "b", None), (1, "c", "v")]))
        assert db.read_now(lambda tx: tx.raw("SELECT key FROM run_tag").fetchall()) == []
