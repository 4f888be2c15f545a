"""Webhooks. Their secrets lie in the vault, under the workspace's key, and go with either."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import missing
from lazward.storage import experiments, seq_pages
from lazward.storage.db import Tx
from lazward.storage.genai_tables import webhook as t
from lazward.storage.secrets import Vault


class Webhook(msgspec.Struct):
    """events: "model_version.created", ... status: ACTIVE | DISABLED. Times are unix seconds."""

    seq: int
    id: str
    name: str
    url: str
    description: str | None
    events: list[str]
    status: str
    created: float
    updated: float


_COLUMNS = [t.c[name] for name in Webhook.__struct_fields__]
_ACTIVE = sa.select(t.c.id, t.c.events).where(t.c.workspace == sa.bindparam("workspace"), t.c.status == "ACTIVE").order_by(t.c.seq)


def create(
    tx: Tx, key: str, vault: Vault, name: str, url: str, events: list[str], description: str | None, secret: str, status: str, now: float,
) -> Webhook:
    experiments.workspace(tx, key)
    values = {
        "workspace": key, "id": str(uuid.uuid4()), "name": name, "url": url, "description": description, "events": events, "status": status,
        "created": now, "updated": now,
    }
    made = Webhook(*tx.execute(sa.insert(t).values(**values).returning(*_COLUMNS)).one())
    _keep(tx, key, vault, made.id, secret, now)
    return made


def get(tx: Tx, key: str, id_: str) -> Webhook:
    found = find(tx, key, id_)
    if found is None:
        experiments.workspace(tx, key)
        raise missing(f"Webhook with ID {id_[:100]} not found.")
    return found


def find(tx: Tx, key: str, id_: str) -> Webhook | None:
    row = tx.execute(sa.select(*_COLUMNS).where(t.c.workspace == key, t.c.id == id_)).first()
    return Webhook(*row) if row else None


def page(tx: Tx, key: str, limit: int, token: str | None) -> tuple[list[Webhook], str | None]:
    """Newest first."""
    experiments.workspace(tx, key)
    after = seq_pages.place(token)
    beyond = [] if after is None else [t.c.seq < after]
    found = [Webhook(*row) for row in tx.execute(sa.select(*_COLUMNS).where(t.c.workspace == key, *beyond).order_by(t.c.seq.desc()).limit(limit + 1))]
    return found[:limit], seq_pages.token(found[limit - 1].seq) if len(found) > limit else None


def update(tx: Tx, key: str, vault: Vault, id_: str, changes: dict[str, Any], secret: str | None, now: float) -> Webhook:
    """changes: columns; secret: None leaves it, "" removes it."""
    found = get(tx, key, id_)
    tx.execute(sa.update(t).where(t.c.seq == found.seq).values(**changes, updated=now))
    if secret is not None:
        _keep(tx, key, vault, id_, secret, now)
    return get(tx, key, id_)


def delete(tx: Tx, key: str, vault: Vault, id_: str) -> None:
    found = get(tx, key, id_)
    tx.execute(sa.delete(t).where(t.c.seq == found.seq))
    vault.delete(tx, _secret(key, id_))


def listening(tx: Tx, key: str, event: str) -> list[str]:
    """Ids of the active webhooks that want to be told of the event."""
    return [row.id for row in tx.execute(_ACTIVE, {"workspace": key}) if event in row.events]


def secret_of(tx: Tx, key: str, vault: Vault, id_: str) -> str | None:
    found = vault.get(tx, _secret(key, id_))
    return None if found is None else found.decode()


def _secret(key: str, id_: str) -> str:
    return f"webhook:{key}/webhooks/{id_}"


def _keep(tx: Tx, key: str, vault: Vault, id_: str, secret: str, now: float) -> None:
    if secret:
        vault.put(tx, _secret(key, id_), secret.encode(), now)
    else:
        vault.delete(tx, _secret(key, id_))
