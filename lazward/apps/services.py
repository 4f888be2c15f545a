"""What every HTTP surface may use. Built once, in main.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lazward.contract.caller import Caller
from lazward.storage.db import Database


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


@dataclass
class Services:
    db: Database
    authority: Authority
    settings: Any  # domain.settings.Settings
    now: Callable[[], float]
    allowed_hosts: frozenset[str] = frozenset()
    extras: dict[str, Any] = field(default_factory=dict)  # services of single surfaces, by name: blobs, tracking, gateway, ...

    @property
    def base_url(self) -> str:
        """https://HOST:PORT without trailing slash; used in every absolute URL that is handed out (never the Host header)."""
        return self.settings.base_url


Headers = Mapping[str, str]
