"""Managed identity: GET {IDENTITY_ENDPOINT}?resource=... with the secret in a header. For jobs and for `lazward env`.

Two forms of Azure's: App Service (2019-08-01, X-IDENTITY-HEADER) and the older one that Azure ML's own compute has (2017-09-01,
`secret`). The header is the proof, and no browser can send it from another page; so the route is open to every peer that the
server listens to, not to loopback alone. The secrets have 256 random bits or a MAC of as many, so guessing needs no brake.
"""

from __future__ import annotations

from starlette.responses import Response

from lazward.apps.chain import Context, json_response
from lazward.apps.token.errors import NO_STORE, OAuthError
from lazward.apps.token.requests import audience_of
from lazward.contract.errors import ArmError, bad_request
from lazward.identity.tokens import unauthorized

VERSIONS = {"2019-08-01": "x-identity-header", "2017-09-01": "secret"}
CLIENT_PARAMETERS = ("client_id", "clientid", "principal_id", "object_id")


def render_msi_error(ctx: Context | None, error: ArmError) -> Response:
    return json_response({"statusCode": error.status, "message": error.message, "correlationId": ctx.correlation if ctx else ""}, error.status, {**NO_STORE, **error.headers})


async def token(ctx: Context) -> Response:
    version = ctx.query.get("api-version", "")
    if version not in VERSIONS:
        raise bad_request(f"The api-version must be one of {', '.join(VERSIONS)}, not '{version[:40]}'.", "api-version")
    secret = ctx.request.headers.get(VERSIONS[version], "")
    if not secret:
        raise unauthorized(f"The header {VERSIONS[version].upper()} is missing.")
    resource = ctx.query.get("resource", "").removesuffix("/.default")
    try:
        audience = audience_of({"resource": resource}, None)
    except OAuthError:
        raise bad_request("The query parameter 'resource' is missing or is no audience.", "resource") from None
    authority = ctx.services.authority
    caller = await authority.by_identity_secret(secret)
    if caller is None:
        raise unauthorized("The identity header is unknown, its principal is disabled, or the run it was made for is over.")
    for name in CLIENT_PARAMETERS:
        asked = ctx.query.get(name, "").lower()
        if asked and asked not in (caller.app_id, caller.id):
            raise bad_request(f"There is no identity '{asked[:80]}' here; leave out {name} to use the one there is.", name)
    if ctx.query.get("mi_res_id") or ctx.query.get("msi_res_id"):
        raise bad_request("There are no user-assigned identities here; leave out mi_res_id.", "mi_res_id")
    await authority.keep_keys()
    lifetime = ctx.services.settings.access_token_lifetime
    return json_response({
        "access_token": authority.token_for(caller, audience, lifetime), "expires_on": str(int(ctx.now) + lifetime), "resource": resource,
        "token_type": "Bearer", "client_id": caller.app_id or caller.id,
    }, headers=NO_STORE)
