"""Small writes whose statements do not wait for each other: what they say and leave is what it is without that."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa

from lazward.storage import tasks
from lazward.storage.db import Tx


@pytest.fixture(autouse=True)
def only_postgres(db):
    if db.is_sqlite:
        pytest.skip("of PostgreSQL")


def add(tx: Tx, id_: str) -> None:
    tx.raw("INSERT INTO run_tag (run, key, value) VALUES (?, ?, ?)", (1, id_, "v"))


def keys(tx: Tx) -> list[str]:
    return [key for (key,) in tx.raw("SELECT key FROM run_tag WHERE run = 1 ORDER BY key").fetchall()]


async def together(db, *functions):
    """Small writes done in one group."""
    inside, go = threading.Event(), threading.Event()

    def gate(tx: Tx) -> None:
        inside.set()
        assert go.wait(30)

    first = asyncio.create_task(db.write_small(gate))
    await asyncio.to_thread(inside.wait, 30)
    waiting = [asyncio.create_task(db.write_small(function)) for function in functions]
    await asyncio.sleep(0)
    go.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_one_alone(db):
    def write(tx: Tx) -> list[str]:
        add(tx, "a")
        tx.raw_many("INSERT INTO run_tag (run, key, value) VALUES (?, ?, ?)", [(1, "b", "v"), (1, "c", "v")])
        return keys(tx)

    assert await db.write_small(write) == ["a", "b", "c"]
    assert await db.read(keys) == ["a", "b", "c"]


async def test_what_nobody_asks_about_is_refused_all_the_same(db):
    """The second of equal keys: its error comes with the commit, and nothing is left."""
    def twice(tx: Tx) -> None:
        add(tx, "a")
        add(tx, "a")

    for _ in range(3):
        with pytest.raises(sa.exc.IntegrityError):
            await db.write_small(twice)
    assert await db.read(keys) == []


async def test_between_statements_of_sqlalchemy(db):
    def write(tx: Tx) -> int:
        add(tx, "a")
        tasks.enqueue(tx, "k", "s", {}, 1.0)
        add(tx, "b")
        with tx.part():
            add(tx, "c")
        with pytest.raises(ValueError), tx.part():
            add(tx, "d")
            raise ValueError
        return tx.execute(sa.text("select count(*) from run_tag")).scalar_one()

    assert await db.write_small(write) == 3
    assert await db.read(keys) == ["a", "b", "c"]


async def test_of_a_group_each_has_its_own_answer(db):
    def refused(tx: Tx) -> None:
        add(tx, "refused")
        raise ValueError("no")

    found = await together(db, *((lambda tx, i=i: (add(tx, f"{i:02}"), keys(tx))[1]) for i in range(20)), refused)
    assert [len(seen) for seen in found[:-1]] == list(range(1, 21))
    assert isinstance(found[-1], ValueError)
    assert len(await db.read(keys)) == 20


async def test_what_the_database_refuses_of_one_is_no_loss_of_the_others(db):
    found = await together(db, lambda tx: add(tx, "a"), lambda tx: add(tx, "a"), lambda tx: add(tx, "b"), lambda tx: keys(tx))
    assert isinstance(found[1], sa.exc.IntegrityError) and found[3] == ["a", "b"]
    assert await db.read(keys) == ["a", "b"]


async def test_the_others_are_done_once_when_one_raises(db):
    told: list[str] = []

    def good(id_: str):
        def write(tx: Tx) -> str:
            add(tx, id_)
            tx.run_after_commit(lambda: told.append(id_))
            return id_

        return write

    def bad(tx: Tx) -> None:
        add(tx, "bad")
        tx.run_after_commit(lambda: told.append("bad"))
        raise ValueError("no")

    tries = iter([True, False])

    def bad_at_first(tx: Tx) -> str:
        add(tx, "c")
        if next(tries):
            raise ValueError("not yet")
        return "c"

    first, second, third, fourth = await together(db, good("a"), bad_at_first, bad, good("b"))
    assert (first, second, str(third), fourth) == ("a", "c", "no", "b")
    assert await db.read(keys) == ["a", "b", "c"] and told == ["a", "b"]
