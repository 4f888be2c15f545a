"""Device codes, authorisation codes and refresh tokens: rows by the keyed hash of the code, single use.

Functions return what happened instead of raising, for an exception would roll back what they have written.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from lazward.storage.db import Tx
from lazward.storage.tables import grant_code as t

DEVICE, USER_CODE, CODE, REFRESH = "device", "user-code", "code", "refresh"
MAX_OPEN = 2000  # device codes that nobody has confirmed yet, so that strangers cannot fill the table
REUSE_GRACE_S = 60.0  # several processes of one user share a token cache and may refresh at the same moment
REUSE_KEPT_S = 7 * 86400.0

DeviceState = Literal["ok", "authorization_pending", "slow_down", "expired_token", "authorization_declined", "invalid_grant"]


class Grant(msgspec.Struct, frozen=True):
    hash: str
    kind: str
    principal: str | None
    doc: dict[str, Any]
    expires: float


def _get(tx: Tx, kind: str, hash_: str) -> Grant | None:
    found = tx.execute(sa.select(t.c.hash, t.c.kind, t.c.principal, t.c.doc, t.c.expires).where(t.c.hash == hash_, t.c.kind == kind)).first()
    return Grant(*found) if found else None


def _put(tx: Tx, kind: str, hash_: str, principal: str | None, doc: dict[str, Any], expires: float) -> None:
    tx.execute(sa.insert(t).values(hash=hash_, kind=kind, principal=principal, doc=doc, expires=expires))


def _drop(tx: Tx, *hashes: str) -> None:
    tx.execute(sa.delete(t).where(t.c.hash.in_(hashes)))


# ---- device codes ----------------------------------------------------------------------------------------------------------


def open_device(tx: Tx, hash_: str, user_hash: str, doc: dict[str, Any], expires: float, now: float) -> bool:
    """doc: client_id and what the page shows. False when too many are open."""
    tx.execute(sa.delete(t).where(t.c.expires < now))
    if tx.execute(sa.select(sa.func.count()).where(t.c.kind == USER_CODE)).scalar_one() >= MAX_OPEN:
        return False
    _put(tx, DEVICE, hash_, None, {**doc, "polled": 0.0}, expires)
    _put(tx, USER_CODE, user_hash, None, {"device": hash_}, expires)
    return True


def device_of(tx: Tx, user_hash: str, now: float) -> dict[str, Any] | None:
    """The doc of an open device code, by what a person types."""
    row = _get(tx, USER_CODE, user_hash)
    device = _get(tx, DEVICE, row.doc["device"]) if row and row.expires >= now else None
    return device.doc if device and device.principal is None else None


def decide_device(tx: Tx, user_hash: str, principal: str, approve: bool, now: float) -> bool:
    """Ties an open device code to the principal that confirmed it, or marks it as declined. False when there is none."""
    row = _get(tx, USER_CODE, user_hash)
    device = _get(tx, DEVICE, row.doc["device"]) if row and row.expires >= now else None
    if device is None or device.principal is not None:
        return False
    doc = device.doc if approve else {**device.doc, "declined": True}
    tx.execute(sa.update(t).where(t.c.hash == device.hash).values(principal=principal, doc=doc))
    _drop(tx, user_hash)
    return True


def redeem_device(tx: Tx, hash_: str, client_id: str, now: float, interval: float) -> tuple[DeviceState, str | None]:
    """("ok", principal) once; else the OAuth error to answer."""
    row = _get(tx, DEVICE, hash_)
    if row is None or row.doc["client_id"] != client_id:
        return "invalid_grant", None
    if row.expires < now:
        return "expired_token", None
    if row.principal is None:
        if now - row.doc["polled"] < interval:
            return "slow_down", None
        tx.execute(sa.update(t).where(t.c.hash == hash_).values(doc={**row.doc, "polled": now}))
        return "authorization_pending", None
    _drop(tx, hash_)
    return ("authorization_declined", None) if row.doc.get("declined") else ("ok", row.principal)


# ---- authorisation codes ---------------------------------------------------------------------------------------------------


def put_code(tx: Tx, hash_: str, principal: str, doc: dict[str, Any], expires: float, now: float) -> None:
    tx.execute(sa.delete(t).where(t.c.expires < now))
    _put(tx, CODE, hash_, principal, doc, expires)


def redeem_code(tx: Tx, hash_: str, now: float) -> Grant | None:
    """The grant of an authorisation code, which is used up by this, whatever the caller then finds wrong with the request."""
    row = _get(tx, CODE, hash_)
    if row is None:
        return None
    _drop(tx, hash_)
    return row if row.expires >= now else None


# ---- refresh tokens --------------------------------------------------------------------------------------------------------


def put_refresh(tx: Tx, hash_: str, principal: str, client_id: str, family: str, expires: float) -> None:
    """family: the sign-in that the token goes back to."""
    _put(tx, REFRESH, hash_, principal, {"client_id": client_id, "family": family, "used": None}, expires)


def rotate_refresh(tx: Tx, old: str, client_id: str, new: str, expires: float, now: float) -> str | None:
    """Replaces a refresh token by the next of its family; the principal, or None. One that comes again a while after it was used
    was stolen: its whole family ends, whoever has the newest."""
    row = _get(tx, REFRESH, old)
    if row is None or row.expires < now or row.principal is None or row.doc["client_id"] != client_id:
        return None
    used = row.doc["used"]
    if used is not None and now - used > REUSE_GRACE_S:
        of_principal = tx.execute(sa.select(t.c.hash, t.c.doc).where(t.c.kind == REFRESH, t.c.principal == row.principal)).all()
        _drop(tx, *(r.hash for r in of_principal if r.doc["family"] == row.doc["family"]))
        return None
    if used is None:
        kept = min(row.expires, now + REUSE_KEPT_S)
        tx.execute(sa.update(t).where(t.c.hash == old).values(doc={**row.doc, "used": now}, expires=kept))
    put_refresh(tx, new, row.principal, client_id, row.doc["family"], expires)
    return row.principal


def drop_all_of(tx: Tx, principal: str) -> None:
    """Ends every sign-in of a principal."""
    tx.execute(sa.delete(t).where(t.c.principal == principal))
