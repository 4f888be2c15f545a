"""Label schemas of experiments."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import MlflowError, invalid, missing
from lazward.domain.genai import label_schemas as rules
from lazward.storage import experiments, seq_pages
from lazward.storage.db import Tx
from lazward.storage.eval_datasets import moment
from lazward.storage.genai_tables import label_schema as t
from lazward.storage.pieces import pieces
from lazward.storage.tables import experiment as e


class Schema(msgspec.Struct):
    """Times are unix seconds. experiment: its id, number: its seq."""

    seq: int
    id: str
    name: str
    type: str
    instruction: str | None
    comments: bool
    input: dict[str, Any]
    is_default: bool
    created: float
    updated: float
    created_by: str | None
    experiment: str
    number: int


_COLUMNS = [*(t.c[name] for name in Schema.__struct_fields__ if name not in ("experiment", "number")), e.c.id.label("experiment"), e.c.seq.label("number")]
_ALL = sa.select(*_COLUMNS).join(e, e.c.seq == t.c.experiment)


class NoDefault(Exception):
    """The experiment has not got its first question yet: call ensure_default and try again."""


def create(
    tx: Tx, key: str, experiment_id: str, name: str, type_: str, input_: dict[str, Any], instruction: str | None, comments: bool, user: str | None, now: float,
    *, is_default: bool = False,
) -> Schema:
    experiment, at = experiments.active(tx, key, experiment_id, now), moment(now)
    values = {
        "workspace": key, "id": f"ls-{uuid.uuid4().hex}", "experiment": experiment.seq, "name": name, "type": type_, "instruction": instruction, "comments": comments,
        "input": input_, "is_default": is_default, "created": at, "updated": at, "created_by": user,
    }
    made = tx.execute((sqlite if tx.sqlite else postgresql).insert(t).values(**values).on_conflict_do_nothing().returning(t.c.seq)).first()
    if made is None:
        raise _taken(name, experiment_id)
    return get(tx, key, str(values["id"]))


def ensure_default(tx: Tx, key: str, experiment_id: str, now: float) -> None:
    """The question that every experiment has as soon as somebody looks for its questions."""
    experiment = experiments.active(tx, key, experiment_id, now)
    if not _has_default(tx, experiment.seq):
        create(tx, key, experiment_id, rules.DEFAULT_NAME, "FEEDBACK", rules.DEFAULT_INPUT, rules.DEFAULT_INSTRUCTION, False, None, now, is_default=True)


def get(tx: Tx, key: str, id_: str) -> Schema:
    found = _find(tx, key, id_)
    if found is None:
        experiments.workspace(tx, key)
        raise missing(f"Label schema with id '{id_[:100]}' not found.")
    return found


def by_name(tx: Tx, key: str, experiment_id: str, name: str) -> Schema:
    experiment = experiments.live(tx, key, experiment_id)
    row = tx.execute(_ALL.where(t.c.experiment == experiment.seq, t.c.name == name)).first()
    if row is None:
        raise missing(f"Label schema with name '{name[:250]}' not found for experiment '{experiment_id}'.")
    return Schema(*row)


def page(tx: Tx, key: str, experiment_id: str, limit: int, token: str | None) -> tuple[list[Schema], str | None]:
    """Newest first. Raises NoDefault."""
    experiment = experiments.live(tx, key, experiment_id)
    if not _has_default(tx, experiment.seq):
        raise NoDefault
    after = seq_pages.place(token)
    beyond = [] if after is None else [t.c.seq < after]
    found = [Schema(*row) for row in tx.execute(_ALL.where(t.c.experiment == experiment.seq, *beyond).order_by(t.c.seq.desc()).limit(limit + 1))]
    return found[:limit], seq_pages.token(found[limit - 1].seq) if len(found) > limit else None


def update(tx: Tx, key: str, id_: str, changes: dict[str, Any], now: float) -> Schema:
    """changes: name, instruction, comments, input."""
    found = get(tx, key, id_)
    if found.is_default:
        raise invalid("The experiment's default question cannot be edited.", "schema_id")
    if "input" in changes:
        rules.check_same_form(found.input, changes["input"])
    if changes.get("name", found.name) != found.name and tx.execute(sa.select(t.c.seq).where(t.c.experiment == found.number, t.c.name == changes["name"])).first():
        raise _taken(changes["name"], found.experiment)
    tx.execute(sa.update(t).where(t.c.seq == found.seq).values(**changes, updated=moment(now)))
    return get(tx, key, id_)


def delete(tx: Tx, key: str, id_: str) -> None:
    """Nothing when it is not there."""
    found = _find(tx, key, id_)
    if found is not None and found.is_default:
        raise invalid("The experiment's default question cannot be deleted.", "schema_id")
    if found is not None:
        tx.execute(sa.delete(t).where(t.c.seq == found.seq))


def unknown(tx: Tx, experiment: int, ids: Sequence[str]) -> list[str]:
    """Those of the ids that are no schemas of the experiment (its seq)."""
    there: set[str] = set()
    for some in pieces(ids):
        there |= set(tx.execute(sa.select(t.c.id).where(t.c.experiment == experiment, t.c.id.in_(some))).scalars())
    return [id_ for id_ in ids if id_ not in there]


def _find(tx: Tx, key: str, id_: str) -> Schema | None:
    row = tx.execute(_ALL.where(t.c.workspace == key, t.c.id == id_)).first()
    return Schema(*row) if row else None


def _has_default(tx: Tx, experiment: int) -> bool:
    return tx.execute(sa.select(t.c.seq).where(t.c.experiment == experiment, t.c.is_default)).first() is not None


def _taken(name: str, experiment_id: str) -> MlflowError:
    return MlflowError("RESOURCE_ALREADY_EXISTS", f"Label schema with name '{name}' already exists for experiment '{experiment_id}'.", "name")
