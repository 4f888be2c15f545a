"""Microsoft.Storage/storageAccounts: the account behind a workspace or registry, as far as scripts that manage workspaces ask for it."""

from __future__ import annotations

from starlette.responses import Response

from lazward.apps.arm.platform import versioned
from lazward.apps.chain import Context, Route, Surface, action, json_response, render_arm_error
from lazward.contract.errors import not_found
from lazward.identity.sas import account_key
from lazward.storage import resources
from lazward.storage.resources import Row

STORAGE = Surface("arm", render_arm_error)
_GROUP = "/subscriptions/{sub}/resourceGroups/{group}"
_ACCOUNT = _GROUP + "/providers/Microsoft.Storage/storageAccounts/{account}"
_HOMES = ("microsoft.machinelearningservices/workspaces", "microsoft.machinelearningservices/registries")


def storage_routes() -> list[Route]:
    kind = "Microsoft.Storage/storageAccounts"
    return [
        Route(("GET",), _ACCOUNT, versioned(get_account), action(f"{kind}/read", _ACCOUNT), STORAGE),
        Route(("DELETE",), _ACCOUNT, versioned(delete_account), action(f"{kind}/delete", _ACCOUNT), STORAGE),
        Route(("POST",), _ACCOUNT + "/listKeys", versioned(list_keys), action(f"{kind}/listKeys/action", _ACCOUNT), STORAGE),
    ]


async def get_account(ctx: Context) -> Response:
    home = await _home(ctx)
    account = ctx.params["account"].lower()
    base = f"{ctx.services.base_url}/{account}"
    return json_response({
        "id": ctx.request.scope["path"], "name": account, "type": "Microsoft.Storage/storageAccounts", "location": home.doc.get("location"), "kind": "StorageV2",
        "sku": {"name": "Standard_LRS", "tier": "Standard"}, "tags": {},
        "properties": {
            "provisioningState": "Succeeded", "isHnsEnabled": True, "supportsHttpsTrafficOnly": True, "allowBlobPublicAccess": False,
            "primaryEndpoints": {"blob": f"{base}.blob.core.windows.net/", "dfs": f"{base}.dfs.core.windows.net/"},
        },
    })


async def delete_account(ctx: Context) -> Response:
    """Removes every container of the account. The workspace stays, without its data, until it is deleted itself."""
    account = ctx.params["account"].lower()
    if await ctx.db.read(resources.by_lookup, _HOMES, account) is None:
        return Response(status_code=204)
    await _home(ctx)
    await ctx.services.blobs.delete_account(account)
    return Response(status_code=200)


async def list_keys(ctx: Context) -> Response:
    await _home(ctx)
    key = account_key(ctx.services.master_key, ctx.params["account"].lower())
    return json_response({"keys": [{"keyName": "key1", "value": key, "permissions": "FULL"}]})


async def _home(ctx: Context) -> Row:
    """The workspace or registry the account belongs to, which must lie in the group that was checked."""
    row = await ctx.db.read(resources.by_lookup, _HOMES, ctx.params["account"].lower())
    if row is None or row.parent != _GROUP.format(**ctx.params).lower():
        raise not_found(f"The storage account '{ctx.params['account']}'")
    return row
