from __future__ import annotations

import pytest
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag

from lazward.storage.db import Database
from lazward.storage.secrets import Vault
from lazward.storage.tables import secret as t

NOW = 1_800_000_000.0


@pytest.fixture
def vault() -> Vault:
    return Vault(b"m" * 32)


def raw(db: Database, name: str) -> bytes:
    return db.read_now(lambda tx: tx.execute(sa.select(t.c.value).where(t.c.name == name)).scalar_one())


def test_what_is_put_comes_back_and_the_last_one_counts(db: Database, vault: Vault):
    db.write_now(vault.put_json, "a", {"key": "opensesame"}, NOW)
    db.write_now(vault.put, "b", b"\0bytes", NOW)
    assert db.read_now(vault.get_json, "a") == {"key": "opensesame"} and db.read_now(vault.get, "b") == b"\0bytes"
    db.write_now(vault.put_json, "a", [1], NOW)
    assert db.read_now(vault.get_json, "a") == [1]
    db.write_now(vault.delete, "a")
    assert db.read_now(vault.get, "a") is None and db.read_now(vault.get_json, "a") is None


def test_s16_the_table_holds_no_plain_text_and_no_two_alike(db: Database, vault: Vault):
    db.write_now(vault.put, "a", b"opensesame", NOW)
    first = raw(db, "a")
    db.write_now(vault.put, "a", b"opensesame", NOW)
    assert b"opensesame" not in first and raw(db, "a") != first


def test_a_value_opens_under_its_own_name_and_key_only(db: Database, vault: Vault):
    db.write_now(vault.put, "a", b"opensesame", NOW)
    stolen = raw(db, "a")
    db.write_now(lambda tx: tx.execute(sa.insert(t).values(name="b", value=stolen, updated=NOW)))
    with pytest.raises(InvalidTag):
        db.read_now(vault.get, "b")
    with pytest.raises(InvalidTag):
        db.read_now(Vault(b"n" * 32).get, "a")


def test_names_by_prefix(db: Database, vault: Vault):
    for name in ("key:2", "key:1", "other", "kex:1", "key%:1"):
        db.write_now(vault.put, name, b"x", NOW)
    assert db.read_now(vault.names, "key:") == ["key:1", "key:2"]
    assert db.read_now(vault.names, "key%") == ["key%:1"]
