"""Cloud metadata: what `ARM_CLOUD_METADATA_URL` leads to. The SDK asks a dozen times per client, so the answers are made once."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from lazward.apps.chain import Context, Route, Surface, public, render_arm_error
from lazward.apps.services import Services
from lazward.domain.audiences import AML_RESOURCE
from lazward.domain.settings import is_loopback
from lazward.orchestration.authority import spellings

CLOUD = "Lazward"
METADATA = Surface("metadata", render_arm_error)


def metadata_routes(services: Services) -> list[Route]:
    # A client takes the cloud whose resourceManager is a part of the URL it asked, so each spelling of us gets its own.
    made = {
        base.removeprefix("https://").lower(): tuple(msgspec.json.encode(shape(base, services.settings)) for shape in (_array, _object))
        for base in spellings(services.base_url)
    }
    usual = made[services.base_url.removeprefix("https://").lower()]
    headers = {"Cache-Control": "public, max-age=3600", "Vary": "Host"}

    async def endpoints(ctx: Context) -> Response:
        array, single = made.get(ctx.request.headers.get("host", "").lower(), usual)
        version = ctx.query.get("api-version") or "2019-05-01"
        return Response(single if version >= "2022" else array, media_type="application/json", headers=headers)

    return [Route(("GET",), "/metadata/endpoints", endpoints, public("addresses of this server, the same for everybody"), METADATA)]


def _array(base: str, settings: Any) -> list[dict[str, Any]]:
    """Shape of 2019-05-01, as azure-ai-ml, azureml-mlflow and `az` with ARM_CLOUD_METADATA_URL read it."""
    return [_cloud(base, settings)]


def _object(base: str, settings: Any) -> dict[str, Any]:
    """Shape of 2022-09-01, as `az cloud register --endpoint-resource-manager` reads it."""
    return _cloud(base, settings) | {"resourceManager": base}


def _cloud(base: str, settings: Any) -> dict[str, Any]:
    return {
        "name": CLOUD,
        # Nobody opens it, but the SDK makes the AML resource id of it: https://ml.azure. + what follows its second dot. So it must
        # not hold our address, which may have dots of its own.
        "portal": f"https://portal.azure.{AML_RESOURCE.removeprefix('https://ml.azure.')}",
        "resourceManager": base + "/",
        "authentication": {"loginEndpoint": _login(base, settings), "audiences": [base, "https://management.azure.com/"], "tenant": "common", "identityProvider": "AAD"},
        "suffixes": {"storage": "core.windows.net", "keyVaultDns": "vault.lazward.local", "acrLoginServer": "azurecr.lazward.local"},
        "graph": base, "graphAudience": "https://graph.microsoft.com/", "microsoftGraphResourceId": base + "/",
        "gallery": base, "batch": base, "media": base, "vmImageAliasDoc": base, "sqlManagement": base, "activeDirectoryDataLake": base,
    }


def _login(base: str, settings: Any) -> str:
    # azureml-mlflow takes the host of loginEndpoint alone as authority, and would read "localhost:8443" as a URL with the scheme
    # "localhost". With an address it does not; nor with a name at port 443. A public name at another port has no way around.
    return f"https://127.0.0.1:{settings.port}/" if is_loopback(settings.public_host) else base + "/"
