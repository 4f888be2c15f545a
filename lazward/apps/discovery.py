"""Discovery and the data planes the SDK calls beside ARM: service addresses, registries, resolution of assets to places."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from lazward.apps.chain import Context, Route, Surface, action, by_handler, json_response, public, render_arm_error
from lazward.apps.registry_access import check_registries
from lazward.contract.errors import ArmError, bad_request, not_found
from lazward.contract.ids import ML, ResourceId, workspace_id
from lazward.orchestration.data import Place, locate
from lazward.storage import resources
from lazward.storage.db import Tx

DATA = Surface("discovery", render_arm_error)
_WS = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{ws}"


def discovery_routes() -> list[Route]:
    return [
        Route(("GET",), "/discovery", discovery, public("a list of this server's own addresses"), DATA),
        Route(("GET",), "/discovery/{rest:path}", discovery, public("a list of this server's own addresses"), DATA),
        Route(("GET",), "/registrymanagement/v1.0/registries/{name}/discovery", registry_discovery, by_handler("registries/read"), DATA),
        Route(("POST",), "/data/v1.0" + _WS + "/dataversion/batchGetResolvedUris", resolve_data, action(f"{ML}/workspaces/data/versions/read", _WS), DATA),
        Route(("POST",), "/modelregistry/v1.0" + _WS + "/models/batchGetResolvedUris", resolve_models, action(f"{ML}/workspaces/models/versions/read", _WS), DATA),
    ]


async def discovery(ctx: Context) -> Response:
    base = ctx.services.base_url
    names = ("api", "catalog", "experimentation", "gallery", "history", "hyperdrive", "labeling", "modelmanagement", "pipelines", "studio")
    return json_response(dict.fromkeys(names, base))


async def registry_discovery(ctx: Context) -> Response:
    def find(tx: Tx) -> resources.Row | None:
        rows = resources.every(tx, f"{ML}/registries")
        return next((row for row in rows if row.name.lower() == ctx.params["name"].lower()), None)

    row = await ctx.db.read(find)
    if row is None:
        ctx.allow("an unknown registry says nothing", await ctx.authenticate())
        raise not_found(f"The registry '{ctx.params['name']}'", code="RegistryNotFound")
    await ctx.require(f"{ML}/registries/read", row.id)
    parts = row.id.split("/")
    location = ctx.services.settings.location
    return json_response({
        "registryName": row.name, "primaryRegion": location, "regions": [location], "primaryRegionResourceProviderUri": ctx.services.base_url + "/",
        "resourceGroup": parts[4], "subscriptionId": parts[2], "registryFqdns": {location: {"registryFqdn": ctx.services.base_url}},
    })


async def resolve_data(ctx: Context) -> Response:
    """Asset ids to azureml://.../datastores/... uris. An unregistered job output is named azureml_{job}_output_data_{output}."""
    values = await _values(ctx)
    await check_registries(ctx, values)
    found = await ctx.db.read(_resolve, _workspace(ctx), values)
    return json_response({"values": {asset: {"uri": place.readable, "type": kind} for asset, (place, kind) in found.items()}})


async def resolve_models(ctx: Context) -> Response:
    values = await _values(ctx)
    await check_registries(ctx, values)
    found = await ctx.db.read(_resolve, _workspace(ctx), values)
    return json_response({"values": {asset: {"path": place.readable} for asset, (place, _) in found.items()}})


def _resolve(tx: Tx, workspace: ResourceId, values: list[str]) -> dict[str, tuple[Place, str]]:
    home = resources.get(tx, workspace.key)
    if home is None:
        raise not_found(f"The workspace '{workspace.name}'")
    out: dict[str, tuple[Place, str]] = {}
    for value in values:
        try:
            output = _job_output(value)
            place = locate(tx, home, output or value, "values")
        except ArmError:
            continue  # what cannot be resolved is absent from the answer, as the client expects
        if place.readable:
            out[value] = (place, "uri_folder")
    return out


def _job_output(asset: str) -> str | None:
    name = asset.split("/data/", 1)[-1].split("/models/", 1)[-1].split("/versions/")[0]
    job, sep, output = name.removeprefix("azureml_").partition("_output_data_")
    return f"azureml://jobs/{job}/outputs/{output}" if sep and name.startswith("azureml_") else None


async def _values(ctx: Context) -> list[str]:
    body: Any = await ctx.json()
    values = body.get("values") if isinstance(body, dict) else None
    if not isinstance(values, list) or len(values) > 1000 or not all(isinstance(v, str) for v in values):
        raise bad_request("'values' is a list of up to 1000 asset ids.", "values")
    return values


def _workspace(ctx: Context) -> ResourceId:
    return workspace_id(ctx.params["sub"], ctx.params["group"], ctx.params["ws"])
