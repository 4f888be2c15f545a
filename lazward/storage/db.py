"""The database: a whole transaction is one plain function that runs on one thread.

`await db.write(fn, ...)` runs `fn(tx, ...)` in a write transaction and commits it; `await db.read(fn, ...)` runs it in a read
transaction. Nobody else commits. A function given to write() may be run more than once (PostgreSQL retries a transaction that
could not be serialised), so it must have no effect besides its statements; it has no way to wait for the network, being plain.

SQLite: one writer thread per process, BEGIN IMMEDIATE, WAL. PostgreSQL: two writers, SERIALIZABLE with retries, so both
databases give a write transaction the same guarantee: it sees and leaves a state as if it had run alone. A read transaction sees
on both what was committed when it began, keeps no writer waiting and ends none; on PostgreSQL it cannot write.

A database that is away for a while (restarted, locked by another program, its disk full) is waited for, `patience_s` seconds, by
all callers with one of them asking; then they get DatabaseAway. ADR-0018.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.exc import DBAPIError

from lazward.storage.away import DatabaseAway, away_of, is_locked, no_connection, worth_retrying
from lazward.storage.engines import BUSY_MS, postgres_engine, snapshots, sqlite_engine
from lazward.storage.lanes import Job, Lane, fail, pause
from lazward.storage.pipes import Pipe
from lazward.storage.tx import Elsewhere, Later, Tx

P = ParamSpec("P")
T = TypeVar("T")
Connect = Callable[[], contextlib.AbstractContextManager[sa.Connection]]

PATIENCE_S = 10.0
_RETRIES = 12
_BUSY_AWAY_MS = 50  # as BUSY_MS, while the database is known to be locked
_PG_WRITERS = 2  # they share one interpreter: more of them get into each other's way, in the database too, and groups become smaller
_GROUP_RETRIES = 4
_SMALL_RUN = 256  # small writes after which one goes to the writer's thread, whose commits take the log over into the database
_GROUP, _GROUP_S = 64, 0.005  # transactions that may be made one, and after how long no further one is taken in


class _OneRaised(Exception):
    """Of several jobs in one transaction, which does not say which of them wrote what."""


class Database:
    """url: "sqlite:////path/file.db" or "postgresql+psycopg://...". on_tasks is called (on a database thread) after each
    commit that made a task due, in order to wake the worker. patience_s: how long read and write wait for one that is away."""

    def __init__(self, url: str, on_tasks: Callable[[], None] | None = None, *, synchronous: str = "normal", patience_s: float = PATIENCE_S):
        self.url = url
        self.on_tasks: Callable[[], object] | None = on_tasks
        self.patience_s = patience_s
        self.on_stirred: Callable[[set[str]], object] | None = None  # as on_tasks, with tx.stirred
        self.is_sqlite = url.startswith("sqlite")
        self.engine = sqlite_engine(url, synchronous) if self.is_sqlite else postgres_engine(url)
        self._reader = self.engine if self.is_sqlite else snapshots(self.engine)
        self._at_once = self.is_sqlite and synchronous != "full"  # whether a commit waits for no disk
        self._small, self._small_private, self._small_run = threading.Lock(), dict[str, Any](), 0
        self._alone_now = threading.Lock()
        self._writes = Lane("db-write", 1 if self.is_sqlite else _PG_WRITERS, _GROUP, self._write_jobs, self._leave)
        self._smalls = self._writes if self.is_sqlite else Lane("db-small", 1, _GROUP, partial(self._write_jobs, piped=True), self._leave)
        self._reads = Lane("db-read", 4, 1, self._read_jobs, self._leave)  # of its own: a SQLite database that is locked can be read

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises DatabaseAway."""
        return await self._reads.call(fn, args, kwargs, self.patience_s)

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises DatabaseAway."""
        return await self._writes.call(fn, args, kwargs, self.patience_s)

    async def write_small(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """write() of a few statements by key. To wake another thread and to be woken by it takes longer than these on SQLite, so that with
        nobody else writing they are done on this one, where they wait for no lock and no disk; otherwise as write(). On PostgreSQL they
        have a thread of their own, where they do not wait for each other's answers."""
        if self._at_once and self._writes.busy == 0 and self._writes.away is None and self._small.acquire(blocking=False):
            try:
                return self._write_here(Job(fn, args, kwargs))
            except Elsewhere:
                pass
            finally:
                self._small.release()
        return await self._smalls.call(fn, args, kwargs, self.patience_s)

    def read_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On this thread, and without patience: raises DatabaseAway at once."""
        return self._alone(self._read, Job(fn, args, kwargs), self._reader.connect)

    def write_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On this thread, and without patience: raises DatabaseAway at once."""
        return self._alone(self._write, Job(fn, args, kwargs), self.engine.connect)

    def close(self) -> None:
        self._writes.close()
        self._smalls.close()
        self._reads.close()
        self._leave(self._small_private)
        self.engine.dispose()

    # ---- on the threads of a lane: `private` keeps the thread's connection ----
    def _write_jobs(self, jobs: list[Job], private: dict[str, Any], piped: bool = False) -> None:
        """Several are one transaction. When one of them raises, they are begun anew, each in a savepoint of its own, so that it undoes nothing of
        the others' (savepoints are two statements for each, a third of a small write on PostgreSQL). When the database itself objects, each is
        done again alone."""
        left, attempt, apart = jobs, 0, False
        while len(left) > 1:
            try:
                with self._alone_now:
                    pass
                with self._kept(private, self.engine)() as conn:
                    left = left[self._write(conn, left, piped, apart) :]
                apart = False
            except _OneRaised:
                apart = True
            except DBAPIError as error:
                if away := away_of(error):
                    away.__cause__ = error
                    return fail(left, away)
                attempt += 1
                if attempt == _GROUP_RETRIES or not worth_retrying(error):
                    break
                pause(attempt)
            except (DatabaseAway, exc.TimeoutError) as error:
                return fail(left, error if isinstance(error, DatabaseAway) else no_connection(error))
            except BaseException as error:
                return fail(left, error)
        for job in left:
            self._alone_in_lane(partial(self._write, piped=piped), job, self._kept(private, self.engine))

    def _read_jobs(self, jobs: list[Job], private: dict[str, Any]) -> None:
        for job in jobs:
            self._alone_in_lane(self._read, job, self._kept(private, self._reader))

    def _alone_in_lane(self, run: Callable[[sa.Connection, list[Job]], int], job: Job, connect: Connect) -> None:
        try:
            self._alone(run, job, connect)
        except BaseException as error:
            job.error = error

    def _kept(self, private: dict[str, Any], engine: sa.Engine) -> Connect:
        """A connection that is kept until something goes wrong with it: to fetch one from the pool for every transaction costs as much
        as a small transaction (on PostgreSQL a round trip, in which the pool asks whether it lives)."""

        @contextlib.contextmanager
        def kept() -> Iterator[sa.Connection]:
            conn = private.get("connection")
            if conn is None:
                conn = private["connection"] = engine.connect()
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

    # ---- transactions ----
    def _alone(self, run: Callable[[sa.Connection, list[Job]], int], job: Job, connect: Connect) -> Any:
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
                    raise no_connection(error) from error
                except DBAPIError as error:
                    if away := away_of(error):
                        raise away from error
                    if attempt == _RETRIES or not worth_retrying(error):
                        raise
                    pause(attempt)
        raise AssertionError("not reached")

    def _write_here(self, job: Job) -> Any:
        """Raises what fn raises, and Elsewhere, with nothing done, where the thread of the lane has to do it."""
        self._small_run += 1
        if self._small_run > _SMALL_RUN:
            self._small_run = 0
            raise Elsewhere
        try:
            conn = self._small_private.get("connection")
            if conn is None:
                conn = self._small_private["connection"] = self.engine.connect()
                for pragma in ("busy_timeout=0", "wal_autocheckpoint=0"):
                    Tx(conn).raw(f"PRAGMA {pragma}")
            tx = Tx(conn, small=True)
            tx.raw("BEGIN IMMEDIATE")
            try:
                _do(tx, job)
                tx.end("commit")
            except BaseException:
                _undo(tx)
                raise
        except exc.SQLAlchemyError as error:
            if not (isinstance(error, DBAPIError) and is_locked(error)):
                self._leave(self._small_private)
            raise Elsewhere from error
        self._committed([tx])
        return job.result

    def _read(self, conn: sa.Connection, jobs: list[Job]) -> int:
        (job,) = jobs
        tx = Tx(conn)
        try:
            _do(tx, job)
        finally:
            tx.end("rollback")
        return 1

    def _write(self, conn: sa.Connection, jobs: list[Job], piped: bool = False, apart: bool = False) -> int:
        """As many as can be done together soon, from the first on: how many. One alone raises what it raises; when one of several does, it is
        _OneRaised, with nothing done, or with `apart` each keeps its own. What the database itself says ends them all."""
        pipe = Pipe(conn.connection.driver_connection) if piped and not self.is_sqlite else None
        first = Tx(conn, pipe=pipe, alone=pipe is not None and len(jobs) == 1)
        if self.is_sqlite:
            busy = BUSY_MS if self._writes.away is None else _BUSY_AWAY_MS
            if conn.info.get("busy") != busy:
                first.raw(f"PRAGMA busy_timeout={busy}")
                conn.info["busy"] = busy
            first.raw("BEGIN IMMEDIATE")
        done: list[Tx] = []
        count, until = 0, time.monotonic() + _GROUP_S
        try:
            for job in jobs:
                tx = Tx(conn, pipe=pipe, grouped=pipe is not None and not apart) if len(jobs) > 1 else first
                if apart:
                    done += [tx] if self._in_savepoint(tx, job) else []
                else:
                    _do(tx, job)
                    done.append(tx)
                count += 1
                if time.monotonic() > until:
                    break
            for tx, job in zip(done, jobs, strict=False):
                if type(job.result) is Later:
                    _do(tx, job, job.result.make)
        except BaseException as error:
            _undo(first)
            if len(jobs) > 1 and isinstance(error, Exception) and not isinstance(error, exc.SQLAlchemyError):
                raise _OneRaised from error
            raise
        try:
            first.end("commit")
        except DBAPIError as error:
            _undo(first)
            if not self.is_sqlite and (away := away_of(error)):  # SQLite knows that it has not committed
                away.maybe_done = True
                raise away from error
            raise
        self._committed(done)
        return count

    def _committed(self, done: list[Tx]) -> None:
        for tx in done:
            for callback in tx.after:
                callback()
        if self.on_tasks and any(tx.tasks_due for tx in done):
            self.on_tasks()
        stirred = set().union(*(tx.stirred for tx in done))
        if stirred and self.on_stirred:
            self.on_stirred(stirred)

    def _in_savepoint(self, tx: Tx, job: Job) -> bool:
        tx.raw("SAVEPOINT job")
        try:
            _do(tx, job)
        except exc.SQLAlchemyError:
            raise
        except Exception as error:
            job.error = error
            tx.raw("ROLLBACK TO SAVEPOINT job")
            return False
        tx.raw("RELEASE SAVEPOINT job")
        return True


def _do(tx: Tx, job: Job, make: Callable[[], Any] | None = None) -> None:
    """make: of a Later."""
    job.error = None  # of an earlier try
    try:
        job.result = make() if make is not None else job.fn(tx, *job.args, **job.kwargs)
    except tx.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr] - of an answer that was fetched from a cursor of raw()
        raise tx.wrapped("", error) from error


def _undo(tx: Tx) -> None:
    try:
        tx.end("rollback")
    except exc.SQLAlchemyError:
        tx.conn.invalidate()
