"""Storage accounts: each workspace and registry has one, named in its row's `lookup`."""

from __future__ import annotations

import sqlalchemy as sa

from lazward.storage.db import Tx
from lazward.storage.tables import resource as t

TYPES = ("microsoft.machinelearningservices/workspaces", "microsoft.machinelearningservices/registries")


def scope_of(tx: Tx, account: str) -> str | None:
    """The id (as written) of the workspace or registry that has this account; None when nothing has."""
    return tx.execute(sa.select(t.c.id).where(t.c.type.in_(TYPES), t.c.lookup == account)).scalars().first()
