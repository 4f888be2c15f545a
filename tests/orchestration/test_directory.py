from __future__ import annotations

import asyncio

import pytest

from lazward.domain.rbac_roles import READER
from lazward.orchestration import directory, signing
from lazward.orchestration.directory import Directory
from lazward.storage import access
from lazward.storage.db import Database
from lazward.storage.secrets import Vault

NOW = 1_800_000_000.0


class Ticks:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


@pytest.fixture
def held(db: Database, clock: Ticks) -> Directory:
    return Directory(db, Vault(b"m" * 32), clock)


def grant(db: Database) -> str:
    made = db.write_now(access.create_principal, "p", "User", None, NOW)
    db.write_now(access.assign, "/", made.id, READER, NOW)
    return made.id


async def test_a_change_of_another_process_is_seen_within_a_second(db: Database, clock: Ticks, held: Directory):
    before = await held.fresh()
    who = grant(db)
    assert (await held.fresh()) is before
    clock.at += directory.STALE_S
    assert (await held.fresh()).allowed(who, "a/read", "/x")


async def test_nothing_is_built_anew_while_nothing_changes(db: Database, clock: Ticks, held: Directory):
    grant(db)
    before = await held.fresh()
    before.allowed("x", "a/read", "/", False)
    clock.at += 100
    assert (await held.fresh()) is before


async def test_a_change_of_our_own_is_seen_at_once(db: Database, held: Directory):
    await held.fresh()
    who = grant(db)
    held.forget()
    assert (await held.fresh()).allowed(who, "a/read", "/x")


async def test_a_read_that_was_overtaken_is_not_kept(db: Database, held: Directory, monkeypatch: pytest.MonkeyPatch):
    """It began before our commit and ends after it."""
    began, go_on = asyncio.Event(), asyncio.Event()
    real = db.read

    async def slow(fn, *args):
        result = await real(fn, *args)
        began.set()
        await go_on.wait()
        return result

    monkeypatch.setattr(db, "read", slow)
    reading = asyncio.create_task(held.read())
    await began.wait()
    monkeypatch.setattr(db, "read", real)
    who = grant(db)
    held.forget()
    go_on.set()
    assert not (await reading).allowed(who, "a/read", "/", False)
    assert (await held.fresh()).allowed(who, "a/read", "/", False)


async def test_new_signing_keys_are_seen_and_decisions_kept(db: Database, clock: Ticks, held: Directory):
    who = grant(db)
    before = await held.fresh()
    assert before.keys is None and before.allowed(who, "a/read", "/", False)
    kid = db.write_now(signing.rotate, held.vault, NOW)
    clock.at += 1
    after = await held.fresh()
    assert after.keys is not None and after.keys.newest.kid == kid and after.decisions is before.decisions


async def test_an_assignment_of_a_role_that_is_gone_grants_nothing(db: Database, held: Directory):
    made = db.write_now(access.create_principal, "p", "User", None, NOW)
    db.write_now(access.assign, "/", made.id, "00000000-0000-0000-0000-00000000dead", NOW)
    assert not (await held.fresh()).allowed(made.id, "a/read", "/")


async def test_who_is_disabled_or_gone_may_nothing(db: Database, held: Directory):
    """Signatures that somebody made while they were there are checked by their rights of today."""
    who = grant(db)
    db.write_now(access.assign, "/", "ghost", READER, NOW)
    assert (await held.fresh()).allowed(who, "a/read", "/")
    db.write_now(access.set_enabled, who, False, NOW)
    held.forget()
    state = await held.fresh()
    assert not state.allowed(who, "a/read", "/") and not state.allowed("ghost", "a/read", "/")


async def test_decisions_do_not_grow_without_bound(db: Database, held: Directory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(directory, "DECISIONS_MAX", 3)
    state = await held.fresh()
    for i in range(20):
        state.allowed("p", f"a{i}/read", "/", False)
        assert len(state.decisions) <= 3
