"""{scope}/providers/Microsoft.Authorization/roleDefinitions: the built-in roles, and custom ones."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from lazward.apps.arm.authorization_scope import scope_of, subscription_prefix
from lazward.apps.chain import Context, json_response
from lazward.contract.envelope import check_api_version, timestamp
from lazward.contract.errors import ArmError, bad_request, conflict, not_found
from lazward.domain import rbac
from lazward.domain.rbac import Role
from lazward.domain.rbac_roles import BUILT_IN
from lazward.storage import access
from lazward.storage.db import Tx

TYPE = "Microsoft.Authorization/roleDefinitions"
Facts = dict[str, Any]  # createdOn, createdBy, updatedOn, updatedBy of a custom role


async def every(ctx: Context) -> Response:
    """The built-in roles and the custom ones that can be assigned at the scope, or below it unless $filter says atScope()."""
    scope = scope_of(ctx)
    await ctx.require(f"{TYPE}/read", scope)
    check_api_version(ctx.query.get("api-version"))
    wanted = rbac.parse_filter(ctx.query.get("$filter"))
    known: list[tuple[Role, Facts]] = [(role, {}) for role in BUILT_IN.values()] + await ctx.db.read(access.custom_roles)
    return json_response({"value": [document(role, facts, scope) for role, facts in known if _fits(role, scope, wanted)]})


def _fits(role: Role, scope: str, wanted: rbac.ListFilter) -> bool:
    if wanted.role_name is not None and role.name.lower() != wanted.role_name.lower():
        return False
    if wanted.kind is not None and wanted.kind.lower() != _kind(role).lower():
        return False
    return rbac.may_be_assigned(role, scope) or (not wanted.at_scope and any(rbac.within(bound, scope) for bound in role.assignable_scopes))


async def get(ctx: Context) -> Response:
    scope = scope_of(ctx)
    await ctx.require(f"{TYPE}/read", scope)
    check_api_version(ctx.query.get("api-version"))
    role, facts = await ctx.db.read(_find, ctx.params["name"].lower())
    if role is None or not _fits(role, scope, rbac.ListFilter()):
        raise not_found(f"The role definition '{ctx.params['name'][:80]}'", code="RoleDefinitionDoesNotExist")
    return json_response(document(role, facts, scope))


async def put(ctx: Context) -> Response:
    """Writes a custom role. The caller must have the right at every scope the role can be assigned at, before and after."""
    scope, role_id = scope_of(ctx), ctx.params["name"].lower()
    caller = await ctx.require(f"{TYPE}/write", scope)
    check_api_version(ctx.query.get("api-version"))
    if not rbac.is_guid(role_id):
        raise bad_request(f"The role definition ID '{role_id[:80]}' is not valid. It must be a GUID.", "roleDefinitionId", "InvalidRoleDefinitionId")
    _refuse_built_in(role_id)
    body = await ctx.json()
    role = rbac.custom_role(role_id, body.get("properties") if isinstance(body, dict) else None)
    before, _ = await ctx.db.read(_find, role_id)
    for bound in {*role.assignable_scopes, *(before.assignable_scopes if before else ())}:
        await ctx.require(f"{TYPE}/write", bound)
    if role.name.lower() in {known.name.lower() for known in BUILT_IN.values()}:
        raise conflict(f"A built-in role has the name '{role.name}'.", "properties.roleName", "RoleDefinitionWithSameNameExists")
    stamp = timestamp(ctx.now)

    def save(tx: Tx) -> Facts:
        old, facts = _find(tx, role_id)
        if (old.assignable_scopes if old else ()) != (before.assignable_scopes if before else ()):
            raise conflict("The role was changed by somebody else at the same moment.", code="RoleDefinitionUpdateConflict")
        doc = {
            "roleName": role.name, "description": role.description, "permissions": role.permissions, "assignableScopes": role.assignable_scopes,
            "createdOn": facts.get("createdOn", stamp), "createdBy": facts.get("createdBy", caller.id), "updatedOn": stamp, "updatedBy": caller.id,
        }
        access.put_role(tx, role_id, role.name, doc, ctx.now, actor=caller.id)
        ctx.services.authority.changed(tx)
        return doc

    return json_response(document(role, await ctx.db.write(save), scope), 201)


async def delete(ctx: Context) -> Response:
    """200 and what it was, 204 when there was none."""
    scope, role_id = scope_of(ctx), ctx.params["name"].lower()
    caller = await ctx.require(f"{TYPE}/delete", scope)
    check_api_version(ctx.query.get("api-version"))
    _refuse_built_in(role_id)
    role, facts = await ctx.db.read(_find, role_id)
    if role is None:
        return Response(status_code=204)
    for bound in role.assignable_scopes:
        await ctx.require(f"{TYPE}/delete", bound)

    def remove(tx: Tx) -> None:
        access.delete_role(tx, role_id, ctx.now, actor=caller.id)
        ctx.services.authority.changed(tx)

    await ctx.db.write(remove)
    return json_response(document(role, facts, scope))


def document(role: Role, facts: Facts, scope: str) -> dict[str, Any]:
    return {
        "id": f"{subscription_prefix(scope)}/providers/{TYPE}/{role.id}", "type": TYPE, "name": role.id,
        "properties": {
            "roleName": role.name, "type": _kind(role), "description": role.description, "assignableScopes": role.assignable_scopes,
            "permissions": role.permissions, **{name: facts.get(name) for name in ("createdOn", "updatedOn", "createdBy", "updatedBy")},
        },
    }


def _kind(role: Role) -> str:
    return "CustomRole" if role.custom else "BuiltInRole"


def _find(tx: Tx, role_id: str) -> tuple[Role | None, Facts]:
    if role_id in BUILT_IN:
        return BUILT_IN[role_id], {}
    return next(((role, doc) for role, doc in access.custom_roles(tx) if role.id == role_id), (None, {}))


def _refuse_built_in(role_id: str) -> None:
    if role_id in BUILT_IN:
        raise ArmError(400, "BuiltInRoleCannotBeModified", f"'{BUILT_IN[role_id].name}' is a built-in role and cannot be changed or deleted.", "roleDefinitionId")
