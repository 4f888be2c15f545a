"""Token endpoint (RFC 6749, 8628) in the words that msal understands: client credentials, device code, refresh."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
import uuid
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from starlette.responses import Response

from lazward.apps.chain import Context, json_response
from lazward.apps.services import Services
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.identity.tokens import hash_secret
from lazward.storage import access, grants
from lazward.storage.access import Principal

# Numbers that msal prints and some scripts test (AADSTS...).
CODES = {
    "invalid_client": 7000215, "invalid_grant": 70000, "unsupported_grant_type": 70003, "invalid_request": 900144, "authorization_pending": 70016,
    "slow_down": 70019, "expired_token": 70020, "invalid_scope": 70011, "temporarily_unavailable": 90033, "unauthorized_client": 700016,
}
TRIES, LOCK_S = 10, 60.0  # wrong secrets in a row for one client, and the pause that follows
POLL_S = 5


def oauth_error(error: str, description: str, status: int = 400) -> ArmError:
    return ArmError(status, error, description)


def render_oauth_error(ctx: Context | None, error: ArmError) -> Response:
    known = error.code if error.code in CODES else "invalid_request" if error.status < 500 else "temporarily_unavailable"
    number = CODES[known]
    return json_response({
        "error": known, "error_description": f"AADSTS{number}: {error.message}", "error_codes": [number], "timestamp": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()),
        "trace_id": ctx.request_id if ctx else "", "correlation_id": ctx.correlation if ctx else "",
    }, error.status, {"Cache-Control": "no-store", **error.headers})


class Issuer:
    def __init__(self, services: Services):
        self.services = services
        self.authority: Any = services.authority
        self.master_key: bytes = services.extras["master_key"]
        self._wrong: dict[str, tuple[int, float]] = {}

    # ---- documents ---------------------------------------------------------------------------------------------------

    def configuration(self, tenant: str, host: str) -> dict[str, Any]:
        """tenant: as asked for. The addresses are those of the host that was asked, so that both spellings of us work."""
        base = self._base(host)
        path = f"{base}/{tenant}"
        v2 = "" if tenant == "adfs" else "/v2.0"
        issuer = f"{base}/{self.authority.tenant}/v2.0" if tenant != "adfs" else f"{base}/adfs"
        return {
            "issuer": issuer, "authorization_endpoint": f"{path}/oauth2{v2}/authorize", "token_endpoint": f"{path}/oauth2{v2}/token",
            "device_authorization_endpoint": f"{path}/oauth2{v2}/devicecode", "jwks_uri": f"{path}/discovery{v2}/keys", "tenant_region_scope": "NA",
            "response_types_supported": ["code"], "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"], "scopes_supported": ["openid", "profile", "offline_access"],
            "grant_types_supported": ["client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        }

    def instances(self, host: str) -> dict[str, Any]:
        base = self._base(host)
        name = base.removeprefix("https://")
        return {
            "tenant_discovery_endpoint": f"{base}/{self.authority.tenant}/v2.0/.well-known/openid-configuration", "api-version": "1.1",
            "metadata": [{"preferred_network": name, "preferred_cache": name, "aliases": [name]}],
        }

    def _base(self, host: str) -> str:
        """Our own address, in the spelling of the request if that is one of ours (the chain has refused the others)."""
        settings = self.services.settings
        ours = {f"localhost:{settings.port}", f"127.0.0.1:{settings.port}", f"[::1]:{settings.port}"}
        return f"https://{host.lower()}" if host.lower() in ours else self.services.base_url

    # ---- token -------------------------------------------------------------------------------------------------------

    async def token(self, ctx: Context) -> Response:
        form = await _form(ctx)
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            caller = self.authority.caller_of(await self.client(ctx, form))
            return self._answer(caller, form)
        if grant == "urn:ietf:params:oauth:grant-type:device_code" or grant == "device_code":
            caller = await self._redeem_device_code(ctx, form.get("device_code") or form.get("code", ""))
            return self._answer(caller, form, await self._new_refresh_token(ctx, caller))
        if grant == "refresh_token":
            caller = await self._redeem_refresh_token(ctx, form.get("refresh_token", ""))
            return self._answer(caller, form, await self._new_refresh_token(ctx, caller))
        raise oauth_error("unsupported_grant_type", f"The grant type '{grant[:60]}' is not supported; client_credentials, device_code and refresh_token are.")

    async def client(self, ctx: Context, form: dict[str, str]) -> Principal:
        """The principal of client_id and client_secret, from the form or Basic; slows down guessing (S6)."""
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, basic = ctx.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = (unquote_plus(x) for x in base64.b64decode(basic).decode().partition(":"))
            except (binascii.Error, UnicodeDecodeError):
                raise oauth_error("invalid_client", "The Authorization header is malformed.", 401) from None
        if form.get("client_assertion"):
            raise oauth_error("invalid_client", "Certificates and federated assertions are not supported; use a client secret.", 401)
        tries, until = self._wrong.get(client_id, (0, 0.0))
        if tries >= TRIES and ctx.now < until:
            raise oauth_error("temporarily_unavailable", f"Too many wrong secrets for this client; wait {int(until - ctx.now) + 1} s.", 429)
        found = await ctx.db.read(access.by_client, client_id) if client_id and secret else None
        good = secrets.compare_digest(hash_secret(self.master_key, secret), (found.secret_hash if found else None) or "")
        if not found or not good or not found.enabled:
            if len(self._wrong) > 10_000:
                self._wrong.clear()
            self._wrong[client_id] = (tries + 1, ctx.now + LOCK_S)
            raise oauth_error("invalid_client", "Invalid client secret or unknown client.", 401)
        self._wrong.pop(client_id, None)
        return found

    def _answer(self, caller: Caller, form: dict[str, str], refresh: str = "") -> Response:
        audience = audience_of(form, self.services.base_url)
        lifetime = self.services.settings.access_token_lifetime
        expires = int(self.services.now()) + lifetime
        body: dict[str, Any] = {
            "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "expires_on": str(expires), "not_before": str(int(self.services.now())),
            "resource": audience, "access_token": self.authority.token_for(caller, audience, lifetime),
        }
        if refresh:
            body |= {"refresh_token": refresh, "scope": form.get("scope") or f"{audience}/.default", "id_token": self._id_token(caller, form), "client_info": _client_info(caller)}
        return json_response(body, headers={"Cache-Control": "no-store"})

    def _id_token(self, caller: Caller, form: dict[str, str]) -> str:
        return self.authority.token_for(caller, form.get("client_id", ""), preferred_username=caller.name)

    # ---- device code and refresh -------------------------------------------------------------------------------------

    async def device_code(self, ctx: Context) -> Response:
        form = await _form(ctx)
        lifetime = self.services.settings.device_code_lifetime
        code = secrets.token_urlsafe(32)
        user_code = "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(9))
        doc = {"user_code": user_code, "client_id": form.get("client_id", ""), "polled": 0.0}
        await ctx.db.write(grants.put, "device", self._hash(code), None, doc, ctx.now + lifetime, ctx.now)
        page = f"{self.services.base_url}/device"
        return json_response({
            "device_code": code, "user_code": user_code, "verification_uri": page, "verification_url": page, "expires_in": lifetime, "interval": POLL_S,
            "message": f"To sign in, open the page {page} and enter the code {user_code} to authenticate.",
        }, headers={"Cache-Control": "no-store"})

    async def confirm_device_code(self, ctx: Context, user_code: str, principal: Principal) -> bool:
        return await ctx.db.write(grants.confirm_device, user_code.strip().upper(), principal.id, ctx.now)

    async def _redeem_device_code(self, ctx: Context, code: str) -> Caller:
        state, principal = await ctx.db.write(grants.redeem_device, self._hash(code), ctx.now, POLL_S - 1)
        if state != "ok" or principal is None:
            words = {
                "authorization_pending": "The user has not confirmed the code yet.", "slow_down": "Polling is too fast.",
                "expired_token": "The code has expired.", "invalid_grant": "The code is unknown or was used already.",
            }
            raise oauth_error(state, words[state])
        return await self._caller(ctx, principal)

    async def _new_refresh_token(self, ctx: Context, caller: Caller) -> str:
        token = secrets.token_urlsafe(48)
        expires = ctx.now + self.services.settings.refresh_token_lifetime
        await ctx.db.write(grants.put, "refresh", self._hash(token), caller.id, {}, expires, ctx.now)
        return token

    async def _redeem_refresh_token(self, ctx: Context, token: str) -> Caller:
        principal = await ctx.db.write(grants.redeem_refresh, self._hash(token), ctx.now)
        if principal is None:
            raise oauth_error("invalid_grant", "The refresh token is unknown, has expired or was used already; sign in again.")
        return await self._caller(ctx, principal)

    async def _caller(self, ctx: Context, principal_id: str) -> Caller:
        found = await ctx.db.read(access.by_client, principal_id)
        if found is None or not found.enabled:
            raise oauth_error("invalid_grant", "The principal is gone or disabled.")
        return self.authority.caller_of(found)

    def _hash(self, code: str) -> str:
        return hash_secret(self.master_key, code)


def audience_of(form: dict[str, str], base_url: str) -> str:
    """The audience asked for: v1 `resource`, or the `scope` "AUDIENCE/.default" of v2. Any is issued; each surface takes its own."""
    if resource := form.get("resource"):
        return resource
    for scope in form.get("scope", "").split():
        if scope.endswith("/.default"):
            return scope.removesuffix("/.default").rstrip("/") or base_url
        if "://" in scope:
            return scope.rsplit("/", 1)[0].rstrip("/")
    return base_url


async def _form(ctx: Context) -> dict[str, str]:
    try:
        fields = parse_qs((await ctx.body()).decode(), keep_blank_values=True, max_num_fields=64)
    except (UnicodeDecodeError, ValueError):
        raise oauth_error("invalid_request", "The body is no form (application/x-www-form-urlencoded).") from None
    return {name: values[0] for name, values in fields.items()}


def _client_info(caller: Caller) -> str:
    text = f'{{"uid":"{uuid.UUID(caller.id)}","utid":"{caller.tenant}"}}'
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
