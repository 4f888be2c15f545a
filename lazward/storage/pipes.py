"""PostgreSQL's pipeline: statements that are sent without waiting for what the ones before them say. A small write is one to five
statements, of which one or two are asked for an answer; each answer that nobody waits for saves a round trip."""

from __future__ import annotations

import contextlib
from typing import Any


class Pipe:
    """Of one transaction, or of a group. SQLAlchemy looks at what a statement did right away, so that its statements need it shut.

    What the database says against a statement is raised at the next answer that is waited for, at the latest by shut()."""

    __slots__ = ("_driver", "_open")

    def __init__(self, driver: Any):
        """driver: a connection of psycopg."""
        self._driver = driver
        self._open: Any = None

    def open(self) -> None:
        if self._open is None:
            entered = self._driver.pipeline()
            entered.__enter__()
            self._open = entered

    def shut(self) -> None:
        """Returns when all that was sent is done; raises psycopg.Error when one of it was refused."""
        if self._open is not None:
            entered, self._open = self._open, None
            entered.__exit__(None, None, None)

    def give_up(self) -> None:
        """After an error: nothing that was sent counts."""
        with contextlib.suppress(Exception):
            self.shut()
