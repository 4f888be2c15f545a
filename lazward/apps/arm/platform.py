"""Azure around the ML provider: tenants, subscriptions, resource groups, providers, template deployments."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from lazward.apps.arm import engine
from lazward.apps.arm.operations import operation_headers
from lazward.apps.chain import (
    Access,
    Context,
    Handler,
    Route,
    Surface,
    action,
    by_handler,
    json_response,
    render_arm_error,
    signed_in,
)
from lazward.contract.envelope import check_api_version, timestamp
from lazward.contract.errors import ArmError, bad_request, conflict, not_found, not_implemented
from lazward.contract.ids import ML, ResourceId, check_name
from lazward.domain.resource import REGISTRY, Doc, check_location, merge_patch, read_tags
from lazward.domain.resources.workspaces import BUILT_IN_REGISTRY
from lazward.storage import resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

ARM = Surface("arm", render_arm_error)
SUBSCRIPTION, GROUP = "microsoft.resources/subscriptions", "microsoft.resources/subscriptions/resourcegroups"
DEPLOYMENT = "microsoft.resources/deployments"
API_VERSIONS = [
    "2025-12-01", "2025-01-01-preview", "2024-10-01-preview", "2024-10-01", "2024-07-01-preview", "2024-04-01-preview", "2024-04-01",
    "2024-01-01-preview", "2023-10-01", "2023-08-01-preview", "2023-06-01-preview", "2023-04-01-preview", "2023-04-01",
    "2023-02-01-preview", "2022-12-01-preview", "2022-10-01-preview", "2022-10-01", "2022-05-01", "2022-02-01-preview",
]


def platform_routes() -> list[Route]:
    """Routes beside the engine's; they come before its catch-all."""
    sub, group = "/subscriptions/{sub}", "/subscriptions/{sub}/resourceGroups/{group}"
    seen = signed_in("shows only what the caller has a role on")
    read_group = action("Microsoft.Resources/subscriptions/resourceGroups/read", group)
    deployment = group + "/providers/Microsoft.Resources/deployments/{name}"
    read_deployment = action("Microsoft.Resources/deployments/read", group)

    def route(methods: str, pattern: str, handler: Handler, access: Access) -> Route:
        return Route(tuple(methods.split()), pattern, versioned(handler), access, ARM)

    return [
        route("GET", "/tenants", tenants, seen),
        route("GET", "/subscriptions", subscriptions, seen),
        route("GET", sub, subscription, by_handler("Microsoft.Resources/subscriptions/read, or any role below")),
        route("GET", sub + "/locations", locations, by_handler("as for the subscription")),
        route("GET", sub + "/resourceGroups", groups, seen),
        route("GET HEAD", group, get_group, read_group),
        route("PUT PATCH", group, put_group, action("Microsoft.Resources/subscriptions/resourceGroups/write", group)),
        route("DELETE", group, delete_group, action("Microsoft.Resources/subscriptions/resourceGroups/delete", group)),
        route("GET", group + "/resources", group_resources, read_group),
        route("GET", sub + "/providers", providers, by_handler("as for the subscription")),
        route("GET", sub + "/providers/{namespace}", provider, by_handler("as for the subscription")),
        route("POST", sub + "/providers/{namespace}/register", provider, by_handler("as for the subscription")),
        route("GET HEAD", deployment, get_deployment, read_deployment),
        route("PUT", deployment, put_deployment, action("Microsoft.Resources/deployments/write", group)),
        route("GET", deployment + "/operations", deployment_operations, read_deployment),
        route("GET", group + "/deployments/{name}/operations", deployment_operations, read_deployment),
        route("GET", group + "/deployments/{name}", get_deployment, read_deployment),
    ]


def versioned(handler: Handler) -> Handler:
    """The handler behind the check that every call names its api-version; callers without a token learn of that first."""

    async def checked(ctx: Context) -> Response:
        await ctx.authenticate()
        check_api_version(ctx.query.get("api-version"))
        return await handler(ctx)

    return checked


async def tenants(ctx: Context) -> Response:
    tenant = ctx.caller.tenant
    return json_response({"value": [{
        "id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": "Lazward", "defaultDomain": "lazward.local", "tenantCategory": "Home",
        "countryCode": "", "domains": ["lazward.local"], "tenantType": "AAD",
    }]})


async def subscriptions(ctx: Context) -> Response:
    rows = await ctx.db.read(resources.every, SUBSCRIPTION)
    return json_response({"value": [_subscription(ctx, row) for row in rows if await _sees(ctx, row.id)]})


async def subscription(ctx: Context) -> Response:
    row = await _require_subscription(ctx)
    return json_response(_subscription(ctx, row))


async def locations(ctx: Context) -> Response:
    row = await _require_subscription(ctx)
    name = ctx.services.settings.location
    return json_response({"value": [{
        "id": f"{row.id}/locations/{name}", "subscriptionId": row.name, "name": name, "displayName": name.title(), "regionalDisplayName": name.title(),
        "type": "Region", "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
    }]})


async def groups(ctx: Context) -> Response:
    rows = await ctx.db.read(resources.every, GROUP, parent=f"/subscriptions/{ctx.params['sub']}")
    return json_response({"value": [_group(row) for row in rows if await ctx.may("Microsoft.Resources/subscriptions/resourceGroups/read", row.id)]})


async def get_group(ctx: Context) -> Response:
    row = await _group_row(ctx)
    return Response(status_code=204) if ctx.request.method == "HEAD" else json_response(_group(row))


async def put_group(ctx: Context) -> Response:
    body = await ctx.json()
    _check_group(body)
    rid = ResourceId(ctx.params["sub"], check_name(ctx.params["group"], "resourceGroupName"))
    patch, location = ctx.request.method == "PATCH", ctx.services.settings.location

    def save(tx: Tx) -> tuple[Row, bool]:
        above = resources.get(tx, rid.parent.key)
        if above is None:
            raise not_found(f"The subscription '{rid.subscription}'", code="SubscriptionNotFound")
        row = resources.get(tx, rid.key)
        if row is None:
            if patch:
                raise not_found(f"Resource group '{rid.group}'", code="ResourceGroupNotFound")
            doc = {"location": body.get("location") or location, "tags": read_tags(body.get("tags") or {}, "tags"), "properties": {"provisioningState": "Succeeded"}}
            return resources.insert(tx, ResourceId(above.name, rid.group), doc, ctx.now, type_=GROUP), False
        if row.properties.get("provisioningState") == "Deleting":
            raise conflict(f"The resource group '{row.name}' is being deleted.")
        check_location(body, row.doc)
        tags = merge_patch(row.doc.get("tags"), body.get("tags") or {}) if patch else body.get("tags") or {}
        row.doc = {**row.doc, "tags": read_tags(tags, "tags")}
        return resources.update(tx, row, ctx.now), True

    row, existed = await ctx.db.write(save)
    return json_response(_group(row), 200 if existed else 201)


async def delete_group(ctx: Context) -> Response:
    group = await _group_row(ctx)

    def start(tx: Tx) -> str:
        row = resources.get(tx, group.key)
        if row is None:
            raise _no_group(ctx)
        if any(resources.every(tx, f"{ML}/registries", parent=row.key, keep=lambda r: r.name.lower() == BUILT_IN_REGISTRY)):
            raise conflict(f"The resource group '{row.name}' holds the built-in registry and cannot be deleted.", code="BuiltInRegistry")
        row.properties["provisioningState"] = "Deleting"
        resources.update(tx, row, ctx.now)
        return tasks.enqueue(tx, "group.delete", row.key, {}, ctx.now)

    return Response(status_code=202, headers=operation_headers(ctx, await ctx.db.write(start), group.id))


async def group_resources(ctx: Context) -> Response:
    row = await _group_row(ctx)

    def load(tx: Tx) -> list[Row]:
        top = [declared for declared in REGISTRY.values() if "/" not in declared.path]
        return [found for declared in top for found in resources.every(tx, declared.key, parent=row.key)]

    value = [
        {"id": r.id, "name": r.name, "type": f"{REGISTRY[r.type].provider}/{REGISTRY[r.type].path}", "location": r.doc.get("location"), "tags": r.doc.get("tags") or {}, "kind": r.doc.get("kind")}
        for r in await ctx.db.read(load)
    ]
    return json_response({"value": value})


async def providers(ctx: Context) -> Response:
    row = await _require_subscription(ctx)
    return json_response({"value": [_provider(ctx, row, ns) for ns in (ML, "Microsoft.Resources", "Microsoft.Authorization", "Microsoft.Storage")]})


async def provider(ctx: Context) -> Response:
    row = await _require_subscription(ctx)
    return json_response(_provider(ctx, row, ctx.params["namespace"]))


async def put_deployment(ctx: Context) -> Response:
    """Creates what the template holds. Workspace templates are known by their parameters (the SDK sends one as a whole
    program of resources and expressions); other templates are honest 501s."""
    body = await ctx.json()
    properties = body.get("properties") if isinstance(body, dict) else None
    if not isinstance(properties, dict) or not isinstance(properties.get("template"), dict):
        raise ArmError(400, "InvalidTemplateDeployment", "A deployment needs properties.template.", "properties.template")
    parameters = properties.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ArmError(400, "InvalidTemplateDeployment", "The parameters of a deployment are an object.", "properties.parameters")
    mode = properties.get("mode") or "Incremental"
    if mode not in ("Incremental", "Complete"):
        raise ArmError(400, "InvalidTemplateDeployment", "The mode of a deployment is Incremental or Complete.", "properties.mode")
    if mode == "Complete":  # it would delete everything else in the group
        raise not_implemented("A template deployment of mode Complete")
    given = {name: value.get("value") for name, value in parameters.items() if isinstance(value, dict)}
    name = given.get("workspaceName")
    if not isinstance(name, str):
        raise not_implemented("A template deployment without a parameter 'workspaceName'")
    group = ResourceId(ctx.params["sub"], ctx.params["group"])
    rid = ResourceId(group.subscription, group.group, ML, (("workspaces", check_name(name, "properties.parameters.workspaceName")),))
    await ctx.require(f"{ML}/workspaces/write", str(rid))
    target = engine.resolve(rid)
    facts = engine.facts(ctx)

    def save(tx: Tx) -> Row:
        if not resources.exists(tx, group.key):
            raise not_found(f"Resource group '{group.group}'", code="ResourceGroupNotFound")
        made, _, _ = engine.store(tx, target, _workspace_of(given), facts)
        doc: Doc = {"properties": {
            "provisioningState": "Succeeded", "mode": mode, "timestamp": timestamp(ctx.now), "duration": "PT0S",
            "correlationId": ctx.correlation, "parameters": {}, "outputs": {}, "dependencies": [], "providers": [],
            "outputResources": [{"id": made.id}],
        }}
        return _save_deployment(tx, ctx, doc)

    return json_response(_deployment(await ctx.db.write(save)), 201)


async def get_deployment(ctx: Context) -> Response:
    row = await ctx.db.read(resources.get, str(_deployment_id(ctx)))
    if row is None:
        raise not_found(f"Deployment '{ctx.params['name']}'", code="DeploymentNotFound")
    return Response(status_code=204) if ctx.request.method == "HEAD" else json_response(_deployment(row))


async def deployment_operations(ctx: Context) -> Response:
    row = await ctx.db.read(resources.get, str(_deployment_id(ctx)))
    made = row.properties["outputResources"] if row else []
    return json_response({"value": [{
        "id": f"{row.id if row else ''}/operations/{index}", "operationId": str(index),
        "properties": {
            "provisioningOperation": "Create", "provisioningState": "Succeeded", "statusCode": "OK",
            "targetResource": {"id": r["id"], "resourceType": f"{ML}/workspaces", "resourceName": r["id"].rsplit("/", 1)[-1]},
        },
    } for index, r in enumerate(made)]})


def _workspace_of(given: dict[str, Any]) -> Doc:
    kind = str(given.get("kind") or "default")
    known = {"default": "Default", "hub": "Hub", "project": "Project", "featurestore": "FeatureStore"}
    doc: Doc = {"properties": {}, "kind": known.get(kind.lower(), kind), "tags": given.get("tagValues") or {}}
    if given.get("location"):
        doc["location"] = given["location"]
    for parameter, member in (
        ("friendlyName", "friendlyName"), ("description", "description"), ("publicNetworkAccess", "publicNetworkAccess"), ("imageBuildCompute", "imageBuildCompute"),
        ("primaryUserAssignedIdentity", "primaryUserAssignedIdentity"), ("workspace_hub", "hubResourceId"), ("systemDatastoresAuthMode", "systemDatastoresAuthMode"),
    ):
        if given.get(parameter):
            doc["properties"][member] = given[parameter]
    if str(given.get("confidential_data", "")).lower() == "true":
        doc["properties"]["hbiWorkspace"] = True
    return doc


def _deployment_id(ctx: Context) -> ResourceId:
    return ResourceId(ctx.params["sub"], ctx.params["group"], "Microsoft.Resources", (("deployments", check_name(ctx.params["name"])),))


def _save_deployment(tx: Tx, ctx: Context, doc: Doc) -> Row:
    rid = _deployment_id(ctx)
    row = resources.get(tx, rid.key)
    if row is None:
        return resources.insert(tx, rid, doc, ctx.now, type_=DEPLOYMENT)
    row.doc = doc
    return resources.update(tx, row, ctx.now)


def _deployment(row: Row) -> Doc:
    return {"id": row.id, "name": row.name, "type": "Microsoft.Resources/deployments", **row.doc}


async def _require_subscription(ctx: Context) -> Row:
    row = await ctx.db.read(resources.get, f"/subscriptions/{ctx.params['sub']}")
    if row is None or not await _sees(ctx, row.id):
        ctx.allow("a subscription without a role for the caller is as good as none", await ctx.authenticate())
        raise not_found(f"The subscription '{ctx.params['sub']}'", code="SubscriptionNotFound")
    ctx.allow("the caller has a role here or below", ctx.caller)
    return row


async def _sees(ctx: Context, subscription_id: str) -> bool:
    """Whether the caller has a role on the subscription or anything in it."""
    if await ctx.may("Microsoft.Resources/subscriptions/read", subscription_id):
        return True
    return await ctx.services.authority.has_role_below(await ctx.authenticate(), subscription_id)


async def _group_row(ctx: Context) -> Row:
    row = await ctx.db.read(resources.get, f"/subscriptions/{ctx.params['sub']}/resourcegroups/{ctx.params['group']}")
    if row is None:
        raise _no_group(ctx)
    return row


def _no_group(ctx: Context) -> ArmError:
    return not_found(f"Resource group '{ctx.params['group'][:90]}'", code="ResourceGroupNotFound")


def _check_group(body: Any) -> None:
    """Raises ArmError 400 when a resource group cannot be like that."""
    if not isinstance(body, dict):
        raise bad_request("The request body must be a JSON object.", "body", "InvalidRequestContent")
    if not isinstance(body.get("location"), str | None):
        raise bad_request("The location is a text.", "location", "InvalidRequestContent")
    if body.get("tags") is not None:
        read_tags(body["tags"], "tags")


def _subscription(ctx: Context, row: Row) -> Doc:
    tenant = ctx.caller.tenant
    return {
        "id": row.id, "subscriptionId": row.name, "displayName": row.doc.get("displayName", "Lazward"), "state": "Enabled", "tenantId": tenant, "homeTenantId": tenant,
        "authorizationSource": "RoleBased", "managedByTenants": [], "tags": {},
        "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "Internal_2014-09-01", "spendingLimit": "Off"},
    }


def _group(row: Row) -> Doc:
    return {"id": row.id, "name": row.name, "type": "Microsoft.Resources/resourceGroups", **row.doc}


def _provider(ctx: Context, row: Row, namespace: str) -> Doc:
    types = sorted({d.path for d in REGISTRY.values() if d.provider.lower() == namespace.lower()})
    known = next((d.provider for d in REGISTRY.values() if d.provider.lower() == namespace.lower()), namespace)
    return {
        "id": f"{row.id}/providers/{known}", "namespace": known, "registrationState": "Registered", "registrationPolicy": "RegistrationFree",
        "resourceTypes": [
            {"resourceType": path, "locations": [ctx.services.settings.location], "apiVersions": API_VERSIONS, "defaultApiVersion": API_VERSIONS[0], "capabilities": "None"}
            for path in types
        ],
    }


