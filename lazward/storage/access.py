"""Queries over principals, role assignments and role definitions.

Every change leaves an event with the subject ACCESS: that is its audit, and how other processes notice that what they hold of
these tables in memory is old (`version`).
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.errors import ArmError, conflict, not_found
from lazward.domain.rbac import ROOT, Assignment, Permission, Role, normal_scope
from lazward.domain.rbac_roles import OWNER
from lazward.domain.tracking.status import JOB_OVER, TERMINAL
from lazward.storage import grants
from lazward.storage.db import Tx
from lazward.storage.tables import event, principal, resource, role_assignment, role_definition, run

ACCESS = "access"
KINDS = ("User", "ServicePrincipal", "ManagedIdentity")


class Principal(msgspec.Struct, frozen=True):
    id: str
    app_id: str | None
    name: str
    kind: str
    secret_hash: str | None
    enabled: bool


_PRINCIPAL = [principal.c[name] for name in Principal.__struct_fields__]


# ---- principals ------------------------------------------------------------------------------------------------------------


def create_principal(tx: Tx, name: str, kind: str, secret_hash: str | None, now: float, *, actor: str = "lazward") -> Principal:
    """kind: one of KINDS. The ids are random. ArmError 400 for a name or kind that cannot be."""
    if kind not in KINDS:
        raise ArmError(400, "InvalidPrincipal", f"The kind of a principal is one of {', '.join(KINDS)}, not '{kind[:40]}'.", "kind")
    if not name.strip() or len(name) > 256 or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise ArmError(400, "InvalidPrincipal", "The name of a principal has 1 to 256 printable characters.", "name")
    made = Principal(str(uuid.uuid4()), str(uuid.uuid4()) if kind != "User" else None, name, kind, secret_hash, True)
    tx.execute(sa.insert(principal).values(**msgspec.structs.asdict(made), created=now))
    _note(tx, actor, "principal.create", now, {"principal": made.id, "name": name, "kind": kind})
    return made


def by_client(tx: Tx, client_id: str) -> Principal | None:
    """By client id or object id."""
    found = tx.execute(sa.select(*_PRINCIPAL).where(sa.or_(principal.c.app_id == client_id, principal.c.id == client_id))).first()
    return Principal(*found) if found else None


def by_secret(tx: Tx, secret_hash: str) -> Principal | None:
    found = tx.execute(sa.select(*_PRINCIPAL).where(principal.c.secret_hash == secret_hash)).first()
    return Principal(*found) if found else None


def principals(tx: Tx) -> list[Principal]:
    return [Principal(*found) for found in tx.execute(sa.select(*_PRINCIPAL).order_by(principal.c.created, principal.c.id))]


def set_enabled(tx: Tx, principal_id: str, enabled: bool, now: float, *, actor: str = "lazward") -> None:
    """404 for an unknown principal; 409 when nobody who owns everything would be left."""
    if not enabled:
        _keep_an_owner(tx, without_principal=principal_id)
    if tx.execute(sa.update(principal).where(principal.c.id == principal_id).values(enabled=enabled)).rowcount == 0:
        raise not_found(f"The principal '{principal_id}'", code="PrincipalNotFound")
    if not enabled:
        grants.drop_all_of(tx, principal_id)
    _note(tx, actor, "principal.enable" if enabled else "principal.disable", now, {"principal": principal_id})


def delete_principal(tx: Tx, principal_id: str, now: float, *, actor: str = "lazward") -> None:
    """With its sign-ins and role assignments. 404 for an unknown principal; 409 when nobody who owns everything would be left."""
    _keep_an_owner(tx, without_principal=principal_id)
    if tx.execute(sa.delete(principal).where(principal.c.id == principal_id)).rowcount == 0:
        raise not_found(f"The principal '{principal_id}'", code="PrincipalNotFound")
    grants.drop_all_of(tx, principal_id)
    tx.execute(sa.delete(role_assignment).where(role_assignment.c.principal == principal_id))
    _note(tx, actor, "principal.delete", now, {"principal": principal_id})


def set_secret(tx: Tx, principal_id: str, secret_hash: str, now: float, *, actor: str = "lazward") -> None:
    """Replaces the secret. The old one is worth nothing from here on, nor are the sign-ins made with it. 404 for an unknown principal."""
    if tx.execute(sa.update(principal).where(principal.c.id == principal_id).values(secret_hash=secret_hash)).rowcount == 0:
        raise not_found(f"The principal '{principal_id}'", code="PrincipalNotFound")
    grants.drop_all_of(tx, principal_id)
    _note(tx, actor, "principal.secret", now, {"principal": principal_id})


# ---- assignments -----------------------------------------------------------------------------------------------------------


class Given(msgspec.Struct, frozen=True):
    """An assignment as stored. `doc` holds what only clients read: scope as written, principalType, description, who and when."""

    id: str
    scope: str
    principal: str
    role: str
    doc: dict[str, Any]


_GIVEN = [role_assignment.c[name] for name in Given.__struct_fields__]


def assign(
    tx: Tx, scope: str, principal_id: str, role_id: str, now: float, doc: dict[str, Any] | None = None, assignment_id: str | None = None,
    *, actor: str = "lazward",
) -> Assignment:
    """409 RoleAssignmentExists when the principal has that role at that scope already."""
    made = Assignment((assignment_id or str(uuid.uuid4())).lower(), normal_scope(scope), principal_id.lower(), role_id.lower())
    t = role_assignment
    same = sa.select(t.c.id).where(t.c.scope == made.scope, t.c.principal == made.principal, t.c.role == made.role)
    if (other := tx.execute(same).scalar()) is not None:
        raise conflict(f"The role assignment already exists. The ID of the existing role assignment is {other.replace('-', '')}.", code="RoleAssignmentExists")
    tx.execute(sa.insert(t).values(**msgspec.structs.asdict(made), doc=doc or {}, created=now))
    _note(tx, actor, "assignment.create", now, {"assignment": made.id, "scope": made.scope, "principal": made.principal, "role": made.role})
    return made


def change_assignment(tx: Tx, assignment_id: str, doc: dict[str, Any], now: float, *, actor: str = "lazward") -> None:
    tx.execute(sa.update(role_assignment).where(role_assignment.c.id == assignment_id).values(doc=doc))
    _note(tx, actor, "assignment.change", now, {"assignment": assignment_id})


def unassign(tx: Tx, assignment_id: str, now: float, *, actor: str = "lazward") -> None:
    """409 when nobody who owns everything would be left."""
    _keep_an_owner(tx, without_assignment=assignment_id)
    if tx.execute(sa.delete(role_assignment).where(role_assignment.c.id == assignment_id)).rowcount:
        _note(tx, actor, "assignment.delete", now, {"assignment": assignment_id})


def unassign_below(tx: Tx, scope: str, now: float, *, actor: str = "lazward") -> bool:
    """Ends the assignments at a resource that is gone and at what lay below it; whether there were any. Not for "/"."""
    at, t = normal_scope(scope), role_assignment
    if at == ROOT:
        raise ValueError("everything is never gone")
    gone = tx.execute(sa.delete(t).where(sa.or_(t.c.scope == at, t.c.scope.startswith(at + "/", autoescape=True)))).rowcount > 0
    if gone:
        _note(tx, actor, "assignment.delete", now, {"scope": at, "why": "the resource is gone"})
    return gone


def assignments(tx: Tx) -> list[Assignment]:
    t = role_assignment
    return [Assignment(*found) for found in tx.execute(sa.select(t.c.id, t.c.scope, t.c.principal, t.c.role).order_by(t.c.created, t.c.id))]


def assignment(tx: Tx, assignment_id: str) -> Given | None:
    found = tx.execute(sa.select(*_GIVEN).where(role_assignment.c.id == assignment_id.lower())).first()
    return Given(*found) if found else None


def assignments_around(tx: Tx, above: list[str], below: str | None, principal_id: str | None) -> list[Given]:
    """Those at one of the scopes `above`, and, with `below`, those inside that scope; of one principal if it is given."""
    t = role_assignment
    where = t.c.scope.in_(above)
    if below is not None:
        where = sa.true() if below == ROOT else sa.or_(where, t.c.scope.startswith(below + "/", autoescape=True))
    query = sa.select(*_GIVEN).where(where)
    if principal_id is not None:
        query = query.where(t.c.principal == principal_id.lower())
    return [Given(*found) for found in tx.execute(query.order_by(t.c.created, t.c.id))]


def _keep_an_owner(tx: Tx, *, without_assignment: str = "", without_principal: str = "") -> None:
    t = role_assignment
    owners = tx.execute(
        sa.select(t.c.id, t.c.principal).join(principal, principal.c.id == t.c.principal)
        .where(t.c.scope == ROOT, t.c.role == OWNER, principal.c.enabled)
    ).all()
    left = [o for o in owners if o.id != without_assignment and o.principal != without_principal]
    if owners and not left:
        raise conflict("This would leave nobody who owns everything ('Owner' at scope '/'). Give that role to another principal first.", code="LastOwnerCannotBeRemoved")


# ---- custom roles ----------------------------------------------------------------------------------------------------------


def custom_roles(tx: Tx) -> list[tuple[Role, dict[str, Any]]]:
    """(role, document) of each; the document is the `properties` that clients read."""
    t = role_definition
    return [(_role(found.id, found.doc), found.doc) for found in tx.execute(sa.select(t.c.id, t.c.doc).order_by(t.c.name))]


def put_role(tx: Tx, role_id: str, name: str, doc: dict[str, Any], now: float, *, actor: str = "lazward") -> bool:
    """True when it was there already. 409 when another role has the name (without regard to case)."""
    t = role_definition
    if tx.execute(sa.select(t.c.id).where(t.c.name == name.lower(), t.c.id != role_id)).first():
        raise conflict(f"A role with the name '{name}' exists already.", "properties.roleName", "RoleDefinitionWithSameNameExists")
    values = {"name": name.lower(), "doc": doc}
    existed = tx.execute(sa.update(t).where(t.c.id == role_id).values(**values)).rowcount > 0
    if not existed:
        tx.execute(sa.insert(t).values(id=role_id, **values))
    _note(tx, actor, "role.change" if existed else "role.create", now, {"role": role_id, "name": name})
    return existed


def delete_role(tx: Tx, role_id: str, now: float, *, actor: str = "lazward") -> None:
    """400 while somebody has the role."""
    if tx.execute(sa.select(role_assignment.c.id).where(role_assignment.c.role == role_id)).first():
        raise ArmError(400, "RoleDefinitionHasAssignments", "There are assignments of this role. Delete them first.", "roleDefinitionId")
    tx.execute(sa.delete(role_definition).where(role_definition.c.id == role_id))
    _note(tx, actor, "role.delete", now, {"role": role_id})


def _role(role_id: str, doc: dict[str, Any]) -> Role:
    permissions = msgspec.convert(doc.get("permissions") or [], tuple[Permission, ...])
    return Role(role_id, doc.get("roleName", ""), doc.get("description") or "", permissions, True, tuple(doc.get("assignableScopes") or ()))


# ---- what other processes hold in memory -----------------------------------------------------------------------------------


def version(tx: Tx) -> tuple[int, int]:
    """Differs from what it was before after any change of the tables above. Both numbers are needed: PostgreSQL can commit a
    smaller seq after a larger one."""
    numbers = sa.func.count(event.c.seq).label("changes"), sa.func.coalesce(sa.func.max(event.c.seq), 0).label("newest")
    found = tx.execute(sa.select(*numbers).where(event.c.subject == ACCESS)).one()
    return found.changes, found.newest


def _note(tx: Tx, actor: str, action: str, now: float, detail: dict[str, Any]) -> None:
    tx.execute(sa.insert(event).values(at=now, actor=actor, action=f"access.{action}", subject=ACCESS, correlation=None, detail=detail))


# ---- runs ------------------------------------------------------------------------------------------------------------------


def run_is_over(tx: Tx, workspace: str, run_id: str) -> bool:
    """Whether a run has ended or is gone, so that its tokens end too. For a run of a job the job's own status counts: user code
    may end the MLflow run long before the job has stored its outputs."""
    job = sa.select(resource.c.doc["properties"]["status"].as_string()).where(resource.c.key == f"{workspace}/jobs/{run_id}".lower())
    found = tx.execute(job).first()
    if found is not None:
        return found[0] in JOB_OVER
    status = tx.execute(sa.select(run.c.status).where(run.c.workspace == workspace.lower(), run.c.id == run_id)).scalar()
    return status is None or status in TERMINAL
