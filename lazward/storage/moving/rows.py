"""Evaluation datasets, scorers, label schemas, review queues, issues and the registry of MCP servers as records. Webhooks stay where they are: they have secrets, and
would tell the same receivers of two servers."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import invalid
from lazward.domain.genai import mcp
from lazward.domain.tracking import names
from lazward.domain.tracking.moved import Parts, Row
from lazward.storage import tables
from lazward.storage.db import Tx
from lazward.storage.genai_tables import (
    OF_EXPERIMENTS,
    PARTS,
    eval_dataset,
    eval_dataset_experiment,
    issue,
    label_schema,
    mcp_server,
    mcp_version,
    review_queue,
    scorer,
)
from lazward.storage.moving.write import MADE, OTHER, SAME

WHOLES = {"".join(table.name): table for table in (eval_dataset, scorer, label_schema, review_queue, issue, mcp_server)}
_PARTS = {"".join(part.name): (part, column, whole) for part, column, whole in PARTS}
_e = tables.experiment


def rows(tx: Tx, key: str, table: str, ids: dict[int, str], after: int, limit: int, everything: bool) -> tuple[list[tuple[int, Row]], int | None]:
    """(number, row) of the experiments in `ids`, and the number to go on after. everything: what is of no experiment, too."""
    t = WHOLES[table]
    if t is mcp_server and not everything:
        return [], None
    wanted = sa.select(t).where(t.c.workspace == key, t.c.seq > after)
    if t in OF_EXPERIMENTS:
        wanted = wanted.where(t.c.experiment.in_(list(ids)))
    elif not everything:
        of = eval_dataset_experiment.c
        wanted = wanted.where(sa.exists().where(of.dataset == t.c.seq, of.experiment.in_(list(ids.values()))))
    found = tx.execute(wanted.order_by(t.c.seq).limit(limit)).all()
    out = [(row.seq, Row(table, row.id, ids[row.experiment] if t in OF_EXPERIMENTS else "", _facts(t, row))) for row in found]
    return out, found[-1].seq if len(found) == limit else None


def parts(tx: Tx, table: str, seq: int, id_: str, part: str, offset: int, limit: int) -> Parts:
    """Rows of `part` that hang from number `seq`, in their order, from the offset on."""
    t, column, _ = _PARTS[part]
    order = [t.c.seq] if "seq" in t.c else list(t.primary_key.columns)
    names_ = _columns(t, column)
    found = tx.execute(sa.select(*(t.c[name] for name in names_)).where(t.c[column] == seq).order_by(*order).offset(offset).limit(limit))
    return Parts(table, id_, part, [dict(zip(names_, row, strict=True)) for row in found.all()])


def parts_of(table: str) -> list[str]:
    return [name for name, (_, _, whole) in _PARTS.items() if whole.name == table]


def write(tx: Tx, key: str, new: Row, experiment_seq: int | None) -> tuple[str, int]:
    """(MADE | SAME | OTHER, its number). One of its name in the experiment is it when it differs in its id alone, which then stays."""
    t = WHOLES.get(new.table)
    if t is None:
        raise invalid(f"'{new.table[:60]}' is nothing that can be imported.", "table")
    (mcp.check_name if t is mcp_server else names.check_run_id)(new.id, "id")
    columns = _columns(t, "experiment") if t in OF_EXPERIMENTS else _columns(t)
    if new.facts.keys() != set(columns):
        raise invalid(f"'facts' must have exactly the members {', '.join(columns)}.", "facts")
    found = tx.execute(sa.select(t).where(t.c.workspace == key, t.c.id == new.id)).first()
    if found is None and "name" in t.c and t in OF_EXPERIMENTS and t is not issue:
        found = tx.execute(sa.select(t).where(t.c.experiment == experiment_seq, t.c.name == new.facts["name"])).first()
    if found is not None:
        times = ("created", "updated") if found.id != new.id else ()
        mine, theirs = ({k: v for k, v in facts.items() if k not in times} for facts in (_facts(t, found), new.facts))
        return (SAME if mine == theirs and (t not in OF_EXPERIMENTS or found.experiment == experiment_seq) else OTHER), found.seq
    place = {"experiment": experiment_seq} if t in OF_EXPERIMENTS else {}
    return MADE, tx.execute(sa.insert(t).values(workspace=key, id=new.id, **place, **new.facts).returning(t.c.seq)).scalar_one()


def write_parts(tx: Tx, seq: int, new: Parts, experiments: dict[str, str]) -> None:
    """experiments: ids there and here. What is there already stays."""
    known = _PARTS.get(new.part)
    if known is None or known[2].name != new.table:
        raise invalid(f"'{new.part[:60]}' hangs from nothing of '{new.table[:60]}'.", "part")
    t, column, _ = known
    columns = set(_columns(t, column))
    made: list[dict[str, Any]] = []
    for row in new.rows:
        if row.keys() != columns:
            raise invalid(f"'rows' must have exactly the members {', '.join(sorted(columns))}.", "rows")
        if t is eval_dataset_experiment:
            if row["experiment"] not in experiments:
                continue
            row = {"experiment": experiments[row["experiment"]]}
        if t is mcp_version:
            _check_version(row)
        made.append({column: seq, **row})
    if made:
        tx.execute((sqlite if tx.sqlite else postgresql).insert(t).on_conflict_do_nothing(), made)


def _check_version(row: dict[str, Any]) -> None:
    """One that cannot be read would hide all others of its server."""
    mcp.check_status(row["status"])
    for name, check in (("doc", mcp.server_json), ("tools", mcp.tools)):
        try:
            read = None if name == "tools" and row[name] is None else msgspec.json.decode(row[name])
        except (msgspec.DecodeError, TypeError):
            raise invalid(f"'rows.{name}' must be JSON.", f"rows.{name}") from None
        check(read)
    mcp.precedence(row["version"], "rows.version")


def _columns(t: sa.Table, *without: str) -> list[str]:
    left_out = {"seq", "workspace", *without} | ({"id"} if t.name in WHOLES else set())
    return ["".join(c.name) for c in t.c if c.name not in left_out]


def _facts(t: sa.Table, row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (_columns(t, "experiment") if t in OF_EXPERIMENTS else _columns(t))}
