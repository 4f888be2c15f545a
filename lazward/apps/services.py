"""What every HTTP surface may use. Built in one place, for the server and for the tests alike: control.build_services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lazward.contract.caller import Caller
from lazward.domain.rbac import Role
from lazward.domain.settings import Settings
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database, Tx
from lazward.storage.secrets import Vault

if TYPE_CHECKING:  # the surfaces that these belong to import this module
    from lazward.apps.history.runs import JobsPort
    from lazward.apps.mlflow.models_port import ModelRegistryPort


class Authority(Protocol):
    """Proves callers and decides what they may do. Implemented in orchestration/authority.py."""

    async def authenticate(self, authorization: str | None) -> Caller:
        """Verifies an Authorization header ("Bearer <jwt>"); raises ArmError 401 with WWW-Authenticate otherwise."""
        ...

    async def allowed(self, caller: Caller, action: str, scope: str, *, data: bool = False) -> bool:
        """Whether a role assigned at scope (a resource id) or above grants action to caller, within the token's own limits.
        data: match dataActions instead of actions."""
        ...

    async def has_role_below(self, caller: Caller, scope: str) -> bool:
        """Whether caller has any role at something inside scope: what makes a subscription visible to them."""
        ...

    async def permissions(self, caller: Caller, scope: str) -> list[Role]:
        """The roles that caller has at scope."""
        ...

    def changed(self, tx: Tx) -> None:
        """To be called in a transaction that changes principals, roles or assignments: it holds from its commit on."""
        ...

    def token_for(self, caller: Caller, audience: str, lifetime: float | None = None, *, issuer: str = "", **extra: Any) -> str:
        """An access token; lifetime in seconds, extra: more claims."""
        ...

    def for_job(self, principal_id: str, workspace: str, run: str) -> tuple[str, str]:
        """A token that acts as the principal in that run, and the secret with which the run asks for others."""
        ...

    async def by_identity_secret(self, secret: str) -> Caller | None:
        """Whose secret of the managed identity endpoint it is."""
        ...

    async def keep_keys(self) -> None:
        """Replaces the signing key when it is due."""
        ...


@dataclass
class Services:
    db: Database
    authority: Authority
    settings: Settings
    now: Callable[[], float]
    blobs: BlobStore
    jobs: JobsPort
    models: ModelRegistryPort
    vault: Vault
    master_key: bytes
    allowed_hosts: frozenset[str]  # names that requests may come to, in lower case
    blob_hosts: frozenset[str]  # HOST:PORT of each: what stands before an account in path style
    scopes: dict[str, tuple[str | None, float]] = field(default_factory=dict)  # of storage accounts, and until when that is believed

    @property
    def base_url(self) -> str:
        """https://HOST:PORT without trailing slash; used in every absolute URL that is handed out (never the Host header)."""
        return self.settings.base_url
