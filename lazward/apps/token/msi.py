"""Managed identity in the App Service form: GET {IDENTITY_ENDPOINT}?resource=... with X-IDENTITY-HEADER. For jobs and `lazward env`."""

from __future__ import annotations

from starlette.responses import Response

from lazward.apps.chain import Context, json_response
from lazward.contract.errors import ArmError, bad_request
from lazward.identity.tokens import unauthorized


def render_msi_error(ctx: Context | None, error: ArmError) -> Response:
    return json_response({"statusCode": error.status, "message": error.message, "correlationId": ctx.correlation if ctx else ""}, error.status, error.headers)


async def token(ctx: Context) -> Response:
    header = ctx.request.headers.get("x-identity-header") or ctx.request.headers.get("secret") or ""
    resource = (ctx.query.get("resource") or "").removesuffix("/.default")
    if not header:
        raise unauthorized("The X-IDENTITY-HEADER is missing.")
    if not resource:
        raise bad_request("The query parameter 'resource' is required.", "resource")
    authority = ctx.services.authority
    caller = await authority.by_identity_secret(header)  # type: ignore[attr-defined]
    if caller is None:
        raise unauthorized("The X-IDENTITY-HEADER is unknown, or the run it was made for is over.")
    lifetime = ctx.services.settings.access_token_lifetime
    return json_response({
        "access_token": authority.token_for(caller, resource, lifetime), "expires_on": str(int(ctx.now) + lifetime), "resource": resource,  # type: ignore[attr-defined]
        "token_type": "Bearer", "client_id": caller.app_id or caller.id,
    }, headers={"Cache-Control": "no-store"})
