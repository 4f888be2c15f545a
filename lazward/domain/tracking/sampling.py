"""Fewer points of a curve that look like all of them: of every even stretch the least and the greatest value are kept, so that no
spike is lost, and one NaN if there is any; the first and the last point of the curve are kept too."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

# (at in milliseconds, step, value, nan): value is 0 when nan. Order of a history is the order of these tuples.
Row = tuple[int, int, float, bool]
_value = itemgetter(2)


def thinned(rows: Sequence[Row], limit: int) -> list[Row]:
    """At most `limit` of the rows, in their order. limit at least 1; 1 keeps the last."""
    if len(rows) <= limit:
        return list(rows)
    if limit < 4:
        return [rows[0], *rows[1 : limit - 1], rows[-1]] if limit > 1 else [rows[-1]]
    inner = rows[1:-1]
    stretches = (limit - 2) // 2
    out = [rows[0]]
    for at in range(stretches):
        out += extremes(inner[at * len(inner) // stretches : (at + 1) * len(inner) // stretches], nan=False)
    out.append(rows[-1])
    return out


def extremes(stretch: Sequence[Row], *, nan: bool = True) -> list[Row]:
    """The least and the greatest of a stretch, and with nan=True its first NaN, in their order. What is all NaN is its first."""
    numbers: Sequence[Row] = [row for row in stretch if not row[3]]
    if not numbers:
        return list(stretch[:1])
    low, high = min(numbers, key=_value), max(numbers, key=_value)
    kept = {low, high}
    if nan and len(numbers) < len(stretch):
        kept.add(next(row for row in stretch if row[3]))
    return sorted(kept)
