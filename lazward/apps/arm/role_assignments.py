"""{scope}/providers/Microsoft.Authorization/roleAssignments."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from lazward.apps.arm.authorization_scope import scope_of, subscription_prefix
from lazward.apps.chain import Context, json_response
from lazward.contract.envelope import check_api_version, timestamp
from lazward.contract.errors import ArmError, bad_request, conflict, not_found, not_implemented
from lazward.contract.ids import parse
from lazward.domain import rbac
from lazward.domain.rbac import ROOT
from lazward.domain.rbac_roles import BUILT_IN
from lazward.storage import access, resources
from lazward.storage.access import Given
from lazward.storage.db import Tx

TYPE = "Microsoft.Authorization/roleAssignments"
# How Azure calls our kinds of principals in role assignments.
PRINCIPAL_TYPES = {"User": "User", "ServicePrincipal": "ServicePrincipal", "ManagedIdentity": "ServicePrincipal"}


async def every(ctx: Context) -> Response:
    """At and above the scope, and below it unless $filter says atScope()."""
    scope = scope_of(ctx)
    await ctx.require(f"{TYPE}/read", scope)
    check_api_version(ctx.query.get("api-version"))
    wanted = rbac.parse_filter(ctx.query.get("$filter"))
    below = None if wanted.at_scope else rbac.normal_scope(scope)
    found = await ctx.db.read(access.assignments_around, list(rbac.scopes_above(scope)), below, wanted.principal)
    return json_response({"value": [document(given) for given in found]})


async def get(ctx: Context) -> Response:
    scope = scope_of(ctx)
    await ctx.require(f"{TYPE}/read", scope)
    check_api_version(ctx.query.get("api-version"))
    given = await ctx.db.read(access.assignment, ctx.params["name"])
    if given is None or given.scope != rbac.normal_scope(scope):
        raise not_found(f"The role assignment '{ctx.params['name'][:80]}'", code="RoleAssignmentNotFound")
    return json_response(document(given))


async def put(ctx: Context) -> Response:
    """201 for a new one, 200 for the same again; what an assignment says about who, what and where never changes."""
    scope, name = scope_of(ctx), ctx.params["name"].lower()
    caller = await ctx.require(f"{TYPE}/write", scope)
    check_api_version(ctx.query.get("api-version"))
    if not rbac.is_guid(name):
        raise bad_request(f"The role assignment ID '{name[:80]}' is not valid. The role assignment ID must be a GUID.", "roleAssignmentName", "InvalidRoleAssignmentId")
    asked = _asked(await ctx.json())
    stamp = timestamp(ctx.now)

    def save(tx: Tx) -> tuple[Given, bool]:
        old = access.assignment(tx, name)
        facts = {"description": asked["description"], "updatedOn": stamp, "updatedBy": caller.id}
        if old is not None:
            if (old.scope, old.principal, old.role) != (rbac.normal_scope(scope), asked["principal"], asked["role"]):
                raise conflict("Tenant ID, application ID, principal ID, and scope are not allowed to be updated.", code="RoleAssignmentUpdateNotPermitted")
            if old.doc.get("description") != asked["description"]:
                access.change_assignment(tx, name, {**old.doc, **facts}, ctx.now, actor=caller.id)
            return access.assignment(tx, name) or old, True
        check_scope(tx, scope)
        check_role(tx, asked["role"], scope)
        kind = _check_principal(tx, asked["principal"], asked["principalType"])
        doc = {"scope": scope, "principalType": kind, "createdOn": stamp, "createdBy": caller.id, **facts}
        access.assign(tx, scope, asked["principal"], asked["role"], ctx.now, doc, name, actor=caller.id)
        ctx.services.authority.changed(tx)
        made = access.assignment(tx, name)
        assert made is not None
        return made, False

    given, existed = await ctx.db.write(save)
    return json_response(document(given), 200 if existed else 201)


async def delete(ctx: Context) -> Response:
    """200 and what it was, or 204 when there was none here."""
    scope, name = scope_of(ctx), ctx.params["name"].lower()
    caller = await ctx.require(f"{TYPE}/delete", scope)
    check_api_version(ctx.query.get("api-version"))

    def remove(tx: Tx) -> Given | None:
        given = access.assignment(tx, name)
        if given is None or given.scope != rbac.normal_scope(scope):
            return None
        access.unassign(tx, name, ctx.now, actor=caller.id)
        ctx.services.authority.changed(tx)
        return given

    given = await ctx.db.write(remove)
    return json_response(document(given)) if given else Response(status_code=204)


def document(given: Given) -> dict[str, Any]:
    scope = given.doc.get("scope") or given.scope
    facts = {name: given.doc.get(name) for name in ("description", "createdOn", "updatedOn", "createdBy", "updatedBy")}
    return {
        "id": f"{'' if scope == ROOT else scope}/providers/{TYPE}/{given.id}", "type": TYPE, "name": given.id,
        "properties": {
            "roleDefinitionId": f"{subscription_prefix(scope)}/providers/Microsoft.Authorization/roleDefinitions/{given.role}",
            "principalId": given.principal, "principalType": given.doc.get("principalType", "ServicePrincipal"), "scope": scope,
            "condition": None, "conditionVersion": None, "delegatedManagedIdentityResourceId": None, **facts,
        },
    }


def _asked(body: Any) -> dict[str, Any]:
    """role, principal, principalType and description of a request."""
    properties = body.get("properties") if isinstance(body, dict) else None
    if not isinstance(properties, dict):
        raise bad_request("The request needs 'properties' with roleDefinitionId and principalId.", "properties", "InvalidRequestContent")
    for name in ("roleDefinitionId", "principalId", "principalType", "description", "condition"):
        if not isinstance(properties.get(name), str | None):
            raise bad_request(f"{name} is a text.", f"properties.{name}", "InvalidRequestContent")
    if properties.get("condition"):
        # A condition narrows what is given: to store it without looking at it would give more than was asked for.
        raise not_implemented("A role assignment with a condition")
    role = (properties.get("roleDefinitionId") or "").rstrip("/").rpartition("/")[2].lower()
    if not rbac.is_guid(role):
        raise bad_request("roleDefinitionId is the id of a role definition, ending in its guid.", "properties.roleDefinitionId", "InvalidRoleDefinitionId")
    principal = (properties.get("principalId") or "").lower()
    if not rbac.is_guid(principal):
        raise bad_request("principalId is the object id (a guid) of a principal.", "properties.principalId", "InvalidPrincipalId")
    return {"role": role, "principal": principal, "principalType": properties.get("principalType"), "description": properties.get("description")}


def check_scope(tx: Tx, scope: str) -> None:
    """Raises ArmError 404 when the subscription or group of a scope is not there."""
    if scope == ROOT:
        return
    rid = parse(scope)
    if not resources.exists(tx, f"/subscriptions/{rid.subscription}"):
        raise not_found(f"The subscription '{rid.subscription}'", code="SubscriptionNotFound")
    if rid.group and not resources.exists(tx, f"/subscriptions/{rid.subscription}/resourcegroups/{rid.group}"):
        raise not_found(f"Resource group '{rid.group}'", code="ResourceGroupNotFound")


def check_role(tx: Tx, role_id: str, scope: str) -> None:
    """Raises ArmError 404 for an unknown role, 400 for one that cannot be given at that scope."""
    custom = {role.id: role for role, _ in access.custom_roles(tx)}
    role = BUILT_IN.get(role_id) or custom.get(role_id)
    if role is None:
        raise ArmError(404, "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{role_id}' does not exist.", "properties.roleDefinitionId")
    if not rbac.may_be_assigned(role, scope):
        raise bad_request(
            f"The role '{role.name}' can be assigned at {', '.join(role.assignable_scopes)[:300]}, not at '{scope[:200]}'.",
            "properties.roleDefinitionId", "RoleDefinitionNotAssignableAtScope",
        )


def _check_principal(tx: Tx, principal_id: str, kind: str | None) -> str:
    """The principalType to store."""
    found = access.by_client(tx, principal_id)
    if found is not None and found.id != principal_id:
        raise bad_request(
            f"'{principal_id}' is the client id of '{found.name}'; a role is assigned to its object id, '{found.id}'.", "properties.principalId", "PrincipalNotFound",
        )
    if found is None:
        # Somebody who names the type means an identity that is not (yet) in the directory, such as a workspace's own.
        if kind in ("User", "ServicePrincipal"):
            return kind
        raise bad_request(f"Principal {principal_id} does not exist in the directory.", "properties.principalId", "PrincipalNotFound")
    known = PRINCIPAL_TYPES[found.kind]
    if kind and kind != known:
        raise bad_request(f"The principal '{found.name}' is a {known}, not a {kind[:40]}.", "properties.principalType", "UnmatchedPrincipalType")
    return known
