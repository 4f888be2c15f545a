"""Taking away what nothing needs: staged blocks that were never committed, dropped extents, and extents of uploads that crashed.

`collect` costs as much as there is to do; run it every minute or so. `sweep` compares all extents with all metadata; once a day.
Both may run in any process, also at once, and may be killed at any point.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import sqlalchemy as sa

from lazward.domain.blobs.errors import storage_error
from lazward.storage.blobs import blocks, containers, references
from lazward.storage.blobs.extents import Extents
from lazward.storage.db import Database, Tx
from lazward.storage.tables import blob as b
from lazward.storage.tables import block as k
from lazward.storage.tables import extent as e

GRACE = 3600.0  # seconds a dropped extent stays for those who read it still
STALE = 7 * 86400.0  # age at which a staged block is given up, as in Azure
SWEEP_AGE = 86400.0  # younger extents may belong to an upload under way
MAX_UPLOAD = SWEEP_AGE / 2  # a commit refuses what was begun earlier, so no sweep can have taken a part of it
_BATCH = 500
_AT_ONCE = 200_000  # candidates of a sweep held in memory


def check_age(began: float) -> None:
    """began: time.monotonic() when the first byte was written; ArmError 408 when that is too long ago to commit."""
    if time.monotonic() - began > MAX_UPLOAD:
        raise storage_error("OperationTimedOut", "An upload takes at most twelve hours; send a large blob in blocks.")


class Collected(msgspec.Struct):
    blocks: int = 0
    blobs: int = 0
    extents: int = 0


async def collect(db: Database, extents: Extents, now: float, *, grace: float = GRACE, stale: float = STALE) -> Collected:
    done = Collected()
    while count := await db.write(blocks.expire, now - stale, now, _BATCH):
        done.blocks += count
    while count := await db.write(containers.purge, now, _BATCH):
        done.blobs += count
    while ids := await db.read(references.dropped, now - grace, _BATCH):
        await extents.delete(ids)  # first the bytes: a crash in between leaves a row, and deleting again is fine
        await db.write(references.forget, ids)
        done.extents += len(ids)
    return done


async def sweep(db: Database, extents: Extents, *, age: float = SWEEP_AGE, at_once: int = _AT_ONCE) -> int:
    """Deletes extents that no metadata speaks of and that are older than `age` seconds; the count.

    The references are read by one statement, so they are of one moment: an extent that is listed, old, and not referred to at a later
    moment belongs to nothing, since only uploads younger than MAX_UPLOAD bring extents in.
    """
    gone = 0
    candidates: set[str] = set()
    async for id, written in extents.listed():
        if written < time.time() - age:
            candidates.add(id)
        if len(candidates) >= at_once:
            gone += await _sweep(db, extents, candidates)
            candidates = set()
    return gone + await _sweep(db, extents, candidates)


async def _sweep(db: Database, extents: Extents, candidates: set[str]) -> int:
    if not candidates:
        return 0
    orphans = sorted(await db.read(unreferenced, candidates))
    for at in range(0, len(orphans), _BATCH):
        await extents.delete(orphans[at : at + _BATCH])
    return len(orphans)


def unreferenced(tx: Tx, candidates: set[str]) -> set[str]:
    """Those of the candidates that no blob, staged block or record of dropped extents names."""
    left = set(candidates)
    for ids in _referenced(tx):
        left.difference_update(ids)
    return left


def _referenced(tx: Tx) -> Iterator[list[str]]:
    text = sa.cast(b.c.extents, sa.Text)
    union = sa.union_all(
        sa.select(sa.literal(1).label("kind"), text.label("ids")), sa.select(sa.literal(2), k.c.extent), sa.select(sa.literal(3), e.c.id),
    )
    for kind, ids in tx.conn.execution_options(yield_per=1000).execute(union):
        yield [pair[0] for pair in msgspec.json.decode(ids)] if kind == 1 else [ids]
