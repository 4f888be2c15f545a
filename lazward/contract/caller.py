"""Who calls: the outcome of authentication, carried by the request context."""

from __future__ import annotations

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """A principal as proven by a token.

    bound_to: lower-cased resource id the token is limited to ("" = no limit): a job's token reaches its workspace only.
    run: id of the run the token was made for; such a token dies with the run.
    audience: the audience the token was issued for.
    """

    id: str  # object id (oid)
    name: str
    kind: str = "ServicePrincipal"  # User | ServicePrincipal | ManagedIdentity
    tenant: str = ""
    app_id: str = ""
    bound_to: str = ""
    run: str = ""
    audience: str = ""

    @property
    def created_by_type(self) -> str:
        """systemData.createdByType of what this caller makes."""
        return {"User": "User", "ManagedIdentity": "ManagedIdentity"}.get(self.kind, "Application")


SYSTEM = Caller(id="00000000-0000-0000-0000-000000000000", name="lazward", kind="ManagedIdentity")
