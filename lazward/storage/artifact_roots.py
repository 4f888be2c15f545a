"""What artifacts can hang from: a run or a logged model of a workspace."""

from __future__ import annotations

import sqlalchemy as sa

from lazward.contract.mlflow import invalid, missing
from lazward.storage import experiments, tables
from lazward.storage.db import Tx

_e = tables.experiment.c


def _of(table: sa.Table) -> sa.Select[tuple[str | None]]:
    found = sa.select(_e.location).select_from(table).join(tables.experiment, _e.seq == table.c.experiment)
    return found.where(table.c.workspace == sa.bindparam("workspace"), table.c.id == sa.bindparam("id"))


_RUN, _MODEL = _of(tables.run), _of(tables.logged_model)


def account(tx: Tx, key: str, root: str) -> str:
    """The storage account that holds the artifacts of a run or logged model. MlflowError when neither is there, or when they are kept
    outside, where only the client can reach them."""
    _, name = experiments.workspace(tx, key)
    for statement in (_RUN, _MODEL):
        found = tx.execute(statement, {"workspace": key, "id": root}).first()
        if found is None:
            continue
        if found.location:
            raise invalid(f"The artifacts of '{root}' are kept at {found.location}/{root}/artifacts, not in the workspace.", "run_id")
        if not name:
            raise missing("The workspace has no storage account yet.")
        return name
    raise missing(f"Run with id={root[:256]} not found")
