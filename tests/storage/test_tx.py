"""Transactions of one statement, which on PostgreSQL commit themselves."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa

from lazward.storage import metrics, run_search, runs
from lazward.storage.db import Tx
from tests.storage.test_pipes import together
from tests.storage.tracking_data import KEY, make_run, make_workspaces, value

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
    def bad(tx: Tx) -> None:
        tx.last(ADD, ("bad",))
        raise ValueError

    first, second, third = await together(db, lambda tx: tx.last(ADD, ("a",)).fetchone(), bad, lambda tx: tx.last(ADD, ("b",)).fetchone())
    assert (first, third) == (("a",), ("b",)) and isinstance(second, ValueError)
    assert await db.read(keys) == ["a", "b"]


async def test_a_group_sends_all_before_it_reads_an_answer(db):
    order: list[str] = []

    def write(name: str):
        def send(tx: Tx) -> str:
            order.append(f"sends {name}")
            answer = tx.last(ADD, (name,))
            return tx.later(lambda: (order.append(f"reads {name}"), answer.fetchone()[0])[1])

        return send

    assert await together(db, write("a"), write("b")) == ["a", "b"]
    assert await db.write_small(write("c")) == "c"
    assert order == ["sends a", "sends b", "reads a", "reads b", "sends c", "reads c"]


async def test_what_is_wrong_with_one_is_told_to_that_one(db):
    """Of the calls that are one statement each: what they leave, and what their callers hear."""
    make_workspaces(db)
    make_run(db, "r1")
    found = await together(
        db, *(partial(metrics.log_one, key=KEY, id_="r1", metric=value("m", i, step=i)) for i in range(5)), partial(runs.log_param, key=KEY, id_="r1", name="p", value="1"),
        partial(runs.log_param, key=KEY, id_="r1", name="p", value="2"), partial(metrics.log_one, key=KEY, id_="nobody", metric=value("m", 1)), partial(runs.set_tag, key=KEY, id_="r1", name="t", value="v"),
        lambda tx: runs.create(tx, KEY, "r2", "0", "n", "me", 1.0, [], 1.0), lambda tx: runs.create(tx, KEY, "r1", "0", "other", "me", 7.0, [], 1.0),
    )
    assert found[:6] == [None] * 6 and found[8] is None and found[9][0].id == "r2"
    assert [getattr(each, "code", None) for each in found] == [None] * 6 + ["INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", None, None, "RESOURCE_ALREADY_EXISTS"]
    full = db.read_now(run_search.one, KEY, "r1")
    assert (full.metrics[0][4], full.params, dict(full.tags)["t"]) == (4, [("p", "1")], "v")


async def test_reads_are_snapshots_that_cannot_write(db):
    assert (await db.read(lambda tx: tx.raw("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')").fetchone())) == ("repeatable read", "on")
    with pytest.raises(sa.exc.InternalError):
        await db.read(lambda tx: tx.raw(ADD, ("a",)))
    await db.write(lambda tx: (tx.raw(ADD, ("b",)), None)[1])
    assert db.read_now(keys) == ["b"]
