"""Device codes and refresh tokens: rows by the keyed hash of the code, single use."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from lazward.storage.db import Tx
from lazward.storage.tables import grant_code as t


def put(tx: Tx, kind: str, hash_: str, principal: str | None, doc: dict[str, Any], expires: float, now: float) -> None:
    tx.execute(sa.delete(t).where(t.c.expires < now))
    tx.execute(sa.insert(t).values(hash=hash_, kind=kind, principal=principal, doc=doc, expires=expires))


def confirm_device(tx: Tx, user_code: str, principal: str, now: float) -> bool:
    """Ties an open device code to the principal that confirmed it. False when there is none."""
    for row in tx.execute(sa.select(t).where(t.c.kind == "device", t.c.principal.is_(None), t.c.expires >= now)):
        if row.doc.get("user_code") == user_code:
            tx.execute(sa.update(t).where(t.c.hash == row.hash).values(principal=principal))
            return True
    return False


def redeem_device(tx: Tx, hash_: str, now: float, interval: float) -> tuple[str, str | None]:
    """("ok", principal) once; else the OAuth error to answer."""
    row = tx.execute(sa.select(t).where(t.c.hash == hash_, t.c.kind == "device")).first()
    if row is None:
        return "invalid_grant", None
    if row.expires < now:
        return "expired_token", None
    if row.principal is None:
        too_fast = now - row.doc["polled"] < interval
        tx.execute(sa.update(t).where(t.c.hash == hash_).values(doc={**row.doc, "polled": now}))
        return ("slow_down" if too_fast else "authorization_pending"), None
    tx.execute(sa.delete(t).where(t.c.hash == hash_))
    return "ok", row.principal


def redeem_refresh(tx: Tx, hash_: str, now: float) -> str | None:
    """The principal of a refresh token, which is used up by this. One that comes twice was stolen: all of the principal's end."""
    row = tx.execute(sa.select(t).where(t.c.hash == hash_, t.c.kind.in_(("refresh", "refresh-used")))).first()
    if row is None or row.expires < now:
        return None
    if row.kind == "refresh-used":
        tx.execute(sa.delete(t).where(t.c.principal == row.principal, t.c.kind.in_(("refresh", "refresh-used"))))
        return None
    tx.execute(sa.update(t).where(t.c.hash == hash_).values(kind="refresh-used"))
    return row.principal
