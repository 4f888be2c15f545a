"""The issuer's routes: OpenID configuration, keys, the token endpoints, sign-in pages, managed identity."""

from __future__ import annotations

from lazward.apps.chain import Route, Surface, public
from lazward.apps.services import Services
from lazward.apps.token import msi
from lazward.apps.token.authorize import AuthorizePages
from lazward.apps.token.device import DevicePages
from lazward.apps.token.errors import render_oauth_error
from lazward.apps.token.oauth import Issuer
from lazward.apps.token.requests import MAX_FORM

OAUTH = Surface("oauth", render_oauth_error)
MSI = Surface("msi", msi.render_msi_error)


def token_routes(services: Services) -> list[Route]:
    issuer = Issuer(services)
    device, authorize = DevicePages(issuer), AuthorizePages(issuer)
    # Any name, for the answer to a wrong one is an OAuth error; but an account of the blob service is no tenant.
    tenant = r"/{tenant:(?![^/]*\.(?:blob|dfs|file)\.core\.)[A-Za-z0-9.-]+}"
    known = public("addresses and public keys of the issuer, the same for everybody")
    proof = public("the request proves itself: by a client secret, a code or a refresh token")
    form = public("a form; what is typed into it is checked")

    return [
        Route(("GET",), "/common/discovery/instance", issuer.instances, known, OAUTH),
        Route(("GET",), "/device", device.show, form, OAUTH),
        Route(("POST",), "/device", device.answer, public("the form carries a principal's secret, or what was sealed after it was checked"), OAUTH, MAX_FORM),
        Route(("GET",), "/msi/token", msi.token, public("checks the identity header"), MSI),
        *(
            route
            for version in ("/v2.0", "")
            for route in (
                Route(("GET",), f"{tenant}{version}/.well-known/openid-configuration", issuer.configuration, known, OAUTH),
                Route(("GET",), f"{tenant}/discovery{version}/keys", issuer.keys, known, OAUTH),
                Route(("POST",), f"{tenant}/oauth2{version}/token", issuer.token, proof, OAUTH, MAX_FORM),
                Route(("POST",), f"{tenant}/oauth2{version}/devicecode", issuer.device_code, public("hands out a code that is worth nothing until a person confirms it"), OAUTH, MAX_FORM),
                Route(("GET",), f"{tenant}/oauth2{version}/authorize", authorize.show, form, OAUTH),
                Route(("POST",), f"{tenant}/oauth2{version}/authorize", authorize.answer, public("the form carries a principal's secret"), OAUTH, MAX_FORM),
            )
        ),
    ]
