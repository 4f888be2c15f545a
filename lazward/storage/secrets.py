"""Secrets at rest: encrypted with the data dir's master key (AES-256-GCM), bound to their name, never in a document or a log."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lazward.storage.db import Tx
from lazward.storage.tables import secret as t

OF_RESOURCES = ("datastore", "connection", "endpoint", "webhook")  # KIND:KEY are the names of what belongs to a resource


def forget(tx: Tx, key: str) -> None:
    """The secrets of a resource that is gone, and of what lay below it. key: its id, in lower case or not."""
    names = [f"{kind}:{key.lower()}" for kind in OF_RESOURCES]
    tx.execute(sa.delete(t).where(sa.or_(t.c.name.in_(names), *(t.c.name.startswith(name + "/", autoescape=True) for name in names))))


class Vault:
    """master_key: 32 random bytes, kept outside of the database."""

    def __init__(self, master_key: bytes):
        key = HKDF(hashes.SHA256(), 32, None, b"lazward secrets at rest").derive(master_key)
        self._cipher = AESGCM(key)

    def put(self, tx: Tx, name: str, value: bytes, now: float) -> None:
        nonce = os.urandom(12)
        sealed = nonce + self._cipher.encrypt(nonce, value, name.encode())
        if tx.execute(sa.update(t).where(t.c.name == name).values(value=sealed, updated=now)).rowcount == 0:
            tx.execute(sa.insert(t).values(name=name, value=sealed, updated=now))

    def get(self, tx: Tx, name: str) -> bytes | None:
        sealed = tx.execute(sa.select(t.c.value).where(t.c.name == name)).scalar_one_or_none()
        return None if sealed is None else self._cipher.decrypt(sealed[:12], sealed[12:], name.encode())

    def delete(self, tx: Tx, name: str) -> None:
        tx.execute(sa.delete(t).where(t.c.name == name))

    def names(self, tx: Tx, prefix: str) -> list[str]:
        return list(tx.execute(sa.select(t.c.name).where(t.c.name.startswith(prefix, autoescape=True)).order_by(t.c.name)).scalars())

    def put_json(self, tx: Tx, name: str, value: Any, now: float) -> None:
        self.put(tx, name, msgspec.json.encode(value), now)

    def get_json(self, tx: Tx, name: str) -> Any:
        raw = self.get(tx, name)
        return None if raw is None else msgspec.json.decode(raw)
