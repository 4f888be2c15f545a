"""The issuer (RFC 6749, 7636, 8628 and OpenID discovery) in the words that msal understands."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from typing import Any

import msgspec
from starlette.responses import Response

from lazward.apps.chain import Context, json_response
from lazward.apps.services import Services
from lazward.apps.token.errors import NO_STORE, TENANT_NOT_FOUND, TOO_MANY, OAuthError
from lazward.apps.token.requests import audience_of, credentials_of, form_of, public_client_of
from lazward.apps.token.throttle import Throttle
from lazward.contract.caller import Caller
from lazward.identity.tokens import hash_secret
from lazward.orchestration.authority import Authority, issuer_of, spellings
from lazward.storage import access, grants
from lazward.storage.access import Principal

ADFS = "adfs"
# Names of the one tenant besides its guid. adfs: the form of paths by which msal asks nobody else whether we can be trusted.
TENANTS = frozenset({"common", "organizations", "lazward.local", ADFS})
POLL_S = 5
CODE_LIFETIME_S = 300
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words; nothing that looks like a digit
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Issuer:
    def __init__(self, services: Services):
        self.services = services
        self.authority: Authority = services.authority  # type: ignore[assignment]
        self.throttle = Throttle()
        self.bases = {base.removeprefix("https://").lower(): base for base in spellings(services.base_url)}

    # ---- documents ---------------------------------------------------------------------------------------------------

    def base(self, ctx: Context) -> str:
        """Our own address in the spelling of the request; the usual one where it asks for another host."""
        return self.bases.get(ctx.request.headers.get("host", "").lower(), self.services.base_url)

    def tenant(self, ctx: Context) -> str:
        """The tenant as the path names it."""
        name = ctx.params["tenant"]
        if name.lower() not in TENANTS and name.lower() != self.authority.tenant:
            raise OAuthError("invalid_request", f"Tenant '{name[:80]}' not found. This server's tenant is '{self.authority.tenant}'.", 400, TENANT_NOT_FOUND)
        return name

    def issuer(self, ctx: Context) -> str:
        return issuer_of(self.base(ctx), self.authority.tenant, self.tenant(ctx).lower() == ADFS)

    async def configuration(self, ctx: Context) -> Response:
        """The addresses are in the spelling that was asked, so that both spellings of us are consistent."""
        tenant, base = self.tenant(ctx), self.base(ctx)
        path, version = f"{base}/{tenant}", "" if tenant.lower() == ADFS else "/v2.0"
        return json_response({
            "issuer": self.issuer(ctx), "authorization_endpoint": f"{path}/oauth2{version}/authorize", "token_endpoint": f"{path}/oauth2{version}/token",
            "device_authorization_endpoint": f"{path}/oauth2{version}/devicecode", "jwks_uri": f"{path}/discovery{version}/keys",
            "response_types_supported": ["code"], "response_modes_supported": ["query", "form_post"], "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token", DEVICE_GRANT],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "claims_supported": ["aud", "exp", "iat", "iss", "name", "nbf", "nonce", "oid", "preferred_username", "sub", "tid", "upn", "ver"],
            "tenant_region_scope": None, "cloud_instance_name": base.removeprefix("https://"),
        })

    async def keys(self, ctx: Context) -> Response:
        self.tenant(ctx)
        await self.authority.directory.fresh()
        return json_response(self.authority.signing_keys.jwks())

    async def instances(self, ctx: Context) -> Response:
        """Instance discovery: which hosts are one authority."""
        host = self.base(ctx).removeprefix("https://")
        return json_response({
            "tenant_discovery_endpoint": f"{self.base(ctx)}/{self.authority.tenant}/v2.0/.well-known/openid-configuration", "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": list(self.bases)}],
        })

    # ---- the token endpoint --------------------------------------------------------------------------------------------

    async def token(self, ctx: Context) -> Response:
        issuer, form = self.issuer(ctx), await form_of(ctx)
        await self.authority.keep_keys()
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            principal = await self.client(ctx, *credentials_of(ctx, form))
            return self._answer(self.authority.caller_of(principal), issuer, form, audience_of(form, None))
        if grant in (DEVICE_GRANT, "device_code"):
            return await self._redeem_device_code(ctx, issuer, form)
        if grant == "refresh_token":
            return await self._redeem_refresh_token(ctx, issuer, form)
        if grant == "authorization_code":
            return await self._redeem_code(ctx, issuer, form)
        if not grant:
            raise OAuthError("invalid_request", "The request body must contain the following parameter: 'grant_type'.")
        known = "client_credentials, authorization_code, refresh_token and device_code"
        raise OAuthError("unsupported_grant_type", f"The grant type '{grant[:80]}' is not supported; {known} are.")

    async def client(self, ctx: Context, client_id: str, secret: str) -> Principal:
        """The principal of an id (client id or object id) and secret. 401 in the same words whichever of them is wrong; 429 to who
        keeps guessing (S6)."""
        peer = ctx.request.client.host if ctx.request.client else ""
        key, now = (client_id.lower(), peer), ctx.now
        if wait := self.throttle.wait(key, now):
            seconds = int(wait) + 1
            raise OAuthError("temporarily_unavailable", f"Too many wrong secrets for this client; try again in {seconds} s.", 429, TOO_MANY, {"Retry-After": str(seconds)})
        found = await ctx.db.read(access.by_client, client_id.lower())
        given = hash_secret(self.authority.master_key, secret)
        if not hmac.compare_digest(given, (found.secret_hash if found else None) or "") or found is None or not found.enabled:
            self.throttle.failed(key, now)
            raise OAuthError("invalid_client", f"The client '{client_id[:80]}' is unknown or disabled, or its secret is wrong.", 401)
        self.throttle.passed(key)
        return found

    def _answer(self, caller: Caller, issuer: str, form: dict[str, str], audience: str, *, refresh: str = "", nonce: str = "") -> Response:
        lifetime, now = self.services.settings.access_token_lifetime, int(self.services.now())
        body: dict[str, Any] = {
            "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime,
            "access_token": self.authority.token_for(caller, audience, lifetime, issuer=issuer),
        }
        if "resource" in form:  # v1 of the endpoint answers numbers as texts
            body |= {"expires_in": str(lifetime), "ext_expires_in": str(lifetime), "expires_on": str(now + lifetime), "not_before": str(now), "resource": audience}
        if refresh:
            body |= {
                "refresh_token": refresh, "scope": form.get("scope") or f"{audience}/.default",
                "id_token": self.authority.id_token_for(caller, caller.app_id, issuer=issuer, nonce=nonce), "client_info": _client_info(caller),
            }
        return json_response(body, headers=NO_STORE)

    # ---- device codes --------------------------------------------------------------------------------------------------

    async def device_code(self, ctx: Context) -> Response:
        self.tenant(ctx)
        form = await form_of(ctx)
        client_id, audience = public_client_of(form), audience_of(form, self.services.base_url)
        lifetime = self.services.settings.device_code_lifetime
        code, user_code = secrets.token_urlsafe(32), "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(9))
        doc = {"client_id": client_id, "audience": audience, "peer": ctx.request.client.host if ctx.request.client else "?", "at": ctx.now}
        if not await ctx.db.write(grants.open_device, self.hash(code), self.hash(user_code), doc, ctx.now + lifetime, ctx.now):
            raise OAuthError("temporarily_unavailable", "Too many sign-ins wait for their confirmation; try again later.", 503)
        page = f"{self.services.base_url}/device"
        return json_response({
            "device_code": code, "user_code": user_code, "verification_uri": page, "verification_url": page, "expires_in": lifetime, "interval": POLL_S,
            "verification_uri_complete": f"{page}?user_code={user_code}",
            "message": f"To sign in, use a web browser to open the page {page} and enter the code {user_code} to authenticate.",
        }, headers=NO_STORE)

    async def _redeem_device_code(self, ctx: Context, issuer: str, form: dict[str, str]) -> Response:
        client_id, code = public_client_of(form), form.get("device_code") or form.get("code") or ""
        audience = audience_of(form, self.services.base_url)
        state, principal = await ctx.db.write(grants.redeem_device, self.hash(code), client_id, ctx.now, POLL_S - 1)
        if state != "ok" or principal is None:
            words = {
                "authorization_pending": "The user has not confirmed the code yet.", "slow_down": "The client asks too often; wait longer between two requests.",
                "expired_token": "The code has expired.", "authorization_declined": "The user has declined.",
            }
            raise OAuthError(state, words.get(state, "The device code is unknown, of another client, or was used already."), number=70018 if state == "invalid_grant" else None)
        return await self._signed_in(ctx, issuer, form, principal, client_id, audience)

    # ---- authorisation codes -------------------------------------------------------------------------------------------

    async def new_code(self, ctx: Context, principal: Principal, doc: dict[str, Any]) -> str:
        """doc: client_id, redirect_uri, challenge, audience, nonce."""
        code = secrets.token_urlsafe(32)
        await ctx.db.write(grants.put_code, self.hash(code), principal.id, doc, ctx.now + CODE_LIFETIME_S, ctx.now)
        return code

    async def _redeem_code(self, ctx: Context, issuer: str, form: dict[str, str]) -> Response:
        client_id = public_client_of(form)
        found = await ctx.db.write(grants.redeem_code, self.hash(form.get("code", "")), ctx.now)
        if found is None or found.principal is None or found.doc["client_id"] != client_id or found.doc["redirect_uri"] != form.get("redirect_uri"):
            raise OAuthError("invalid_grant", "The code is unknown, has expired, was used already, or belongs to another client or redirect_uri.", number=70008)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        if not hmac.compare_digest(proof, found.doc["challenge"]):
            raise OAuthError("invalid_grant", "The code_verifier does not match the code_challenge of the authorization request.", number=50148)
        audience = audience_of(form, found.doc["audience"])
        return await self._signed_in(ctx, issuer, form, found.principal, client_id, audience, found.doc["nonce"])

    # ---- refresh tokens ------------------------------------------------------------------------------------------------

    async def _signed_in(self, ctx: Context, issuer: str, form: dict[str, str], principal: str, client_id: str, audience: str, nonce: str = "") -> Response:
        """The first answer to a program that a person has let in."""
        caller = await self._person(ctx, principal, client_id)
        refresh = secrets.token_urlsafe(48)
        expires = ctx.now + self.services.settings.refresh_token_lifetime
        await ctx.db.write(grants.put_refresh, self.hash(refresh), principal, client_id, uuid.uuid4().hex, expires)
        return self._answer(caller, issuer, form, audience, refresh=refresh, nonce=nonce)

    async def _redeem_refresh_token(self, ctx: Context, issuer: str, form: dict[str, str]) -> Response:
        client_id, audience = public_client_of(form), audience_of(form, self.services.base_url)
        refresh = secrets.token_urlsafe(48)
        expires = ctx.now + self.services.settings.refresh_token_lifetime
        old = self.hash(form.get("refresh_token", ""))
        principal = await ctx.db.write(grants.rotate_refresh, old, client_id, self.hash(refresh), expires, ctx.now)
        if principal is None:
            raise OAuthError("invalid_grant", "The refresh token is unknown, has expired, was used already or belongs to another client; sign in again.", number=700082)
        return self._answer(await self._person(ctx, principal, client_id), issuer, form, audience, refresh=refresh)

    async def _person(self, ctx: Context, principal_id: str, client_id: str) -> Caller:
        """Who let a program in, as the caller that the program then is."""
        found = await ctx.db.read(access.by_client, principal_id)
        if found is None or not found.enabled:
            raise OAuthError("invalid_grant", "The principal that signed in is disabled or gone.", number=50057)
        return msgspec.structs.replace(self.authority.caller_of(found), app_id=client_id)

    def hash(self, code: str) -> str:
        return hash_secret(self.authority.master_key, code)


def _client_info(caller: Caller) -> str:
    """What msal names the account by in its cache."""
    text = msgspec.json.encode({"uid": caller.id, "utid": caller.tenant})
    return base64.urlsafe_b64encode(text).decode().rstrip("=")
