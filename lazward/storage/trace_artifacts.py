"""Artifacts of traces in the blob store: what a client that sends no spans leaves (traces.json), and attachments."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from lazward.domain.tracking.paths import CONTAINER, TRACES, trace_prefix
from lazward.storage.blobs import listing, metadata
from lazward.storage.blobs.records import WHOLE, blob_from
from lazward.storage.db import Tx
from lazward.storage.pieces import pieces
from lazward.storage.tables import blob as b

_SOME = 100  # folders in one statement


def drop(tx: Tx, account: str, trace_ids: Sequence[str], now: float) -> None:
    """All that lies in the folders of these traces. gc takes the bytes."""
    if not listing.any_at(tx, account, CONTAINER, TRACES):
        return  # where spans are kept in the database there is nothing to look for
    for some in pieces(trace_ids, _SOME):
        folders = [trace_prefix(id_) for id_ in some]
        inside = sa.or_(*(sa.and_(b.c.name >= f"{folder}/", b.c.name < f"{folder}0") for folder in folders))  # "0" comes after "/"
        rows = tx.execute(sa.select(*WHOLE).where(b.c.account == account, b.c.container == CONTAINER, inside)).all()
        metadata.drop(tx, [blob_from(row) for row in rows], now)
