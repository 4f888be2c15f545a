"""Queries over principals and role assignments."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.domain.rbac import Assignment, Role
from lazward.storage.db import Tx
from lazward.storage.tables import principal, role_assignment, role_definition


class Principal(msgspec.Struct, frozen=True):
    id: str
    app_id: str | None
    name: str
    kind: str
    secret_hash: str | None
    enabled: bool


_PRINCIPAL = [principal.c[name] for name in Principal.__struct_fields__]


def create_principal(tx: Tx, name: str, kind: str, secret_hash: str | None, now: float) -> Principal:
    made = Principal(str(uuid.uuid4()), str(uuid.uuid4()) if kind != "User" else None, name, kind, secret_hash, True)
    tx.execute(sa.insert(principal).values(**msgspec.structs.asdict(made), created=now))
    return made


def by_client(tx: Tx, client_id: str) -> Principal | None:
    found = tx.execute(sa.select(*_PRINCIPAL).where(sa.or_(principal.c.app_id == client_id, principal.c.id == client_id))).first()
    return Principal(*found) if found else None


def by_secret(tx: Tx, secret_hash: str) -> Principal | None:
    found = tx.execute(sa.select(*_PRINCIPAL).where(principal.c.secret_hash == secret_hash)).first()
    return Principal(*found) if found else None


def principals(tx: Tx) -> list[Principal]:
    return [Principal(*found) for found in tx.execute(sa.select(*_PRINCIPAL).order_by(principal.c.created))]


def disabled(tx: Tx) -> set[str]:
    return set(tx.execute(sa.select(principal.c.id).where(principal.c.enabled.is_(False))).scalars())


def set_enabled(tx: Tx, principal_id: str, enabled: bool) -> None:
    tx.execute(sa.update(principal).where(principal.c.id == principal_id).values(enabled=enabled))


def assign(tx: Tx, scope: str, principal_id: str, role_id: str, now: float, doc: dict[str, Any] | None = None, assignment_id: str | None = None) -> Assignment:
    made = Assignment(assignment_id or str(uuid.uuid4()), scope.lower().rstrip("/") or "/", principal_id, role_id)
    tx.execute(sa.insert(role_assignment).values(**msgspec.structs.asdict(made), doc=doc or {}, created=now))
    return made


def unassign(tx: Tx, assignment_id: str) -> None:
    tx.execute(sa.delete(role_assignment).where(role_assignment.c.id == assignment_id))


def assignments(tx: Tx) -> list[Assignment]:
    t = role_assignment
    return [Assignment(*found) for found in tx.execute(sa.select(t.c.id, t.c.scope, t.c.principal, t.c.role).order_by(t.c.created))]


def assignment_doc(tx: Tx, assignment_id: str) -> dict[str, Any] | None:
    return tx.execute(sa.select(role_assignment.c.doc).where(role_assignment.c.id == assignment_id)).scalar_one_or_none()


def custom_roles(tx: Tx) -> list[tuple[Role, dict[str, Any]]]:
    return [(_role(found.id, found.doc), found.doc) for found in tx.execute(sa.select(role_definition.c.id, role_definition.c.doc))]


def put_role(tx: Tx, role_id: str, name: str, doc: dict[str, Any]) -> bool:
    """True when it was there already."""
    values = {"name": name, "doc": doc}
    if tx.execute(sa.update(role_definition).where(role_definition.c.id == role_id).values(**values)).rowcount:
        return True
    tx.execute(sa.insert(role_definition).values(id=role_id, **values))
    return False


def delete_role(tx: Tx, role_id: str) -> None:
    tx.execute(sa.delete(role_definition).where(role_definition.c.id == role_id))


def _role(role_id: str, doc: dict[str, Any]) -> Role:
    granted = doc.get("permissions") or [{}]

    def every(name: str) -> tuple[str, ...]:
        return tuple(a for p in granted for a in p.get(name) or ())

    return Role(role_id, doc.get("roleName", ""), doc.get("description") or "", every("actions"), every("notActions"), every("dataActions"), every("notDataActions"), True)
