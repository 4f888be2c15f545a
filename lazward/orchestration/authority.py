"""The one place that says who calls and what they may do: tokens, principals and role assignments joined.

Assignments, custom roles, disabled principals and signing keys are held in memory and read again after STALE_S, or at once when
this process changes them, so a revoked role ends within a second everywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from lazward.contract.caller import SYSTEM, Caller
from lazward.contract.envelope import timestamp
from lazward.domain import rbac
from lazward.domain.rbac import Assignment, Role
from lazward.domain.rbac_roles import BUILT_IN
from lazward.identity import tokens
from lazward.identity.tokens import SigningKeys, unauthorized
from lazward.storage import access, resources
from lazward.storage.db import Database, Tx
from lazward.storage.secrets import Vault

STALE_S = 1.0
VERIFIED_MAX = 4096
JOB_TOKEN_S = 30 * 86400.0  # a job's token ends with its run; this is the far limit
_KEY = "signing-key:"


class Authority:
    """issuers: every spelling of our own address that tokens are issued under."""

    def __init__(self, db: Database, vault: Vault, master_key: bytes, *, base_url: str, tenant: str, lifetime: float, key_lifetime: float, now: Callable[[], float] = time.time):
        self.db = db
        self.vault = vault
        self.master_key = master_key
        self.tenant = tenant
        self.lifetime = lifetime
        self.key_lifetime = key_lifetime
        self.now = now
        self.base_url = base_url
        self.issuer = f"{base_url}/{tenant}/v2.0"
        self.audiences = accepted_audiences(base_url)
        self._roles: dict[str, tuple[tuple[str, Role], ...]] = {}
        self._disabled: frozenset[str] = frozenset()
        self._keys: SigningKeys | None = None
        self._read_at = -1e9
        self._verified: dict[str, tuple[Caller, float]] = {}
        self._over: dict[tuple[str, str], tuple[bool, float]] = {}
        self._reading = asyncio.Lock()

    # ---- who ---------------------------------------------------------------------------------------------------------

    async def authenticate(self, authorization: str | None) -> Caller:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._challenge("Authentication failed. The 'Authorization' header is missing or is no bearer token.", "AuthenticationFailed")
        await self._fresh()
        now = self.now()
        known = self._verified.get(token)
        if known is None or known[1] < now:
            try:
                caller, claims = tokens.verify(self.signing_keys, token.strip(), issuers=self.issuers, now=now)
            except tokens.ArmError as error:
                raise self._challenge(error.message, error.code) from None
            if caller.audience.rstrip("/").lower() not in self.audiences:
                raise self._challenge(f"The access token was made for the audience '{caller.audience[:100]}', not for this server.", "InvalidAuthenticationTokenAudience")
            if len(self._verified) >= VERIFIED_MAX:
                self._verified.clear()
            self._verified[token] = (caller, float(claims["exp"]))
        else:
            caller = known[0]
        if caller.id in self._disabled:
            raise self._challenge("The principal is disabled.")
        if caller.run and await self._run_is_over(caller.bound_to, caller.run):
            raise self._challenge(f"The run '{caller.run}' that this token was made for is over.", "ExpiredAuthenticationToken")
        return caller

    # ---- may ---------------------------------------------------------------------------------------------------------

    async def allowed(self, caller: Caller, action: str, scope: str, *, data: bool = False) -> bool:
        if caller is SYSTEM:
            return True
        if not rbac.within(scope, caller.bound_to):
            return False
        await self._fresh()
        held = self._roles.get(caller.id)
        if not held:
            return False
        above = set(rbac.scopes_above(scope))
        return rbac.allowed((role for at, role in held if at in above), action, data)

    async def has_role_below(self, caller: Caller, scope: str) -> bool:
        await self._fresh()
        return any(rbac.within(at, scope) for at, _ in self._roles.get(caller.id, ()))

    async def permissions(self, caller: Caller, scope: str) -> list[Role]:
        """The roles that apply to the caller at scope."""
        await self._fresh()
        above = set(rbac.scopes_above(scope))
        return [role for at, role in self._roles.get(caller.id, ()) if at in above]

    def principals_allowed(self, action: str, scope: str) -> list[str]:
        """Who has action at scope; for what decides by a list, such as the gateway."""
        above = set(rbac.scopes_above(scope))
        return [p for p, held in self._roles.items() if p not in self._disabled and rbac.allowed((r for at, r in held if at in above), action)]

    # ---- tokens ------------------------------------------------------------------------------------------------------

    @property
    def signing_keys(self) -> SigningKeys:
        if self._keys is None:
            self.refresh_now()
        assert self._keys is not None
        return self._keys

    @property
    def issuers(self) -> frozenset[str]:
        return frozenset({self.issuer})

    def token_for(self, caller: Caller, audience: str, lifetime: float | None = None, **extra: Any) -> str:
        return tokens.issue(self.signing_keys, caller, audience=audience, issuer=self.issuer, now=self.now(), lifetime=lifetime or self.lifetime, extra=extra)

    def for_job(self, principal_id: str, workspace: str, run: str) -> tuple[str, str]:
        """(tracking token, identity secret) that a job carries: the submitter's rights, bound to the workspace and to the run."""
        name = self._names.get(principal_id, principal_id)
        caller = Caller(id=principal_id, name=name, kind="ManagedIdentity", tenant=self.tenant, bound_to=workspace, run=run)
        return self.token_for(caller, self.base_url, JOB_TOKEN_S), tokens.job_secret(self.master_key, workspace, run, principal_id)

    def caller_of(self, principal: access.Principal) -> Caller:
        return Caller(id=principal.id, name=principal.name, kind=principal.kind, tenant=self.tenant, app_id=principal.app_id or "")

    async def by_identity_secret(self, secret: str) -> Caller | None:
        """Who an IDENTITY_HEADER stands for: a principal, or a job while it runs."""
        job = tokens.read_job_secret(self.master_key, secret)
        if job is None:
            found = await self.db.read(access.by_secret, tokens.hash_secret(self.master_key, secret))
            return self.caller_of(found) if found and found.enabled else None
        workspace, run, principal = job
        if await self._run_is_over(workspace, run):
            return None
        await self._fresh()
        return Caller(id=principal, name=self._names.get(principal, principal), kind="ManagedIdentity", tenant=self.tenant, bound_to=workspace, run=run)

    # ---- state -------------------------------------------------------------------------------------------------------

    def refresh_now(self) -> None:
        """Reads assignments, roles and keys; call after changing them."""
        self._take(self.db.read_now(self._read))

    async def refresh(self) -> None:
        self._take(await self.db.read(self._read))

    def rotate_key(self, tx: Tx, now: float) -> str:
        """Adds a signing key, which signs from now on; older ones verify until the tokens they signed have ended."""
        kid, pem = tokens.new_key()
        self.vault.put(tx, f"{_KEY}{timestamp(now)}:{kid}", pem, now)
        return kid

    async def _fresh(self) -> None:
        if time.monotonic() - self._read_at < STALE_S:
            return
        async with self._reading:
            if time.monotonic() - self._read_at >= STALE_S:
                await self.refresh()

    def _read(self, tx: Tx) -> tuple[list[Assignment], list[Role], set[str], list[tuple[str, bytes]], dict[str, str]]:
        names = sorted(self.vault.names(tx, _KEY), reverse=True)
        keys = [(name.rsplit(":", 1)[-1], self.vault.get(tx, name) or b"") for name in names]
        people = {p.id: p.name for p in access.principals(tx)}
        return access.assignments(tx), [role for role, _ in access.custom_roles(tx)], access.disabled(tx), keys, people

    def _take(self, state: tuple[list[Assignment], list[Role], set[str], list[tuple[str, bytes]], dict[str, str]]) -> None:
        assignments, custom, disabled, keys, self._names = state
        roles = BUILT_IN | {role.id: role for role in custom}
        held: dict[str, list[tuple[str, Role]]] = {}
        for given in assignments:
            if given.role in roles:
                held.setdefault(given.principal, []).append((given.scope, roles[given.role]))
        self._roles = {principal: tuple(pairs) for principal, pairs in held.items()}
        self._disabled = frozenset(disabled)
        if keys and (self._keys is None or [k.kid for k in self._keys.keys] != [kid for kid, _ in keys]):
            self._keys = SigningKeys(keys)
            self._verified.clear()
        self._read_at = time.monotonic()

    async def _run_is_over(self, workspace: str, run: str) -> bool:
        now = time.monotonic()
        known = self._over.get((workspace, run))
        if known is None or (not known[0] and known[1] < now - STALE_S):
            over = await self.db.read(_job_is_over, workspace, run)
            if len(self._over) > VERIFIED_MAX:
                self._over.clear()
            known = self._over[(workspace, run)] = (over, now)
        return known[0]

    def _challenge(self, message: str, code: str = "InvalidAuthenticationToken") -> tokens.ArmError:
        error = unauthorized(message, code)
        error.headers["WWW-Authenticate"] = f'Bearer authorization_uri="{self.base_url}/{self.tenant}", error="invalid_token", error_description="{message}"'
        return error


def _job_is_over(tx: Tx, workspace: str, run: str) -> bool:
    job = resources.get(tx, f"{workspace}/jobs/{run}")
    return job is None or job.properties.get("status") in ("Completed", "Failed", "Canceled")


def accepted_audiences(base_url: str) -> frozenset[str]:
    """Audiences of tokens that this server takes: its own, and the fixed ones that clients ask for (wire contract 2.1)."""
    port = base_url.rsplit(":", 1)[-1]
    return frozenset({
        base_url.lower(), f"https://localhost:{port}", f"https://127.0.0.1:{port}", "https://management.azure.com", "https://management.core.windows.net",
        "https://ml.azure.com", AML_RESOURCE, "https://storage.azure.com", "https://graph.microsoft.com", "https://vault.azure.net",
    })


AML_RESOURCE = "https://ml.azure.lazward.local"
