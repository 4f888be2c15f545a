"""The database: a whole transaction is one plain function that runs on one thread.

`await db.write(fn, ...)` runs `fn(tx, ...)` in a write transaction and commits it; `await db.read(fn, ...)` runs it in a read
transaction. Nobody else commits. A function given to write() may be run more than once (PostgreSQL retries a transaction that
could not be serialised), so it must have no effect besides its statements; it has no way to wait for the network, being plain.

SQLite: one writer thread per process, BEGIN IMMEDIATE, WAL. PostgreSQL: a small pool, SERIALIZABLE with retries, so both
databases give a write transaction the same guarantee: it sees and leaves a state as if it had run alone.

A database that is away for a while (restarted, locked by another program, its disk full) is waited for, `patience_s` seconds, by
all callers with one of them asking; then they get DatabaseAway. ADR-0018.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.exc import DBAPIError

from lazward.storage import sqlite_functions

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("lazward.database")

PATIENCE_S = 10.0
_RETRIES = 12
_PG_POOL = 8
_BUSY_MS, _BUSY_AWAY_MS = 5000, 50  # how long SQLite itself waits for a lock; the second while the database is known to be locked
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.02, 0.5
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


class Tx:
    """One transaction. `execute` takes SQLAlchemy Core statements; `run_after_commit` takes callbacks for in-process wake-ups."""

    def __init__(self, conn: sa.Connection):
        self.conn = conn
        self.after: list[Callable[[], None]] = []
        self.tasks_due = False
        self.stirred: set[str] = set()  # keys of resources whose own work should look again: a child of theirs has changed

    @property
    def sqlite(self) -> bool:
        return self.conn.dialect.name == "sqlite"

    def execute(self, statement: Any, params: Any = None) -> sa.CursorResult[Any]:
        return self.conn.execute(statement, params) if params is not None else self.conn.execute(statement)

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """What the block writes is undone when it raises; the transaction can go on (a savepoint)."""
        with self.conn.begin_nested():
            yield

    def run_after_commit(self, fn: Callable[[], None]) -> None:
        self.after.append(fn)


class _Door:
    """The way to the database, on threads. While it is away one caller asks again and again and the others wait, so that no thread
    is kept by what cannot be. Belongs to one event loop."""

    def __init__(self, threads: ThreadPoolExecutor):
        self.threads = threads
        self.away: DatabaseAway | None = None
        self._asking = False

    async def run(self, fn: Callable[[], T], patience_s: float) -> T:
        loop = asyncio.get_running_loop()
        began, pause = time.monotonic(), _FIRST_PAUSE_S
        while True:
            if self.away is None or not self._asking:
                asking = self._asking = self.away is not None
                try:
                    result = await loop.run_in_executor(self.threads, fn)
                    if self.away is not None:
                        log.warning("the database is back")
                        self.away = None
                    return result
                except DatabaseAway as away:
                    if self.away is None:
                        log.warning("the database is away: %s", away.__cause__ or away)
                    self.away = away
                    if away.maybe_done:
                        raise
                finally:
                    if asking:
                        self._asking = False
            left = patience_s - (time.monotonic() - began)
            if left <= 0:
                raise self.away or DatabaseAway("The database was away.")
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LAST_PAUSE_S)


class Database:
    """url: "sqlite:////path/file.db" or "postgresql+psycopg://...". on_tasks is called (on a database thread) after each
    commit that made a task due, in order to wake the worker. patience_s: how long read and write wait for one that is away."""

    def __init__(self, url: str, on_tasks: Callable[[], None] | None = None, *, synchronous: str = "normal", patience_s: float = PATIENCE_S):
        self.url = url
        self.on_tasks: Callable[[], object] | None = on_tasks
        self.patience_s = patience_s
        self.on_stirred: Callable[[set[str]], object] | None = None  # as on_tasks, with tx.stirred
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite_engine(url, synchronous) if self.is_sqlite else _postgres_engine(url)
        self._writes = _Door(ThreadPoolExecutor(1 if self.is_sqlite else _PG_POOL, "db-write"))
        self._reads = _Door(ThreadPoolExecutor(4, "db-read"))  # of its own: a SQLite database that is locked can be read

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises DatabaseAway."""
        return await self._reads.run(lambda: self.read_now(fn, *args, **kwargs), self.patience_s)

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises DatabaseAway."""
        return await self._writes.run(lambda: self.write_now(fn, *args, **kwargs), self.patience_s)

    def read_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On this thread, and without patience: raises DatabaseAway at once."""

        def read(conn: sa.Connection) -> T:
            try:
                return fn(Tx(conn), *args, **kwargs)
            finally:
                conn.rollback()

        return self._serially(read)

    def write_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On this thread, and without patience: raises DatabaseAway at once."""

        def write(conn: sa.Connection) -> tuple[Tx, T]:
            if self.is_sqlite:
                conn.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY_MS if self._writes.away is None else _BUSY_AWAY_MS}")
                conn.exec_driver_sql("BEGIN IMMEDIATE")
            tx = Tx(conn)
            result = fn(tx, *args, **kwargs)
            try:
                conn.commit()
            except DBAPIError as error:
                if not self.is_sqlite and (away := _away(error)):  # SQLite knows that it has not committed
                    away.maybe_done = True
                    raise away from error
                raise
            return tx, result

        tx, result = self._serially(write)
        for callback in tx.after:
            callback()
        if tx.tasks_due and self.on_tasks:
            self.on_tasks()
        if tx.stirred and self.on_stirred:
            self.on_stirred(tx.stirred)
        return result

    def _serially(self, run: Callable[[sa.Connection], T]) -> T:
        """Runs it in a connection; again when PostgreSQL could not make it look as if it had run alone."""
        for attempt in range(_RETRIES + 1):
            try:
                with self.engine.connect() as conn:
                    return run(conn)
            except exc.TimeoutError as error:
                raise DatabaseAway("All connections to the database are in use.") from error
            except DBAPIError as error:
                if away := _away(error):
                    raise away from error
                if attempt == _RETRIES or not _worth_retrying(error):
                    raise
                time.sleep(random.uniform(0, 0.005 * 2 ** min(attempt, 6)))  # noqa: S311 - jitter, on a database thread
        raise AssertionError("not reached")

    def close(self) -> None:
        self._writes.threads.shutdown(wait=True)
        self._reads.threads.shutdown(wait=True)
        self.engine.dispose()


# hide_parameters: what is stored is told to the database, not to the log, also when a statement fails (S16).


def dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _sqlite_engine(url: str, synchronous: str) -> sa.Engine:
    # sqlite3's own transaction handling is switched off (isolation_level None): write_now says BEGIN IMMEDIATE itself.
    engine = sa.create_engine(
        url, connect_args={"check_same_thread": False, "isolation_level": None, "timeout": _BUSY_MS / 1000, "cached_statements": 512},
        pool_size=8, max_overflow=8, hide_parameters=True, json_serializer=dumps, json_deserializer=msgspec.json.decode,
    )

    @event.listens_for(engine, "connect")
    def _pragmas(dbapi: Any, _record: Any) -> None:
        sqlite_functions.register(dbapi)
        path = sa.make_url(url).database
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", f"busy_timeout={_BUSY_MS}", "cache_size=-32000", "temp_store=MEMORY"):
            dbapi.execute(f"PRAGMA {pragma}")
        if path and path != ":memory:":
            for suffix in ("", "-wal", "-shm"):
                try:
                    os.chmod(path + suffix, 0o600)  # noqa: PTH101
                except FileNotFoundError:
                    pass

    return engine


def _postgres_engine(url: str) -> sa.Engine:
    # A machine that is gone says nothing: libpq would wait for minutes. What the URL says of these comes first.
    patience = {"connect_timeout": 5, "tcp_user_timeout": 15000, "keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3}
    return sa.create_engine(
        url, pool_size=_PG_POOL + 4, max_overflow=8, pool_pre_ping=True, hide_parameters=True, isolation_level="SERIALIZABLE",
        connect_args={name: value for name, value in patience.items() if name not in sa.make_url(url).query},
        json_serializer=dumps, json_deserializer=msgspec.json.decode,
    )


def _away(error: DBAPIError) -> DatabaseAway | None:
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


def _worth_retrying(error: DBAPIError) -> bool:
    # 40001 serialization_failure, 40P01 deadlock_detected
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01")
