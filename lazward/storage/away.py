"""Which errors say that the database cannot do its work now, and which that a transaction is worth another try (ADR-0018)."""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc
from sqlalchemy.exc import DBAPIError

_FULL = "The disk of the database is full."
# https://www.sqlite.org/rescode.html, primary codes
_SQLITE_AWAY = {5: "The database is locked by another program.", 6: "The database is locked.", 10: "The disk of the database fails.", 13: _FULL, 14: "The database cannot be opened."}
# https://www.postgresql.org/docs/current/errcodes-appendix.html: connection, insufficient resources, operator intervention, system error
_POSTGRES_AWAY = ("08", "53", "57P", "58")


class DatabaseAway(Exception):
    """The database cannot do its work now; it may in a while. The text is a sentence for people and names no address.

    full: its disk is full. maybe_done: the connection broke in the commit, so the transaction may have been done or not."""

    def __init__(self, message: str, *, full: bool = False, maybe_done: bool = False):
        super().__init__(message)
        self.full = full
        self.maybe_done = maybe_done


def away_of(error: DBAPIError) -> DatabaseAway | None:
    """What an error says of a database that is away; None for any other."""
    if isinstance(error.orig, sqlite3.Error):
        code = (getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF
        return DatabaseAway(_SQLITE_AWAY[code], full=code == 13) if code in _SQLITE_AWAY else None
    state = getattr(error.orig, "sqlstate", None)
    if state == "53100":
        return DatabaseAway(_FULL, full=True)
    if error.connection_invalidated or (state or "").startswith(_POSTGRES_AWAY) or (state is None and isinstance(error, (exc.OperationalError, exc.InterfaceError))):
        return DatabaseAway("The database cannot be reached.")
    return None


def no_connection(error: BaseException) -> DatabaseAway:
    away = DatabaseAway("All connections to the database are in use.")
    away.__cause__ = error
    return away


def is_locked(error: DBAPIError) -> bool:
    """Whether somebody else holds the lock of a SQLite database."""
    return isinstance(error.orig, sqlite3.Error) and (getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF in (5, 6)


def worth_retrying(error: DBAPIError) -> bool:
    # 40001 serialization_failure, 40P01 deadlock_detected
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01")
