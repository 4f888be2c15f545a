"""The database: a whole transaction is one plain function that runs on one thread.

`await db.write(fn, ...)` runs `fn(tx, ...)` in a write transaction and commits it; `await db.read(fn, ...)` runs it in a read
transaction. Nobody else commits. A function given to write() may be run more than once (PostgreSQL retries a transaction that
could not be serialised), so it must have no effect besides its statements; it has no way to wait for the network, being plain.

SQLite: one writer thread per process, BEGIN IMMEDIATE, WAL. PostgreSQL: two writers, SERIALIZABLE with retries, so both
databases give a write transaction the same guarantee: it sees and leaves a state as if it had run alone.

A database that is away for a while (restarted, locked by another program, its disk full) is waited for, `patience_s` seconds, by
all callers with one of them asking; then they get DatabaseAway. ADR-0018.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.exc import DBAPIError

from lazward.storage import sqlite_functions
from lazward.storage.away import DatabaseAway, away_of, worth_retrying
from lazward.storage.lanes import Job, Lane

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_S = 10.0
_RETRIES = 12
_BUSY_MS, _BUSY_AWAY_MS = 5000, 50  # how long SQLite itself waits for a lock; the second while the database is known to be locked
_PG_WRITERS = 2  # they share one interpreter: more of them get into each other's way, in the database too, and groups become smaller
_GROUP_RETRIES = 4
_GROUP, _GROUP_S = 64, 0.005  # transactions that may be made one, and after how long no further one is taken in


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

    def raw(self, statement: str, values: Any = ()) -> Any:
        """A cursor of the driver's own, for the few statements that run thousands of times a second: SQLAlchemy takes longer to
        prepare one than SQLite to do it. Parameters are written ?. Errors are those of execute."""
        driver: Any = self.conn.connection.driver_connection
        try:
            return driver.execute(statement if self.sqlite else statement.replace("?", "%s"), values)
        except self.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]
            raise self._wrapped(statement, error) from error

    def among(self, values: Sequence[Any]) -> tuple[str, Any]:
        """Membership in a list of any length, for raw(): what stands behind the column, and its one parameter."""
        return ("IN (SELECT value FROM json_each(?))", dumps(values)) if self.sqlite else ("= ANY(?)", list(values))

    def raw_many(self, statement: str, rows: Iterable[Any]) -> None:
        """The same for many rows of values at once."""
        driver: Any = self.conn.connection.driver_connection
        try:
            if self.sqlite:
                driver.executemany(statement, rows)
            else:
                with driver.cursor() as cursor:
                    cursor.executemany(statement.replace("?", "%s"), rows)
        except self.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]
            raise self._wrapped(statement, error) from error

    def end(self, how: Literal["commit", "rollback"]) -> None:
        """Of Database alone: nobody else ends a transaction."""
        if self.conn.get_transaction() is not None:  # (in_transaction() denies one that a broken connection has left behind)
            getattr(self.conn, how)()
            return
        driver: Any = self.conn.connection.driver_connection
        try:
            getattr(driver, how)()
        except self.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]
            raise self._wrapped(how, error) from error

    def _wrapped(self, statement: str, error: Any) -> DBAPIError:
        dialect = self.conn.dialect
        lost = dialect.is_disconnect(error, self.conn.connection.driver_connection, None)  # type: ignore[arg-type]
        made: Any = DBAPIError.instance(statement, None, error, dialect.dbapi.Error, hide_parameters=True, connection_invalidated=lost, dialect=dialect)  # type: ignore[union-attr]
        return made

    def run_after_commit(self, fn: Callable[[], None]) -> None:
        self.after.append(fn)


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
        self._alone_now = threading.Lock()
        self._writes = Lane("db-write", 1 if self.is_sqlite else _PG_WRITERS, _GROUP, self._write_jobs, self._leave)
        self._reads = Lane("db-read", 4, 1, self._read_jobs, self._leave)  # of its own: a SQLite database that is locked can be read

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises DatabaseAway."""
        return await self._reads.call(fn, args, kwargs, self.patience_s)

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises DatabaseAway."""
        return await self._writes.call(fn, args, kwargs, self.patience_s)

    def read_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On this thread, and without patience: raises DatabaseAway at once."""
        return self._alone(self._read, Job(fn, args, kwargs), self.engine.connect)

    def write_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On this thread, and without patience: raises DatabaseAway at once."""
        return self._alone(self._write, Job(fn, args, kwargs), self.engine.connect)

    def close(self) -> None:
        self._writes.close()
        self._reads.close()
        self.engine.dispose()

    # ---- on the threads of a lane: `private` keeps the thread's connection ------------------------------------------------

    def _write_jobs(self, jobs: list[Job], private: dict[str, Any]) -> None:
        """Several are one transaction, each in a savepoint of its own, so that what one raises undoes nothing of the others'. When the
        database itself objects, each is done again alone."""
        left, attempt = jobs, 0
        while len(left) > 1:
            try:
                with self._alone_now:
                    pass
                with self._kept(private)() as conn:
                    left = left[self._write(conn, left) :]
            except DBAPIError as error:
                if away := away_of(error):
                    away.__cause__ = error
                    return _fail(left, away)
                attempt += 1
                if attempt == _GROUP_RETRIES or not worth_retrying(error):
                    break
                _pause(attempt)
            except (DatabaseAway, exc.TimeoutError) as error:
                return _fail(left, error if isinstance(error, DatabaseAway) else _no_connection(error))
            except BaseException as error:
                return _fail(left, error)
        for job in left:
            self._alone_in_lane(self._write, job, private)

    def _read_jobs(self, jobs: list[Job], private: dict[str, Any]) -> None:
        for job in jobs:
            self._alone_in_lane(self._read, job, private)

    def _alone_in_lane(self, run: Callable[[sa.Connection, list[Job]], int], job: Job, private: dict[str, Any]) -> None:
        try:
            self._alone(run, job, self._kept(private))
        except BaseException as error:
            job.error = error

    def _kept(self, private: dict[str, Any]) -> Callable[[], contextlib.AbstractContextManager[sa.Connection]]:
        """A connection that is kept until something goes wrong with it: to fetch one from the pool for every transaction costs as much
        as a small transaction (on PostgreSQL a round trip, in which the pool asks whether it lives)."""

        @contextlib.contextmanager
        def kept() -> Iterator[sa.Connection]:
            conn = private.get("connection")
            if conn is None:
                conn = private["connection"] = self.engine.connect()
            try:
                yield conn
            except (exc.SQLAlchemyError, DatabaseAway) as error:
                if not (isinstance(error, DBAPIError) and worth_retrying(error)):
                    self._leave(private)
                raise

        return kept

    def _leave(self, private: dict[str, Any]) -> None:
        conn = private.pop("connection", None)
        if conn is not None:
            with contextlib.suppress(Exception):
                conn.invalidate()
            with contextlib.suppress(Exception):
                conn.close()

    # ---- transactions -----------------------------------------------------------------------------------------------------

    def _alone(self, run: Callable[[sa.Connection, list[Job]], int], job: Job, connect: Callable[[], contextlib.AbstractContextManager[sa.Connection]]) -> Any:
        """One job; again when PostgreSQL could not make it look as if it had run alone. Who had to give way twice keeps other threads
        from beginning until it is done, or a stream of those that write the same row could keep it from ever being done."""
        with contextlib.ExitStack() as stack:
            for attempt in range(_RETRIES + 1):
                if attempt == 2:
                    stack.enter_context(self._alone_now)
                elif attempt == 0:
                    with self._alone_now:
                        pass
                try:
                    with connect() as conn:
                        run(conn, [job])
                    return job.result
                except exc.TimeoutError as error:
                    raise _no_connection(error) from error
                except DBAPIError as error:
                    if away := away_of(error):
                        raise away from error
                    if attempt == _RETRIES or not worth_retrying(error):
                        raise
                    _pause(attempt)
        raise AssertionError("not reached")

    def _read(self, conn: sa.Connection, jobs: list[Job]) -> int:
        (job,) = jobs
        tx = Tx(conn)
        try:
            job.result = job.fn(tx, *job.args, **job.kwargs)
        finally:
            tx.end("rollback")
        return 1

    def _write(self, conn: sa.Connection, jobs: list[Job]) -> int:
        """As many as can be done together soon, from the first on: how many. One alone raises what it raises; of several each keeps its
        own, but for what the database itself says, which ends them all."""
        first = Tx(conn)
        if self.is_sqlite:
            busy = _BUSY_MS if self._writes.away is None else _BUSY_AWAY_MS
            if conn.info.get("busy") != busy:
                first.raw(f"PRAGMA busy_timeout={busy}")
                conn.info["busy"] = busy
            first.raw("BEGIN IMMEDIATE")
        done: list[Tx] = []
        count, until = 0, time.monotonic() + _GROUP_S
        try:
            for job in jobs:
                tx = Tx(conn)
                if len(jobs) == 1:
                    job.result = job.fn(tx, *job.args, **job.kwargs)
                    done.append(tx)
                elif self._one_of_several(tx, job):
                    done.append(tx)
                count += 1
                if time.monotonic() > until:
                    break
        except BaseException:
            _undo(first)
            raise
        try:
            first.end("commit")
        except DBAPIError as error:
            _undo(first)
            if not self.is_sqlite and (away := away_of(error)):  # SQLite knows that it has not committed
                away.maybe_done = True
                raise away from error
            raise
        for tx in done:
            for callback in tx.after:
                callback()
        if self.on_tasks and any(tx.tasks_due for tx in done):
            self.on_tasks()
        stirred = set().union(*(tx.stirred for tx in done))
        if stirred and self.on_stirred:
            self.on_stirred(stirred)
        return count

    def _one_of_several(self, tx: Tx, job: Job) -> bool:
        tx.raw("SAVEPOINT job")
        try:
            job.result = job.fn(tx, *job.args, **job.kwargs)
        except exc.SQLAlchemyError:
            raise
        except Exception as error:
            job.error = error
            tx.raw("ROLLBACK TO SAVEPOINT job")
            return False
        tx.raw("RELEASE SAVEPOINT job")
        return True


def _undo(tx: Tx) -> None:
    try:
        tx.end("rollback")
    except exc.SQLAlchemyError:
        tx.conn.invalidate()


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.005 * 2 ** min(attempt, 6)))  # noqa: S311 - jitter, on a database thread


def _fail(jobs: list[Job], error: BaseException) -> None:
    for job in jobs:
        job.error = error


def _no_connection(error: BaseException) -> DatabaseAway:
    away = DatabaseAway("All connections to the database are in use.")
    away.__cause__ = error
    return away


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
        if path and Path(path).is_file() and not Path(path).stat().st_size:  # made now: its free pages can be given back to the disk (tracking_trash)
            dbapi.execute("PRAGMA auto_vacuum=incremental")
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
        url, pool_size=8, max_overflow=8, pool_pre_ping=True, hide_parameters=True, isolation_level="SERIALIZABLE",
        connect_args={name: value for name, value in patience.items() if name not in sa.make_url(url).query},
        json_serializer=dumps, json_deserializer=msgspec.json.decode,
    )
