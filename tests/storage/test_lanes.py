"""Many small transactions at once: made one, and each still its own."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa

from lazward.contract.errors import ArmError
from lazward.storage import tasks
from lazward.storage.db import Tx
from lazward.storage.lanes import Job, Lane


def count(tx: Tx) -> int:
    return tx.execute(sa.text("select count(*) from task")).scalar_one()


class Gate:
    """A transaction that keeps the (only) writer until it is opened, so that what comes meanwhile waits together."""

    def __init__(self) -> None:
        self.inside, self.open = threading.Event(), threading.Event()

    def __call__(self, tx: Tx) -> None:
        self.inside.set()
        assert self.open.wait(30)


async def together(db, *functions):
    """Their results or errors, done in one group on SQLite."""
    gate = Gate()
    gates = [asyncio.create_task(db.write(gate)) for _ in range(1 if db.is_sqlite else 2)]
    await asyncio.to_thread(gate.inside.wait, 30)
    waiting = [asyncio.create_task(db.write(function)) for function in functions]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(*gates)
    return await asyncio.gather(*waiting, return_exceptions=True)


def enqueue(subject: str):
    return lambda tx: tasks.enqueue(tx, "k", subject, {}, 1.0)


class TestGroups:
    async def test_all_are_done_and_each_gets_its_own_answer(self, db):
        found = await together(db, *(lambda tx, i=i: (tasks.enqueue(tx, "k", str(i), {}, 1.0), i)[1] for i in range(100)))
        assert found == list(range(100))
        assert await db.read(count) == 100

    async def test_one_that_raises_undoes_its_own_and_nothing_else(self, db):
        def refused(tx: Tx) -> None:
            tasks.enqueue(tx, "k", "refused", {}, 1.0)
            raise ArmError(409, "Conflict", "no")

        found = await together(db, enqueue("a"), refused, enqueue("b"))
        assert isinstance(found[1], ArmError) and isinstance(found[0], str) and isinstance(found[2], str)
        assert await db.read(count) == 2

    async def test_what_the_database_refuses_of_one_is_no_loss_of_the_others(self, db):
        def broken(tx: Tx) -> None:
            tasks.enqueue(tx, "k", "broken", {}, 1.0)
            tx.execute(sa.text("insert into nowhere values (1)"))

        found = await together(db, enqueue("a"), broken, enqueue("b"), lambda tx: tx.raw("select ? + 1", (1,)).fetchone()[0])
        assert isinstance(found[1], sa.exc.DBAPIError) and found[3] == 2
        assert await db.read(count) == 2

    async def test_one_sees_what_those_before_it_did(self, db):
        if not db.is_sqlite:
            pytest.skip("PostgreSQL has several writers: there is no before")
        first, one, second, two = await together(db, enqueue("c"), count, enqueue("d"), count)
        assert two == one + 1 and isinstance(first, str) and isinstance(second, str)

    async def test_a_slow_one_does_not_keep_the_others_from_their_commit(self, db, monkeypatch):
        """What is done when the time of a group is over is committed; the rest is a group of its own."""
        monkeypatch.setattr("lazward.storage.db._GROUP_S", 0.0)
        assert await together(db, *(lambda tx, i=i: i for i in range(5))) == list(range(5))

    async def test_callbacks_run_once_after_the_commit(self, db):
        told: list[int] = []

        def write(tx: Tx, i: int) -> None:
            tx.run_after_commit(lambda: told.append(i))
            if i == 2:
                raise ValueError

        await together(db, *(lambda tx, i=i: write(tx, i) for i in range(4)))
        assert sorted(told) == [0, 1, 3]


class TestOneRow:
    async def test_a_stream_of_writers_of_one_row_starves_nobody(self, db, clock):
        """On PostgreSQL they get into each other's way: each is repeated until it is done, and counts once."""
        await db.write(tasks.enqueue, "k", "counter", {}, clock())

        def count_up(tx: Tx) -> None:
            seen = tx.raw("select attempts from task where subject = ?", ("counter",)).fetchone()[0]
            tx.raw("update task set attempts = ? where subject = ?", (seen + 1, "counter"))

        async def one() -> None:
            for _ in range(30):
                await db.write(count_up)

        await asyncio.gather(*(one() for _ in range(16)))
        assert await db.read(lambda tx: tx.raw("select attempts from task where subject = ?", ("counter",)).fetchone()[0]) == 480


class TestLane:
    async def test_who_is_cancelled_while_it_waits_is_not_begun(self, db):
        gate, begun = Gate(), []
        gates = [asyncio.create_task(db.write(gate)) for _ in range(1 if db.is_sqlite else 2)]
        await asyncio.to_thread(gate.inside.wait, 30)
        waiting = asyncio.create_task(db.write(lambda tx: begun.append(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open.set()
        await asyncio.gather(*gates)
        await db.write(count)
        assert not begun

    async def test_closing_waits_for_what_waits(self):
        done: list[int] = []

        def run(jobs: list[Job], private: dict) -> None:
            private["n"] = private.get("n", 0) + len(jobs)
            done.extend(job.args[0] for job in jobs)

        left: list[dict] = []
        lane = Lane("test", 1, 4, run, left.append)
        waiting = [asyncio.ensure_future(lane.call(print, (i,), {}, 1.0)) for i in range(10)]
        await asyncio.sleep(0)
        await asyncio.to_thread(lane.close)
        await asyncio.gather(*waiting)
        assert done == list(range(10)) and left == [{"n": 10}]
