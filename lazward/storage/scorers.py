"""Scorers of experiments: names with versions, and their settings for scoring traces as they come."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import missing
from lazward.storage import experiments
from lazward.storage.db import Tx
from lazward.storage.eval_datasets import moment
from lazward.storage.experiments import Experiment
from lazward.storage.genai_tables import scorer as t
from lazward.storage.genai_tables import scorer_version as v
from lazward.storage.pieces import pieces
from lazward.storage.tables import experiment as e


class Scorer(msgspec.Struct):
    """One version. body: the JSON a client gave. created: unix seconds. number: of the experiment, where a guid has no place."""

    id: str
    name: str
    version: int
    body: str
    created: float
    experiment: str
    number: int


class Config(msgspec.Struct):
    """Of scoring traces as they come."""

    id: str
    scorer: str
    sample_rate: float
    filter: str | None
    experiment: str


_COLUMNS = (t.c.id, t.c.name, v.c.version, v.c.body, v.c.created, e.c.id, e.c.seq)
_VERSIONS = sa.select(*_COLUMNS).join(v, v.c.scorer == t.c.seq).join(e, e.c.seq == t.c.experiment)
_CONFIG = (t.c.config_id, t.c.id, t.c.sample_rate, t.c.filter, e.c.id)


def register(tx: Tx, key: str, experiment_id: str, name: str, body: str, now: float) -> Scorer:
    """The next version of that name."""
    experiment = experiments.active(tx, key, experiment_id, now)
    seq = _find(tx, experiment, name)
    if seq is None:
        values = {"workspace": key, "id": str(uuid.uuid4()), "experiment": experiment.seq, "name": name}
        seq = tx.execute(sa.insert(t).values(**values).returning(t.c.seq)).scalar_one()
    version = (tx.execute(sa.select(sa.func.max(v.c.version)).where(v.c.scorer == seq)).scalar() or 0) + 1
    tx.execute(sa.insert(v).values(scorer=seq, version=version, body=body, created=moment(now)))
    return _one(tx, seq, version)


def newest(tx: Tx, key: str, experiment_ids: Sequence[str] | None) -> list[Scorer]:
    """The newest version of each scorer, by experiment and name. None: of every experiment that is not in the bin; of those named, the
    ones that are not this workspace's or in the bin count as none."""
    experiments.workspace(tx, key)
    last = sa.select(v.c.scorer, sa.func.max(v.c.version).label("version")).group_by(v.c.scorer).subquery()
    query = _VERSIONS.join(last, sa.and_(last.c.scorer == v.c.scorer, last.c.version == v.c.version)).where(t.c.workspace == key, e.c.stage == "active")
    if experiment_ids is None:
        found = [Scorer(*row) for row in tx.execute(query)]
    else:
        found = []
        for some in pieces(experiment_ids):
            found += [Scorer(*row) for row in tx.execute(query.where(e.c.id.in_(some)))]
    return sorted(found, key=lambda one: (one.number, one.name))


def of_experiment(tx: Tx, key: str, experiment_id: str) -> list[Scorer]:
    return newest(tx, key, [experiments.live(tx, key, experiment_id).id])


def versions(tx: Tx, key: str, experiment_id: str, name: str) -> list[Scorer]:
    """Oldest first; there is at least one."""
    experiment = experiments.live(tx, key, experiment_id)
    seq = _find(tx, experiment, name)
    found = [] if seq is None else [Scorer(*row) for row in tx.execute(_VERSIONS.where(t.c.seq == seq).order_by(v.c.version))]
    if not found:
        raise missing(f"Scorer with name '{name[:256]}' not found for experiment {experiment.id}.")
    return found


def get(tx: Tx, key: str, experiment_id: str, name: str, version: int | None) -> Scorer:
    """The newest without a version."""
    found = versions(tx, key, experiment_id, name)
    for one in reversed(found):
        if version in (None, one.version):
            return one
    raise missing(f"Scorer with name '{name[:256]}' and version {version} not found for experiment {found[0].experiment}.")


def delete(tx: Tx, key: str, experiment_id: str, name: str, version: int | None) -> None:
    """One version; without a version the scorer with all of them."""
    found = get(tx, key, experiment_id, name, version)
    seq = tx.execute(sa.select(t.c.seq).where(t.c.workspace == key, t.c.id == found.id)).scalar_one()
    tx.execute(sa.delete(v).where(v.c.scorer == seq, *([] if version is None else [v.c.version == version])))
    if version is None:
        tx.execute(sa.delete(t).where(t.c.seq == seq))


def configs(tx: Tx, key: str, ids: Sequence[str]) -> list[Config]:
    """Of the scorers with these ids; those without settings are passed over."""
    query = sa.select(*_CONFIG).join(e, e.c.seq == t.c.experiment).where(t.c.workspace == key, t.c.config_id.is_not(None)).order_by(t.c.seq)
    found: list[Config] = []
    for some in pieces(ids):
        found += [Config(*row) for row in tx.execute(query.where(t.c.id.in_(some)))]
    return found


def set_config(tx: Tx, key: str, id_: str, sample_rate: float, filter_string: str | None) -> Config:
    tx.execute(
        sa.update(t).where(t.c.workspace == key, t.c.id == id_).values(config_id=uuid.uuid4().hex, sample_rate=sample_rate, filter=filter_string)
    )
    return configs(tx, key, [id_])[0]


def _find(tx: Tx, experiment: Experiment, name: str) -> int | None:
    found: Any = tx.execute(sa.select(t.c.seq).where(t.c.experiment == experiment.seq, t.c.name == name)).scalar()
    return found


def _one(tx: Tx, seq: int, version: int) -> Scorer:
    return Scorer(*tx.execute(_VERSIONS.where(t.c.seq == seq, v.c.version == version)).one())
