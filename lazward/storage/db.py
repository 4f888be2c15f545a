"""The database: a whole transaction is one plain function that runs on one thread.

`await db.write(fn, ...)` runs `fn(tx, ...)` in a write transaction and commits it; `await db.read(fn, ...)` runs it in a read
transaction. Nobody else commits. A function given to write() may be run more than once (PostgreSQL retries a transaction that
could not be serialised), so it must have no effect besides its statements; it has no way to wait for the network, being plain.

SQLite: one writer thread per process, BEGIN IMMEDIATE, WAL. PostgreSQL: a small pool, SERIALIZABLE with retries, so both
databases give a write transaction the same guarantee: it sees and leaves a state as if it had run alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
import sqlalchemy as sa

P = ParamSpec("P")
T = TypeVar("T")

_RETRIES = 12
_PG_POOL = 8


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


class Database:
    """url: "sqlite:////path/file.db" or "postgresql+psycopg://...". on_tasks is called (on a database thread) after each
    commit that made a task due, in order to wake the worker."""

    def __init__(self, url: str, on_tasks: Callable[[], None] | None = None, *, synchronous: str = "normal"):
        self.url = url
        self.on_tasks = on_tasks
        self.on_stirred: Callable[[set[str]], None] | None = None  # as on_tasks, with tx.stirred
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite_engine(url, synchronous) if self.is_sqlite else _postgres_engine(url)
        self._writer = ThreadPoolExecutor(1 if self.is_sqlite else _PG_POOL, "db-write")
        self._readers = ThreadPoolExecutor(4, "db-read")

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: self.read_now(fn, *args, **kwargs))

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, lambda: self.write_now(fn, *args, **kwargs))

    def read_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self.engine.connect() as conn:
            try:
                return fn(Tx(conn), *args, **kwargs)
            finally:
                conn.rollback()

    def write_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(_RETRIES + 1):
            try:
                with self.engine.connect() as conn:
                    if self.is_sqlite:
                        conn.exec_driver_sql("BEGIN IMMEDIATE")
                    tx = Tx(conn)
                    result = fn(tx, *args, **kwargs)
                    conn.commit()
                break
            except sa.exc.DBAPIError as error:
                if attempt == _RETRIES or not _worth_retrying(error):
                    raise
                time.sleep(random.uniform(0, 0.005 * 2 ** min(attempt, 6)))  # noqa: S311 - jitter, on a database thread
        for callback in tx.after:
            callback()
        if tx.tasks_due and self.on_tasks:
            self.on_tasks()
        if tx.stirred and self.on_stirred:
            self.on_stirred(tx.stirred)
        return result

    def close(self) -> None:
        self._writer.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        self.engine.dispose()


def dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _sqlite_engine(url: str, synchronous: str) -> sa.Engine:
    # sqlite3's own transaction handling is switched off (isolation_level None): write_now says BEGIN IMMEDIATE itself.
    engine = sa.create_engine(
        url, connect_args={"check_same_thread": False, "isolation_level": None, "timeout": 30, "cached_statements": 512},
        pool_size=8, max_overflow=8, json_serializer=dumps, json_deserializer=msgspec.json.decode,
    )

    @sa.event.listens_for(engine, "connect")
    def _pragmas(dbapi: Any, _record: Any) -> None:
        path = sa.make_url(url).database
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "busy_timeout=30000", "cache_size=-32000", "temp_store=MEMORY"):
            dbapi.execute(f"PRAGMA {pragma}")
        if path and path != ":memory:":
            for suffix in ("", "-wal", "-shm"):
                try:
                    os.chmod(path + suffix, 0o600)  # noqa: PTH101
                except FileNotFoundError:
                    pass

    return engine


def _postgres_engine(url: str) -> sa.Engine:
    return sa.create_engine(
        url, pool_size=_PG_POOL + 4, max_overflow=8, pool_pre_ping=True, isolation_level="SERIALIZABLE",
        json_serializer=dumps, json_deserializer=msgspec.json.decode,
    )


def _worth_retrying(error: sa.exc.DBAPIError) -> bool:
    # 40001 serialization_failure, 40P01 deadlock_detected; 23505 (unique) can be a serialisation anomaly seen late.
    state = getattr(error.orig, "sqlstate", None)
    return state in ("40001", "40P01") or "database is locked" in str(error.orig)
