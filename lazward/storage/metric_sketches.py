"""Sketches of long curves: of every few thousand values that are settled, the points a chart needs (ADR-0017).

A sketch covers all values of a run's metric with a time behind the sketch before it and up to its own `upto`. What is newer than the
newest sketch is the curve's tail. Made by who logs, in the same transaction, once the tail is long enough; a value that comes late,
into what is sketched already, takes that sketch and all newer ones away, and they are made again as values come.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter

import msgspec

from lazward.domain.tracking.sampling import Row, extremes
from lazward.storage.db import Tx

SPAN = 4096  # values in a sketch, about: values of one time are not parted
STRETCHES = 64  # of which a sketch keeps the extremes
EXACT = 65_536  # a chart of fewer values is made from the values themselves

_SPAN = "SELECT at, step, value, nan FROM metric WHERE run = ? AND key = ? AND at > ? ORDER BY at, step, value, nan LIMIT ?"
_BEHIND = "SELECT at, step, value, nan FROM metric WHERE run = ? AND key = ? AND (at, step, value, nan) > (?, ?, ?, ?) ORDER BY at, step, value, nan LIMIT ?"
_BETWEEN = "SELECT at, step, value, nan FROM metric WHERE run = ? AND key = ? AND at > ? AND at <= ? ORDER BY at, step, value, nan"
_INSERT = "INSERT INTO metric_sketch (run, key, upto, count, low_step, high_step, points) VALUES (?, ?, ?, ?, ?, ?, ?)"
_ALL = "SELECT upto, count, low_step, high_step, points FROM metric_sketch WHERE run = ? AND key = ? ORDER BY upto"
BEGINNING = -1  # before every time
_at = itemgetter(0)


def late(tx: Tx, run: int, key: str, at: int, sketched: int) -> tuple[int, int]:
    """Values of time `at` have come: what is sketched from there on is so no more. (the new `sketched`, values that were)."""
    gone = tx.raw("SELECT coalesce(sum(count), 0) FROM metric_sketch WHERE run = ? AND key = ? AND upto >= ?", (run, key, at)).fetchone()[0]
    if not gone:
        return sketched, 0
    tx.raw("DELETE FROM metric_sketch WHERE run = ? AND key = ? AND upto >= ?", (run, key, at))
    left = tx.raw("SELECT max(upto) FROM metric_sketch WHERE run = ? AND key = ?", (run, key)).fetchone()[0]
    return BEGINNING if left is None else left, int(gone)


def extend(tx: Tx, run: int, key: str, sketched: int) -> tuple[int, int]:
    """Sketches the oldest values of the tail. (the new `sketched`, how many values that took)."""
    rows: list[Row] = tx.raw(_SPAN, (run, key, sketched, SPAN + 1)).fetchall()
    if len(rows) <= SPAN:
        return sketched, 0
    beyond = rows[SPAN][0]
    if rows[0][0] < beyond:  # up to the last time that is wholly in it
        rows = rows[: bisect_left(rows, beyond, key=_at)]
    else:  # thousands of one time: all of them, if the curve goes on behind that
        newest = tx.raw("SELECT max(at) FROM metric WHERE run = ? AND key = ?", (run, key)).fetchone()[0]
        if newest <= beyond:
            return sketched, 0
        rows = tx.raw(_BETWEEN, (run, key, sketched, beyond)).fetchall()
    upto = rows[-1][0]
    steps = [row[1] for row in rows]
    packed = msgspec.msgpack.encode([(at, step, value, bool(nan)) for at, step, value, nan in _points(rows)])
    tx.raw(_INSERT, (run, key, upto, len(rows), min(steps), max(steps), packed))
    return upto, len(rows)


def curve(tx: Tx, run: int, key: str, first: int, last: int) -> list[Row]:
    """What a chart of the steps first..last is made from, in the order of a history: every value, or of a long curve the sketches."""
    out: list[Row] = []
    before, wanted = BEGINNING, []
    for upto, count, low, high, points in tx.raw(_ALL, (run, key)).fetchall():
        if high >= first and low <= last:
            wanted.append((before, upto, count, points))
        before = upto
    exact = sum(count for _, _, count, _ in wanted) <= EXACT
    for after, upto, _, points in wanted:
        out += tx.raw(_BETWEEN, (run, key, after, upto)).fetchall() if exact else msgspec.msgpack.decode(points, type=list[Row])
    return [row for row in out if first <= row[1] <= last] + _tail(tx, run, key, before, first, last)


def _tail(tx: Tx, run: int, key: str, after: int, first: int, last: int) -> list[Row]:
    """What is not sketched yet (a late value unmakes sketches): all of it, or the points that sketches of it would have. A few thousand
    rows at a time, so that no chart holds a long curve."""
    spans: list[list[Row]] = []
    held = 0
    rows: list[Row] = tx.raw(_SPAN, (run, key, after, SPAN)).fetchall()
    while rows:
        mine = [row for row in rows if first <= row[1] <= last]
        held += len(mine)
        spans.append(mine)
        if held > EXACT:  # more than are drawn as they are
            spans = [_points(span) if len(span) > 3 * STRETCHES + 2 else span for span in spans]
        rows = tx.raw(_BEHIND, (run, key, *rows[-1], SPAN)).fetchall() if len(rows) == SPAN else []
    return [row for span in spans for row in span]


def _points(rows: list[Row]) -> list[Row]:
    """The first, the last, and the extremes of every stretch between them."""
    if not rows:
        return []
    found = [rows[0]]
    for at in range(STRETCHES):
        found += extremes(rows[at * len(rows) // STRETCHES : (at + 1) * len(rows) // STRETCHES])
    return list(dict.fromkeys([*found, rows[-1]]))
