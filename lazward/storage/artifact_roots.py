"""What artifacts can hang from: a run, a logged model or a trace of a workspace."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from lazward.contract.mlflow import invalid, missing
from lazward.domain.tracking.paths import TRACES, run_prefix
from lazward.storage import experiments, tables
from lazward.storage.db import Tx

_e = tables.experiment.c


def _of(table: sa.Table, folder: sa.ColumnElement[str]) -> Any:
    found = sa.select(_e.location, folder.label("folder")).select_from(table).join(tables.experiment, _e.seq == table.c.experiment)
    return found.where(table.c.workspace == sa.bindparam("workspace"), table.c.id == sa.bindparam("id"), (table.c.stage if "stage" in table.c else _e.stage) != "purged")


_RUN, _MODEL = _of(tables.run, sa.literal("")), _of(tables.logged_model, tables.logged_model.c.folder)
_TRACE = _of(tables.trace, sa.literal(f"{TRACES}/") + tables.trace.c.id)


def place(tx: Tx, key: str, root: str) -> tuple[str, str]:
    """(storage account, folder in the artifact container) of the artifacts of a run, logged model or trace. MlflowError when none is
    there, or when they are kept outside, where only the client can reach them."""
    _, name = experiments.workspace(tx, key)
    for statement in (_RUN, _MODEL, _TRACE):
        found = tx.execute(statement, {"workspace": key, "id": root}).first()
        if found is None:
            continue
        if found.location:
            raise invalid(f"The artifacts of '{root}' are kept at {found.location}/{root}/artifacts, not in the workspace.", "run_id")
        if not name:
            raise missing("The workspace has no storage account yet.")
        return name, found.folder or run_prefix(root)
    raise missing(f"Run with id={root[:256]} not found")
