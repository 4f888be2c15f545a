"""Listing blobs: by the order of names, in pages, folded at a delimiter without walking what is folded away."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from lazward.domain.blobs.names import after_prefix, folded
from lazward.storage.blobs.records import LIGHT, WHOLE, BlobInfo, blob_from, need_container
from lazward.storage.db import Tx
from lazward.storage.tables import blob as b

_SCAN = 32  # rows looked at first where a delimiter may fold many into one; four times as many after each batch that did not fold


class BlobPage(msgspec.Struct):
    """entries of one page, in order: blobs (without extents unless asked for) and common prefixes; next_marker "" at the end."""

    blobs: list[BlobInfo]
    prefixes: list[str]
    next_marker: str


def page(tx: Tx, account: str, container: str, prefix: str = "", delimiter: str = "", after: str = "", limit: int = 5000, *, start_from: str = "", whole: bool = False) -> BlobPage:
    """after: the last name or common prefix of the page before. start_from: no name below it is shown."""
    need_container(tx, account, container)
    low, open_end = max(prefix, start_from), False  # open_end: names above low, not low itself
    if after >= low and after:
        bound = after_prefix(after) if folded(after, prefix, delimiter) == after else None
        low, open_end = (bound, False) if bound is not None else (after, True)
    high = after_prefix(prefix)
    columns = WHOLE if whole else LIGHT
    blobs: list[BlobInfo] = []
    prefixes: list[str] = []
    scan = _SCAN
    while True:
        where = [b.c.account == account, b.c.container == container, b.c.name > low if open_end else b.c.name >= low]
        if high is not None:
            where.append(b.c.name < high)
        want = limit - len(blobs) - len(prefixes) + 1
        batch = min(want, scan) if delimiter else want
        rows = tx.execute(sa.select(*columns).where(*where).order_by(b.c.name).limit(batch)).all()
        shown = None
        for row in rows:
            low, open_end = row.name, True
            shown = folded(low, prefix, delimiter)
            if shown is not None and prefixes and prefixes[-1] == shown:
                continue
            if len(blobs) + len(prefixes) == limit:
                return BlobPage(blobs, prefixes, _last(blobs, prefixes))
            if shown is None:
                blobs.append(blob_from(row))
            else:
                prefixes.append(shown)
        if len(rows) < batch:
            return BlobPage(blobs, prefixes, "")
        scan = _SCAN if shown is not None else scan * 4
        if shown is not None and (bound := after_prefix(shown)) is not None:
            low, open_end = bound, False  # past all that is folded there


def any_at(tx: Tx, account: str, container: str, path: str) -> bool:
    """Whether there is a blob of this name, or one in the folder of this name ("" is the container)."""
    here = sa.select(b.c.name).where(b.c.account == account, b.c.container == container)
    below = here.where(b.c.name >= f"{path}/", b.c.name < f"{path}0") if path else here  # "0" comes after "/"
    return tx.execute(below.limit(1)).first() is not None or (bool(path) and tx.execute(here.where(b.c.name == path)).first() is not None)


def size(tx: Tx, account: str, container: str, prefix: str) -> int:
    """Bytes of all blobs whose name starts so."""
    where = [b.c.account == account, b.c.container == container, b.c.name >= prefix]
    if (high := after_prefix(prefix)) is not None:
        where.append(b.c.name < high)
    return tx.execute(sa.select(sa.func.coalesce(sa.func.sum(b.c.size), 0)).where(*where)).scalar_one()


def _last(blobs: list[BlobInfo], prefixes: list[str]) -> str:
    """The greater of the two last entries: where the next page begins."""
    return max(blobs[-1].name if blobs else "", prefixes[-1] if prefixes else "")
