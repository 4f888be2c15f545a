"""The end of what MLflow keeps for evaluation: with its workspace, or with an experiment that leaves the bin for good."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from lazward.storage import tables
from lazward.storage.db import Tx
from lazward.storage.genai_tables import OF_EXPERIMENTS, PARTS, WHOLES, eval_dataset, eval_dataset_experiment


def with_workspace(tx: Tx, key: str) -> None:
    for part, column, whole in PARTS:
        tx.execute(sa.delete(part).where(part.c[column].in_(sa.select(whole.c.seq).where(whole.c.workspace == key))))
    for table in WHOLES:
        tx.execute(sa.delete(table).where(table.c.workspace == key))


def with_experiments(tx: Tx, key: str, seqs: Sequence[int]) -> None:
    """Evaluation datasets stay: they may belong to others, too, and only lose these. To be called while the experiments' rows are there."""
    ids = sa.select(tables.experiment.c.id).where(tables.experiment.c.seq.in_(seqs))
    links, mine = eval_dataset_experiment.c, sa.select(eval_dataset.c.seq).where(eval_dataset.c.workspace == key)
    tx.execute(sa.delete(eval_dataset_experiment).where(links.experiment.in_(ids), links.dataset.in_(mine)))
    for part, column, whole in PARTS:
        if whole in OF_EXPERIMENTS:
            tx.execute(sa.delete(part).where(part.c[column].in_(sa.select(whole.c.seq).where(whole.c.experiment.in_(seqs)))))
    for table in OF_EXPERIMENTS:
        tx.execute(sa.delete(table).where(table.c.experiment.in_(seqs)))
