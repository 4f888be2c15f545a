"""The issuer's routes: OpenID configuration, keys, the token endpoints, device codes, managed identity."""

from __future__ import annotations

from starlette.responses import Response

from lazward.apps.chain import Context, Route, Surface, json_response, public
from lazward.apps.services import Services
from lazward.apps.token import device, msi
from lazward.apps.token.oauth import Issuer, render_oauth_error

OAUTH = Surface("oauth", render_oauth_error)
MSI = Surface("msi", msi.render_msi_error)
FORM = 64 * 1024


def token_routes(services: Services) -> list[Route]:
    issuer = Issuer(services)
    pages = device.DevicePages(issuer)
    tenant = r"/{tenant:(?:adfs|common|organizations|[0-9a-fA-F-]{36}|[a-z0-9.-]+\.[a-z]+)}"
    proof = public("the request proves itself: a client secret, a code or a refresh token")

    async def configuration(ctx: Context) -> Response:
        return json_response(issuer.configuration(ctx.params.get("tenant", "adfs"), ctx.request.headers.get("host", "")))

    async def keys(ctx: Context) -> Response:
        return json_response(services.authority.signing_keys.jwks())  # type: ignore[attr-defined]

    async def discovery(ctx: Context) -> Response:
        return json_response(issuer.instances(ctx.request.headers.get("host", "")))

    known = public("addresses of the issuer, the same for everybody")
    return [
        Route(("GET",), tenant + "/v2.0/.well-known/openid-configuration", configuration, known, OAUTH),
        Route(("GET",), tenant + "/.well-known/openid-configuration", configuration, known, OAUTH),
        Route(("GET",), "/common/discovery/instance", discovery, known, OAUTH),
        Route(("GET",), tenant + "/discovery/v2.0/keys", keys, public("public keys"), OAUTH),
        Route(("GET",), tenant + "/discovery/keys", keys, public("public keys"), OAUTH),
        Route(("POST",), tenant + "/oauth2/v2.0/token", issuer.token, proof, OAUTH, FORM),
        Route(("POST",), tenant + "/oauth2/token", issuer.token, proof, OAUTH, FORM),
        Route(("POST",), tenant + "/oauth2/v2.0/devicecode", issuer.device_code, public("hands out a code that is worth nothing until a person confirms it"), OAUTH, FORM),
        Route(("POST",), tenant + "/oauth2/devicecode", issuer.device_code, public("hands out a code that is worth nothing until a person confirms it"), OAUTH, FORM),
        Route(("GET",), "/device", pages.show, public("a form; what is typed into it is checked"), OAUTH, FORM),
        Route(("POST",), "/device", pages.confirm, public("checks the principal's secret in the form"), OAUTH, FORM),
        Route(("GET",), "/msi/token", msi.token, public("checks the identity header"), MSI),
    ]
