"""How the bytes of a blob lie in extents: finding a range without walking all of them, and folding small appends together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

Extent = tuple[str, int]  # id, bytes

FOLD_LIMIT = 4 * 1024 * 1024


class Layout:
    """Extents in order with the offset at which each begins."""

    __slots__ = ("extents", "size", "starts")

    def __init__(self, extents: Sequence[Sequence]):
        self.extents: list[Extent] = [(str(name), int(size)) for name, size in extents]
        ends = list(accumulate(size for _, size in self.extents))
        self.starts = [0, *ends[:-1]]
        self.size = ends[-1] if ends else 0

    def pieces(self, start: int, end: int) -> Iterator[tuple[str, int, int]]:
        """(extent id, from, to) for the bytes [start, end), within each extent; costs as many steps as extents touched."""
        end = min(end, self.size)
        at = bisect_right(self.starts, start) - 1 if self.extents else 0
        while start < end:
            name, size = self.extents[at]
            begins = self.starts[at]
            stop = min(end, begins + size)
            if stop > start:
                yield name, start - begins, stop - begins
                start = stop
            at += 1


def fold(sizes: Sequence[int], added: int, limit: int = FOLD_LIMIT) -> int:
    """How many of the last extents an append of `added` bytes takes into its own new extent.

    An extent is taken in when it is no larger than what has been gathered, so each byte is rewritten at most log2(limit) times and
    a blob of n bytes in any number of appends has O(n / limit + log limit) extents. Extents themselves never change.
    """
    taken, total = 0, added
    for size in reversed(sizes):
        if size > total or size + total > limit:
            break
        total += size
        taken += 1
    return taken
