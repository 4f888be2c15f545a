"""What the intake takes in: records, then files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from lazward.domain.tracking.moved import Owner, Record, Values

CHUNK = 1 << 20


class BadSource(Exception):
    """The source cannot be read (on); the message names the place."""


@dataclass
class File:
    """path: below the files of its owner. read: its bytes, in pieces, once. compared: whether a file of the same size that is there already
    is read to be compared, which is not worth a download."""

    owner: Owner
    id: str
    path: str
    size: int
    read: Callable[[], Iterator[bytes]]
    compared: bool = True


@dataclass
class Left:
    """Something of the source that cannot be taken along, and why."""

    what: str
    why: str


@dataclass
class Points:
    """The values of the run that came before, read only if they are needed."""

    run: str
    read: Callable[[], Iterator[Values]]


Item = Record | Points | File | Left


class Source(Protocol):
    def totals(self) -> dict[str, int]:
        """About how much there is, by the words of moved.NAMES; {} when the source does not tell."""
        ...

    def items(self) -> Iterator[Item]:
        """What is named comes before what names it. Raises BadSource."""
        ...
