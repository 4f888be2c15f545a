from __future__ import annotations

import pytest

from lazward.orchestration import signing
from lazward.storage.db import Database
from lazward.storage.secrets import Vault

NOW, DAY = 1_800_000_000.25, 86400.0


@pytest.fixture
def vault() -> Vault:
    return Vault(b"m" * 32)


def kids(db: Database, vault: Vault) -> list[str]:
    found = db.read_now(lambda tx: signing.load(tx, vault, signing.names(tx, vault)))
    return [str(key.kid) for key in found.keys] if found else []


def test_the_newest_signs(db: Database, vault: Vault):
    assert kids(db, vault) == []
    first = db.write_now(signing.rotate, vault, NOW)
    second = db.write_now(signing.rotate, vault, NOW + 10)
    assert kids(db, vault) == [second, first]
    assert [signing.made_at(name) for name in db.read_now(signing.names, vault)] == [NOW + 10, NOW]


def test_a_key_that_leaked_goes_at_once(db: Database, vault: Vault):
    db.write_now(signing.rotate, vault, NOW)
    new = db.write_now(signing.rotate, vault, NOW + 1, revoke_old=True)
    assert kids(db, vault) == [new]


def test_upkeep_replaces_by_age_and_removes_what_nothing_was_signed_by(db: Database, vault: Vault):
    first = db.write_now(signing.rotate, vault, NOW)

    def upkeep(day: float) -> tuple[bool, list[str]]:
        now = NOW + day * DAY
        due = signing.is_due(db.read_now(signing.names, vault), now, 90 * DAY, 30 * DAY)
        db.write_now(signing.keep_up, vault, now, 90 * DAY, 30 * DAY)
        return due, kids(db, vault)

    assert upkeep(89) == (False, [first])
    due, found = upkeep(91)
    assert due and len(found) == 2 and found[1] == first
    assert upkeep(92) == (False, found)  # not one for each process that looks
    assert upkeep(120.9) == (False, found)  # a token of thirty days, signed by the old key on day 91, still lives
    assert upkeep(122) == (True, found[:1])
    assert upkeep(123) == (False, found[:1])


def test_nothing_is_due_before_the_first_start():
    assert not signing.is_due((), NOW, 1, 1)
