"""Long lists of values, in pieces that fit into a statement: databases take some ten thousand parameters, no more."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

SIZE = 500


def pieces(values: Collection[T], size: int = SIZE) -> Iterator[list[T]]:
    """Lists of up to `size` of them, in their order; none for none."""
    rest = iter(values)
    while piece := list(islice(rest, size)):
        yield piece
