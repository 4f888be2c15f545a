"""Rows of traces: read, written, linked. What traces are made of by clients is traces.py's and spans.py's. Times are MLflow's: milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazward.contract.mlflow import MlflowError, missing
from lazward.domain.tracking.trace_summary import COSTS, COUNTS, NAME, SESSION, TOKEN_USAGE, TRACE_COST, numbers
from lazward.domain.tracking.traces import FIXED_TAGS
from lazward.storage import experiments, tables
from lazward.storage.db import Tx
from lazward.storage.pieces import pieces
from lazward.storage.tables import trace as t


class Trace(msgspec.Struct):
    """A trace's own facts. experiment is experiment.seq; duration is None while it runs; name is the tag mlflow.traceName."""

    seq: int
    id: str
    experiment: int
    at: int
    duration: int | None
    state: str
    client_id: str | None
    name: str | None
    session: str | None
    usage: dict[str, Any] | None
    cost: dict[str, Any] | None
    tags: dict[str, str]
    metadata: dict[str, str]
    request: str | None
    response: str | None

    def values(self) -> dict[str, Any]:
        """The columns, but for the number."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "seq"}

    def describe(self, metadata: dict[str, str]) -> None:
        """Adds metadata, some of which are facts of the trace as well."""
        self.metadata = {**self.metadata, **metadata}
        self.session = self.metadata.get(SESSION)
        self.usage = numbers(self.metadata.get(TOKEN_USAGE), COUNTS) or None
        self.cost = numbers(self.metadata.get(TRACE_COST), COSTS) or None

    def tag(self, tags: dict[str, str]) -> None:
        """Adds a client's tags; what the server says of a trace no client can say."""
        self.tags = {**self.tags, **{k: v for k, v in tags.items() if k != NAME and k not in FIXED_TAGS}}
        if NAME in tags:
            self.name = tags[NAME]


COLUMNS = [t.c[name] for name in Trace.__struct_fields__]
_e = tables.experiment.c
# A trace counts only while its workspace and its experiment are there, whatever became of its rows.
_OF = sa.select(*COLUMNS).join(tables.resource, tables.resource.c.key == t.c.workspace).join(tables.experiment, _e.seq == t.c.experiment).where(
    t.c.workspace == sa.bindparam("workspace"), _e.stage != "purged"
)
_ONE = _OF.where(t.c.id == sa.bindparam("id"))
_SOME = _OF.where(t.c.id.in_(sa.bindparam("ids", expanding=True)))
_INSERT_SQLITE, _INSERT_POSTGRES = (kind.insert(t).on_conflict_do_nothing().returning(t.c.seq, t.c.id) for kind in (sqlite, postgresql))
_UPDATE = sa.update(t).where(t.c.seq == sa.bindparam("of")).values({c.name: sa.bindparam(f"new_{c.name}") for c in COLUMNS if c.name not in ("seq", "id")})
_LINK = sa.text("INSERT INTO trace_link (trace, kind, ref) VALUES (:trace, :kind, :ref) ON CONFLICT DO NOTHING")


def get(tx: Tx, key: str, id_: str) -> Trace:
    found = tx.execute(_ONE, {"workspace": key, "id": id_}).first()
    if found is None:
        experiments.workspace(tx, key)
        raise missing(f"Trace with ID '{id_[:256]}' not found.")
    return Trace(*found)


def some(tx: Tx, key: str, ids: Sequence[str]) -> list[Trace]:
    """Those of the ids that are this workspace's, in the order of the ids."""
    wanted = list(dict.fromkeys(ids))
    found: dict[str, Trace] = {}
    for piece in pieces(wanted):
        rows = tx.execute(_SOME, {"workspace": key, "ids": piece}).all()
        found |= {row.id: Trace(*row) for row in rows}
    return [found[id_] for id_ in wanted if id_ in found]


def insert(tx: Tx, key: str, fresh: list[Trace]) -> None:
    """Gives each its number. MlflowError RESOURCE_ALREADY_EXISTS for an id that is a trace's already."""
    made = tx.execute(_INSERT_SQLITE if tx.sqlite else _INSERT_POSTGRES, [{"workspace": key, **trace.values()} for trace in fresh]).all()
    numbered = {row.id: row.seq for row in made}
    for trace in fresh:
        if trace.id not in numbered:
            raise MlflowError("RESOURCE_ALREADY_EXISTS", f"A trace with id={trace.id} exists already.", "trace_id")
        trace.seq = numbered[trace.id]


def update(tx: Tx, changed: list[Trace]) -> None:
    tx.execute(_UPDATE, [{"of": trace.seq, **{f"new_{k}": v for k, v in trace.values().items() if k != "id"}} for trace in changed])


def link(tx: Tx, seqs: Sequence[int], kind: str, refs: Sequence[str]) -> None:
    rows = [{"trace": seq, "kind": kind, "ref": ref} for seq in seqs for ref in refs]
    if rows:
        tx.execute(_LINK, rows)


def fresh(id_: str, experiment: int, at: int, state: str) -> Trace:
    return Trace(0, id_, experiment, at, None, state, None, None, None, None, None, {}, {}, None, None)

