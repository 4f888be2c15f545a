"""The one place that says who calls and what they may do: tokens, principals and role assignments joined.

What it knows is held in memory (Directory), so a check costs microseconds; a change made by this process holds at once, one made
by another within a second.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from lazward.contract.caller import SYSTEM, Caller
from lazward.contract.errors import ArmError, conflict
from lazward.domain import rbac
from lazward.domain.audiences import management_audiences, service_of
from lazward.domain.rbac import Role
from lazward.domain.settings import url_host
from lazward.identity import tokens
from lazward.identity.tokens import SigningKeys, UnknownKey, unauthorized
from lazward.orchestration import signing
from lazward.orchestration.directory import Directory, State
from lazward.storage import access, tasks
from lazward.storage.db import Database, Tx
from lazward.storage.secrets import Vault

VERIFIED_MAX = 4096
RUN_STALE_S = 0.9
REREAD_KEYS_S = 0.1  # between two looks for a key that a token names and we do not hold
JOB_TOKEN_S = 30 * 86400.0  # a job's token ends with its run; this is the far limit
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Authority:
    """base_url: https://HOST:PORT. Our loopback names at that port count as us too. tenant: guid.
    lifetime: of access tokens; key_lifetime: of signing keys; both in seconds. now: unix seconds; clock: seconds that only go forward."""

    def __init__(
        self, db: Database, vault: Vault, master_key: bytes, *, base_url: str, tenant: str, lifetime: float, key_lifetime: float,
        now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic,
    ):
        self.db = db
        self.vault = vault
        self.master_key = master_key
        self.tenant = tenant
        self.lifetime = lifetime
        self.key_lifetime = key_lifetime
        self.now = now
        self.clock = clock
        self.base_url = base_url
        self.bases = frozenset(base.lower() for base in spellings(base_url))
        self.issuer = issuer_of(base_url, tenant)
        self.issuers = frozenset(issuer_of(base, tenant, adfs) for base in self.bases for adfs in (False, True))
        self.audiences = management_audiences(self.bases)  # for what checks tokens elsewhere: the gateway
        self.directory = Directory(db, vault, clock)
        self._verified: dict[bytes, tuple[Caller, float]] = {}
        self._verified_by: SigningKeys | None = None
        self._runs: dict[tuple[str, str], tuple[bool, float]] = {}

    # ---- who ---------------------------------------------------------------------------------------------------------

    async def authenticate(self, authorization: str | None) -> Caller:
        """The caller of an Authorization header; ArmError 401. That its audience fits the surface is the chain's business."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise self.challenge("Authentication failed. The 'Authorization' header is missing or is no bearer token.", "AuthenticationFailed")
        state = self.directory.known() or await self.directory.fresh()
        caller = await self._prove(token, state)
        principal = state.principals.get(caller.id)
        if principal is None:  # made a moment ago by another process, or gone
            principal = (await self.directory.read()).principals.get(caller.id)
        if principal is None or not principal.enabled:
            raise self.challenge("The principal of the access token is disabled or gone.")
        if caller.run and await self._run_is_over(caller.bound_to, caller.run):
            raise self.challenge("The run that the access token was made for is over.", "ExpiredAuthenticationToken")
        return caller

    async def _prove(self, token: str, state: State) -> Caller:
        """Signature, issuer and times, remembered until the token expires or the keys change."""
        if state.keys is not self._verified_by:
            self._verified.clear()
            self._verified_by = state.keys
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._verified.get(digest)
        if known is not None and self.now() <= known[1]:
            return known[0]
        try:
            caller, claims = await self._verify(token, state)
        except UnknownKey:
            raise self.challenge("The access token is not signed by a key of this server.") from None
        except ArmError as error:
            raise self.challenge(error.message, error.code) from None
        if not service_of(caller.audience, self.bases):
            raise self.challenge("The access token was made for another audience, not for this server.", "InvalidAuthenticationTokenAudience")
        if len(self._verified) >= VERIFIED_MAX:
            self._verified.clear()
        self._verified[digest] = (caller, float(claims["exp"]))
        return caller

    async def _verify(self, token: str, state: State) -> tuple[Caller, dict[str, Any]]:
        now = self.now()
        try:
            return tokens.verify(state.keys or self.signing_keys, token, issuers=self.issuers, now=now)
        except UnknownKey:
            if self.clock() - self.directory.read_at < REREAD_KEYS_S:
                raise
            keys = (await self.directory.read()).keys or self.signing_keys
            return tokens.verify(keys, token, issuers=self.issuers, now=now)

    async def _run_is_over(self, workspace: str, run: str) -> bool:
        asked = self.clock()
        known = self._runs.get((workspace, run))
        if known is None or (not known[0] and asked - known[1] >= RUN_STALE_S):
            over = await self.db.read(access.run_is_over, workspace, run)
            if len(self._runs) >= VERIFIED_MAX:
                self._runs.clear()
            known = self._runs[(workspace, run)] = (over, asked)
        return known[0]

    # ---- may ---------------------------------------------------------------------------------------------------------

    async def allowed(self, caller: Caller, action: str, scope: str, *, data: bool = False) -> bool:
        if caller is SYSTEM:
            return True
        state = self.directory.known() or await self.directory.fresh()
        return state.allowed(caller.id, action, scope, data, bound=caller.bound_to, run=bool(caller.run))

    async def has_role_below(self, caller: Caller, scope: str) -> bool:
        """Whether caller has a role at scope, above it or inside it that its token reaches."""
        if caller is SYSTEM:
            return True
        state = await self.directory.fresh()
        inside = caller.bound_to if caller.bound_to and rbac.within(caller.bound_to, scope) else scope
        if not rbac.within(inside, caller.bound_to):
            return False
        return any(rbac.within(given.scope, inside) or rbac.within(inside, given.scope) for given in state.held.get(caller.id, ()))

    async def permissions(self, caller: Caller, scope: str) -> list[Role]:
        """The roles that apply to the caller at scope; none beyond the limits of its token."""
        if caller.bound_to and not rbac.within(scope, caller.bound_to):
            return []
        state = await self.directory.fresh()
        above = set(rbac.scopes_above(scope))
        return [state.roles[given.role] for given in state.held.get(caller.id, ()) if given.scope in above and given.role in state.roles]

    def principals_allowed(self, action: str, scope: str) -> list[str]:
        """Who has action at scope; for what decides by a list, such as the gateway. Of what is known now: see refresh_now()."""
        state = self.directory.state or self.directory.read_now()
        return [who for who in state.principals if state.allowed(who, action, scope)]

    # ---- tokens ------------------------------------------------------------------------------------------------------

    @property
    def signing_keys(self) -> SigningKeys:
        state = self.directory.state or self.directory.read_now()
        if state.keys is None:
            state = self.directory.read_now()
        if state.keys is None:
            raise RuntimeError("there is no signing key: the first start has not been made")
        return state.keys

    def token_for(self, caller: Caller, audience: str, lifetime: float | None = None, *, issuer: str = "", **extra: Any) -> str:
        issuer = issuer or self.issuer
        return tokens.issue(self.signing_keys, caller, audience=audience, issuer=issuer, now=self.now(), lifetime=lifetime or self.lifetime, extra=extra)

    def id_token_for(self, caller: Caller, client_id: str, *, issuer: str = "", nonce: str = "") -> str:
        issuer = issuer or self.issuer
        return tokens.issue_id_token(self.signing_keys, caller, client_id=client_id, issuer=issuer, now=self.now(), lifetime=self.lifetime, nonce=nonce)

    def for_job(self, principal_id: str, workspace: str, run: str) -> tuple[str, str]:
        """(tracking token, identity secret) that a job carries: the submitter's rights, bound to the workspace (a resource id's key)
        and to the run. ArmError 409 when the submitter is disabled or gone."""
        caller = self._job_caller(self.directory.known() or self.directory.read_now(), principal_id, workspace, run)
        if caller is None:
            raise conflict("The principal that submitted the job is disabled or gone, so the job has no identity to run under.", code="SubmitterNotFound")
        return self.token_for(caller, self.base_url, JOB_TOKEN_S), tokens.job_secret(self.master_key, workspace, run, principal_id)

    def _job_caller(self, state: State, principal_id: str, workspace: str, run: str) -> Caller | None:
        found = state.principals.get(principal_id)
        if found is None or not found.enabled:
            return None
        return Caller(
            id=found.id, name=found.name, kind="ManagedIdentity", tenant=self.tenant, app_id=found.app_id or "", bound_to=workspace.lower(), run=run,
        )

    def caller_of(self, principal: access.Principal) -> Caller:
        return Caller(id=principal.id, name=principal.name, kind=principal.kind, tenant=self.tenant, app_id=principal.app_id or "")

    async def by_identity_secret(self, secret: str) -> Caller | None:
        """Who an IDENTITY_HEADER stands for: a principal, or a job while it runs."""
        job = tokens.read_job_secret(self.master_key, secret)
        if job is None:
            found = await self.db.read(access.by_secret, tokens.hash_secret(self.master_key, secret))
            return self.caller_of(found) if found and found.enabled else None
        workspace, run, principal = job
        caller = self._job_caller(await self.directory.fresh(), principal, workspace, run)
        return None if caller is None or await self._run_is_over(caller.bound_to, run) else caller

    # ---- state -------------------------------------------------------------------------------------------------------

    def refresh_now(self) -> None:
        """Reads assignments, roles, principals and keys; call after changing them."""
        self.directory.forget()
        self.directory.read_now()

    async def refresh(self) -> None:
        self.directory.forget()
        await self.directory.read()

    def changed(self, tx: Tx) -> None:
        """Call in a transaction that changes who may do what, or the signing keys: the next check of this process sees it, and
        the gateway is told."""
        tasks.enqueue(tx, "gateway.sync", "gateway", {}, self.now())
        tx.run_after_commit(self.directory.forget)

    def rotate_key(self, tx: Tx, now: float, *, revoke_old: bool = False) -> str:
        """Adds a signing key, which signs from now on; older ones verify until the tokens they signed have ended, or, with
        revoke_old, not at all. For `lazward keys rotate`."""
        self.changed(tx)
        return signing.rotate(tx, self.vault, now, revoke_old=revoke_old)

    async def keep_keys(self) -> None:
        """The upkeep of signing keys; costs microseconds while there is nothing to do."""
        state, now, longest = await self.directory.fresh(), self.now(), max(JOB_TOKEN_S, self.lifetime)
        if signing.is_due(state.key_names, now, self.key_lifetime, longest):

            def renew(tx: Tx) -> None:
                signing.keep_up(tx, self.vault, now, self.key_lifetime, longest)
                self.changed(tx)

            await self.db.write(renew)

    def challenge(self, message: str, code: str = "InvalidAuthenticationToken") -> ArmError:
        """A 401 as ARM words it. message: fixed words only, for it is put into a header."""
        error = unauthorized(message, code)
        error.headers["WWW-Authenticate"] = f'Bearer authorization_uri="{self.base_url}/{self.tenant}", error="invalid_token", error_description="{message}"'
        return error


def spellings(base_url: str) -> tuple[str, ...]:
    """Our own address, and its loopback names at the same port."""
    port = urlsplit(base_url).port
    return tuple(dict.fromkeys((base_url, *(f"https://{url_host(name)}:{port}" for name in LOOPBACK))))


def issuer_of(base: str, tenant: str, adfs: bool = False) -> str:
    """The issuer as the OpenID configuration under `base` names it, so that both spellings of us are consistent."""
    return f"{base}/adfs" if adfs else f"{base}/{tenant}/v2.0"
