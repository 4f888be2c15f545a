"""Which extents are still needed. An extent has one reference without any record; only sharing and dropping leave rows.

Whoever changes what refers to an extent does it in the same transaction as the change itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import sqlalchemy as sa

from lazward.storage.db import Tx
from lazward.storage.tables import extent as t

_BATCH = 500
_INSERT = sa.insert(t)
_KNOWN = sa.select(t.c.id, t.c.extra).where(t.c.id.in_(sa.bindparam("ids", expanding=True)))


def replace(tx: Tx, before: Iterable[str], after: Iterable[str], now: float) -> None:
    """The references `before` become those of `after`. Extents that are new in `after` must be referred to by nothing else."""
    old, new = Counter(before), Counter(after)
    share(tx, Counter({id: count - (old[id] or 1) for id, count in new.items() if count > (old[id] or 1)}))
    release(tx, Counter({id: count - new[id] for id, count in old.items() if count > new[id]}), now)


def share(tx: Tx, ids: Iterable[str] | Counter[str]) -> None:
    """Something more refers to these, which something refers to already."""
    counts = Counter(ids)
    if not counts:
        return
    known = _known(tx, counts)
    fresh = [{"id": id, "extra": count} for id, count in counts.items() if id not in known]
    if fresh:
        tx.execute(_INSERT, fresh)
    for id, count in counts.items():
        if id in known:
            tx.execute(sa.update(t).where(t.c.id == id).values(extra=t.c.extra + count))


def release(tx: Tx, ids: Iterable[str] | Counter[str], now: float) -> None:
    """So many references to each are gone; an extent without any is dropped."""
    counts = Counter(ids)
    if not counts:
        return
    known = _known(tx, counts)
    gone = [{"id": id, "extra": 0, "dropped": now} for id in counts if id not in known]
    if gone:
        tx.execute(_INSERT, gone)
    for id, count in counts.items():
        if id not in known:
            continue
        left = known[id] - count
        if left > 0:
            tx.execute(sa.update(t).where(t.c.id == id).values(extra=left))
        elif left == 0:
            tx.execute(sa.delete(t).where(t.c.id == id))
        else:
            tx.execute(sa.update(t).where(t.c.id == id).values(extra=0, dropped=now))


def dropped(tx: Tx, before: float, limit: int) -> list[str]:
    """Extents dropped before that time."""
    return list(tx.execute(sa.select(t.c.id).where(t.c.dropped < before).order_by(t.c.dropped).limit(limit)).scalars())


def forget(tx: Tx, ids: list[str]) -> None:
    """They are deleted."""
    for at in range(0, len(ids), _BATCH):
        tx.execute(sa.delete(t).where(t.c.id.in_(ids[at : at + _BATCH])))


def _known(tx: Tx, ids: Iterable[str]) -> dict[str, int]:
    wanted = list(ids)
    found: dict[str, int] = {}
    for at in range(0, len(wanted), _BATCH):
        found.update({row.id: row.extra for row in tx.execute(_KNOWN, {"ids": wanted[at : at + _BATCH]})})
    return found
