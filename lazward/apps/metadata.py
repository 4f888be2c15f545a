"""Cloud metadata: what `ARM_CLOUD_METADATA_URL` leads to. The SDK asks a dozen times per client, so the answers are made once."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from lazward.apps.chain import Context, Route, Surface, public, render_arm_error
from lazward.apps.services import Services
from lazward.orchestration.authority import AML_RESOURCE

CLOUD = "Lazward"
METADATA = Surface("metadata", render_arm_error)


def metadata_routes(services: Services) -> list[Route]:
    old, new = (msgspec.json.encode(shape(services)) for shape in (_array, _object))
    headers = {"Cache-Control": "public, max-age=3600"}

    async def endpoints(ctx: Context) -> Response:
        version = ctx.query.get("api-version") or "2019-05-01"
        return Response(new if version >= "2022" else old, media_type="application/json", headers=headers)

    return [Route(("GET",), "/metadata/endpoints", endpoints, public("addresses of this server, the same for everybody"), METADATA)]


def _login(services: Services) -> str:
    # azureml-mlflow takes the host of loginEndpoint alone as authority, and "localhost:8443" would be read as a URL with the
    # scheme "localhost"; an address is not. For a public name the port must be 443 or the name an address.
    settings = services.settings
    return f"https://127.0.0.1:{settings.port}/" if settings.public_host == "localhost" else services.base_url + "/"


def _array(services: Services) -> list[dict]:
    """Shape of 2019-05-01, as azure-ai-ml and azureml-mlflow read it."""
    base = services.base_url
    return [{
        "name": CLOUD,
        # The SDK makes the AML resource id of the portal: https://ml.azure. + what follows its second dot.
        "portal": f"{base}/portal.x.{AML_RESOURCE.removeprefix('https://ml.azure.')}",
        "resourceManager": base + "/",
        "authentication": {"loginEndpoint": _login(services), "audiences": [base, "https://management.azure.com/"], "tenant": "common", "identityProvider": "AAD"},
        "suffixes": {"storage": "core.windows.net", "keyVaultDns": "vault.lazward.local", "acrLoginServer": "azurecr.lazward.local"},
        "graph": base, "graphAudience": "https://graph.microsoft.com/", "gallery": base, "batch": base, "media": base, "vmImageAliasDoc": base,
        "activeDirectoryDataLake": base, "sqlManagement": base,
    }]


def _object(services: Services) -> dict:
    """Shape of 2022-09-01, as `az cloud register --endpoint-resource-manager` reads it."""
    base = services.base_url
    return {
        "name": CLOUD, "portal": base, "resourceManager": base,
        "authentication": {"loginEndpoint": _login(services).rstrip("/"), "audiences": [base, "https://management.azure.com/"], "tenant": "common", "identityProvider": "AAD"},
        "suffixes": {"storage": "core.windows.net", "keyVaultDns": "vault.lazward.local", "acrLoginServer": "azurecr.lazward.local"},
        "graphAudience": "https://graph.microsoft.com/", "microsoftGraphResourceId": base + "/", "graph": base, "gallery": base, "batch": base,
    }
