"""Microsoft.Authorization: role assignments and definitions at any scope, the caller's permissions, the list of operations.

They are extension resources ({scope}/providers/Microsoft.Authorization/...), so their routes come before the engine's catch-all.
Deny assignments and locks are not built: their lists are empty, which is true, and writing one is a 501.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from lazward.apps.arm import role_assignments, role_definitions
from lazward.apps.arm.authorization_scope import scope_of
from lazward.apps.arm.platform import ARM
from lazward.apps.chain import Context, Route, by_handler, json_response, signed_in
from lazward.apps.services import Services
from lazward.contract.envelope import check_api_version
from lazward.contract.errors import ArmError, not_found, not_implemented
from lazward.domain import rbac_operations

NAMESPACE = "Microsoft.Authorization"


def authorization_routes(services: Services) -> list[Route]:
    own = f"/providers/{NAMESPACE}"
    kinds = "{kind:roleAssignments|roleDefinitions|denyAssignments|permissions|locks|classicAdministrators}"
    listed = by_handler(f"{NAMESPACE}/<kind>/read at the scope; permissions: any valid token, its own")
    item = by_handler(f"{NAMESPACE}/<kind>/read, write or delete at the scope")
    operations = signed_in("the names of what can be granted, the same for everybody")
    return [
        route
        for scope in ("", "/subscriptions/{scope:path}")
        for route in (
            Route(("GET",), f"{scope}{own}/{kinds}", list_kind, listed, ARM),
            Route(("GET", "PUT", "DELETE"), f"{scope}{own}/{kinds}/{{name}}", one_of_kind, item, ARM),
        )
    ] + [
        Route(("GET",), f"{own}/providerOperations", provider_operations, operations, ARM),
        Route(("GET",), f"{own}/providerOperations/{{namespace}}", provider_operations, operations, ARM),
    ]


async def list_kind(ctx: Context) -> Response:
    return await LISTS[ctx.params["kind"].lower()](ctx)


async def one_of_kind(ctx: Context) -> Response:
    kind, method = ctx.params["kind"].lower(), ctx.request.method
    if (kind, method) not in ITEMS:
        await ctx.authenticate()
        raise ArmError(405, "MethodNotAllowed", f"The method {method} is not supported here.")
    return await ITEMS[(kind, method)](ctx)


async def permissions(ctx: Context) -> Response:
    """What the caller itself may do at the scope. Everybody may ask that of themselves; a stranger's answer is empty."""
    ctx.allow("the caller's own permissions", await ctx.authenticate())
    check_api_version(ctx.query.get("api-version"))
    roles = await ctx.services.authority.permissions(ctx.caller, scope_of(ctx))
    return json_response({"value": [permission for role in roles for permission in role.permissions]})


async def provider_operations(ctx: Context) -> Response:
    check_api_version(ctx.query.get("api-version"))
    namespace = ctx.params.get("namespace", "")
    found = [_provider(name, kinds) for name, kinds in rbac_operations.by_type(namespace).items()]
    if not namespace:
        return json_response({"value": found})
    if not found:
        raise not_found(f"The provider '{namespace[:80]}'", namespace[:80], "ProviderNotFound")
    return json_response(found[0])


def _provider(name: str, kinds: dict[str, list[tuple[str, bool]]]) -> dict[str, Any]:
    def operations(kind: str) -> list[dict[str, Any]]:
        return [
            {"name": op, "displayName": _words(op), "description": _words(op), "origin": "user,system", "properties": None, "isDataAction": data}
            for op, data in kinds.get(kind, ())
        ]

    return {
        "id": f"/providers/{NAMESPACE}/providerOperations/{name}", "type": f"{NAMESPACE}/providerOperations", "name": name, "displayName": name,
        "operations": operations(""),
        "resourceTypes": [{"name": kind, "displayName": kind, "operations": operations(kind)} for kind in kinds if kind],
    }


def _words(operation: str) -> str:
    """ "Microsoft.X/workspaces/jobs/cancel/action" -> "cancel workspaces/jobs"."""
    kind, _, verb = operation.partition("/")[2].removesuffix("/action").rpartition("/")
    return f"{verb} {kind}".strip()


def _empty(kind: str) -> Callable[[Context], Awaitable[Response]]:
    async def answer(ctx: Context) -> Response:
        await ctx.require(f"{NAMESPACE}/{kind}/read", scope_of(ctx))
        check_api_version(ctx.query.get("api-version"))
        return json_response({"value": []})

    return answer


def _none(kind: str, code: str) -> Callable[[Context], Awaitable[Response]]:
    async def answer(ctx: Context) -> Response:
        await ctx.require(f"{NAMESPACE}/{kind}/read", scope_of(ctx))
        check_api_version(ctx.query.get("api-version"))
        raise not_found(f"'{ctx.params['name'][:80]}'", kind, code)

    return answer


def _unbuilt(kind: str, verb: str, what: str) -> Callable[[Context], Awaitable[Response]]:
    async def answer(ctx: Context) -> Response:
        await ctx.require(f"{NAMESPACE}/{kind}/{verb}", scope_of(ctx))
        raise not_implemented(what)

    return answer


async def _no_lock(ctx: Context) -> Response:
    await ctx.require(f"{NAMESPACE}/locks/delete", scope_of(ctx))
    check_api_version(ctx.query.get("api-version"))
    return Response(status_code=204)


Handler = Callable[[Context], Awaitable[Response]]

LISTS: dict[str, Handler] = {
    "roleassignments": role_assignments.every,
    "roledefinitions": role_definitions.every,
    "permissions": permissions,
    "denyassignments": _empty("denyAssignments"),
    "locks": _empty("locks"),
    "classicadministrators": _empty("classicAdministrators"),
}
ITEMS: dict[tuple[str, str], Handler] = {
    ("roleassignments", "GET"): role_assignments.get,
    ("roleassignments", "PUT"): role_assignments.put,
    ("roleassignments", "DELETE"): role_assignments.delete,
    ("roledefinitions", "GET"): role_definitions.get,
    ("roledefinitions", "PUT"): role_definitions.put,
    ("roledefinitions", "DELETE"): role_definitions.delete,
    ("denyassignments", "GET"): _none("denyAssignments", "DenyAssignmentNotFound"),
    ("denyassignments", "PUT"): _unbuilt("denyAssignments", "write", "Writing deny assignments"),
    ("locks", "GET"): _none("locks", "LockNotFound"),
    ("locks", "PUT"): _unbuilt("locks", "write", "Locking resources"),
    ("locks", "DELETE"): _no_lock,
}
