"""Records of evaluation datasets: written in bulk, met by the hash of their inputs, listed in the order they came."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.domain.genai import records
from lazward.domain.genai.records import Doc
from lazward.storage import eval_datasets, seq_pages
from lazward.storage.db import Tx
from lazward.storage.genai_tables import eval_record as t
from lazward.storage.pieces import pieces


class Record(msgspec.Struct):
    """doc: inputs, outputs, expectations, tags, source, source_id, created_by, updated_by. Times are unix seconds."""

    seq: int
    id: str
    hash: str
    doc: Doc
    created: float
    updated: float


_COLUMNS = [t.c[name] for name in Record.__struct_fields__]
_UPDATE = sa.update(t).where(t.c.seq == sa.bindparam("of")).values(doc=sa.bindparam("new"), updated=sa.bindparam("at"))


def upsert(tx: Tx, key: str, id_: str, given: Sequence[Doc], now: float) -> tuple[int, int]:
    """Adds records, or merges them into those with equal inputs; (how many were new, how many were there). given: as parse_records
    leaves them."""
    dataset = eval_datasets.get(tx, key, id_)
    at = eval_datasets.moment(now)
    hashed = [(records.input_hash(one), one) for one in given]
    known = _by_hash(tx, dataset.seq, {found for found, _ in hashed})
    added: dict[str, Doc] = {}
    changed: dict[str, Doc] = {}
    for found, one in hashed:
        if found in added:
            added[found] = records.merged(added[found], one)
        elif found in known:
            changed[found] = records.merged(changed.get(found) or known[found].doc, one)
        else:
            added[found] = records.fresh(one)
    if added:
        tx.execute(sa.insert(t), [
            {"dataset": dataset.seq, "id": f"dr-{uuid.uuid4().hex}", "hash": found, "doc": json.dumps(doc), "created": at, "updated": at} for found, doc in added.items()
        ])
    if changed:
        tx.execute(_UPDATE, [{"of": known[found].seq, "new": json.dumps(doc), "at": at} for found, doc in changed.items()])
    by = [user for user in map(records.user_of, given) if user]
    _touch(tx, dataset, at, schema=records.widened(dataset.schema, list(given)), updated_by=by[-1] if by else None)
    return len(added), len(given) - len(added)


def page(tx: Tx, key: str, id_: str, limit: int, token: str | None) -> tuple[list[Record], str | None]:
    dataset = eval_datasets.get(tx, key, id_)
    statement = sa.select(*_COLUMNS).where(t.c.dataset == dataset.seq, t.c.seq > (seq_pages.place(token) or 0)).order_by(t.c.seq).limit(limit + 1)
    found = [_record(row) for row in tx.execute(statement)]
    return found[:limit], seq_pages.token(found[limit - 1].seq) if len(found) > limit else None


def delete(tx: Tx, key: str, id_: str, record_ids: Sequence[str], now: float) -> int:
    """How many of them there were."""
    dataset = eval_datasets.get(tx, key, id_)
    gone = 0
    for some in pieces(record_ids):
        gone += tx.execute(sa.delete(t).where(t.c.dataset == dataset.seq, t.c.id.in_(some))).rowcount
    if gone:
        _touch(tx, dataset, eval_datasets.moment(now))
    return gone


def _touch(tx: Tx, dataset: eval_datasets.Dataset, at: float, **more: Any) -> None:
    count = tx.execute(sa.select(sa.func.count()).where(t.c.dataset == dataset.seq)).scalar_one()
    eval_datasets.change(tx, dataset, updated=at, digest=records.digest(dataset.name, at), profile=records.profile(count), **more)


def _by_hash(tx: Tx, dataset: int, hashes: set[str]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for some in pieces(hashes):
        rows = tx.execute(sa.select(*_COLUMNS).where(t.c.dataset == dataset, t.c.hash.in_(some)))
        found.update((row.hash, _record(row)) for row in rows)
    return found


def _record(row: Any) -> Record:
    return Record(row.seq, row.id, row.hash, json.loads(row.doc), row.created, row.updated)
