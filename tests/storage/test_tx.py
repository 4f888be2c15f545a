"""Transactions of one statement, which on PostgreSQL commit themselves."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa

from lazward.storage.db import Tx

ADD = "INSERT INTO run_tag (run, key, value) VALUES (1, ?, 'v') RETURNING key"


@pytest.fixture(autouse=True)
def only_postgres(db):
    if db.is_sqlite:
        pytest.skip("of PostgreSQL")


def keys(tx: Tx) -> list[str]:
    return [key for (key,) in tx.raw("SELECT key FROM run_tag WHERE run = 1 ORDER BY key").fetchall()]


async def test_the_only_one_commits_itself(db):
    def write(tx: Tx) -> list[str]:
        tx.last(ADD, ("a",))
        return db.read_now(keys)  # what others see meanwhile

    assert await db.write_small(write) == ["a"]


async def test_it_is_as_serializable_as_all_others(db):
    assert (await db.write_small(lambda tx: tx.last("SELECT current_setting('transaction_isolation')").fetchone())) == ("serializable",)
    assert (await db.write_small(lambda tx: tx.raw("SELECT current_setting('transaction_isolation')").fetchone())) == ("serializable",)


async def test_one_with_something_before_it_does_not(db):
    def write(tx: Tx) -> list[str]:
        tx.raw(ADD, ("a",))
        tx.last(ADD, ("b",))
        return db.read_now(keys)

    assert await db.write_small(write) == []
    assert await db.read(keys) == ["a", "b"]


@pytest.mark.parametrize("way", ["write", "write_now", "read_now"])
async def test_nor_one_in_a_transaction_of_the_other_kinds(db, way):
    def write(tx: Tx) -> list[str]:
        tx.last("SELECT 1" if way == "read_now" else ADD, () if way == "read_now" else ("a",))
        return db.read_now(keys)

    assert (await db.write(write) if way == "write" else getattr(db, way)(write)) == []


async def test_what_comes_after_it_is_a_transaction(db):
    def write(tx: Tx) -> None:
        tx.last("SELECT 1")
        tx.raw(ADD, ("a",))
        raise ValueError

    with pytest.raises(ValueError):
        await db.write_small(write)
    assert await db.read(keys) == []


async def test_what_is_refused_is_raised_and_the_connection_goes_on(db):
    await db.write_small(lambda tx: tx.last(ADD, ("a",)))
    for _ in range(3):
        with pytest.raises(sa.exc.IntegrityError):
            await db.write_small(lambda tx: tx.last(ADD, ("a",)))
    await db.write_small(lambda tx: (tx.raw(ADD, ("b",)), None)[1])
    assert await db.read(keys) == ["a", "b"]


async def test_when_the_connection_breaks_it_is_sent_again(db):
    runs: list[int] = []

    def write(tx: Tx) -> None:
        runs.append(1)
        tx.last("SELECT pg_terminate_backend(pg_backend_pid())" if len(runs) == 1 else ADD, () if len(runs) == 1 else ("a",))

    await db.write_small(write)
    assert len(runs) == 2 and await db.read(keys) == ["a"]


async def test_in_a_group_all_or_those_that_did_not_raise(db):
    inside, go = threading.Event(), threading.Event()

    def gate(tx: Tx) -> None:
        inside.set()
        assert go.wait(30)

    def bad(tx: Tx) -> None:
        tx.last(ADD, ("bad",))
        raise ValueError

    first = asyncio.create_task(db.write_small(gate))
    await asyncio.to_thread(inside.wait, 30)
    waiting = [asyncio.create_task(db.write_small(fn)) for fn in (lambda tx: tx.last(ADD, ("a",)).fetchone(), bad, lambda tx: tx.last(ADD, ("b",)).fetchone())]
    await asyncio.sleep(0)
    go.set()
    await first
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert (found[0], found[2]) == (("a",), ("b",)) and isinstance(found[1], ValueError)
    assert await db.read(keys) == ["a", "b"]


async def test_reads_are_snapshots_that_cannot_write(db):
    assert (await db.read(lambda tx: tx.raw("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')").fetchone())) == ("repeatable read", "on")
    with pytest.raises(sa.exc.InternalError):
        await db.read(lambda tx: tx.raw(ADD, ("a",)))
    await db.write(lambda tx: (tx.raw(ADD, ("b",)), None)[1])
    assert db.read_now(keys) == ["b"]
