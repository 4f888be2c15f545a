"""One transaction, as the functions of storage/ see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from lazward.storage.engines import dumps
from lazward.storage.pieces import pieces
from lazward.storage.pipes import Pipe

T = TypeVar("T")
IDLE = 0  # libpq: in no transaction


class Elsewhere(Exception):
    """Not on this thread: the writer's does it."""


class Later:
    """In place of the result of a function in a group: makes it, once all of the group have sent their statements (Tx.later)."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]):
        self.make = make


class Tx:
    """One transaction. `execute` takes SQLAlchemy Core statements; `run_after_commit` takes callbacks for in-process wake-ups."""

    def __init__(self, conn: sa.Connection, small: bool = False, pipe: Pipe | None = None, alone: bool = False, grouped: bool = False):
        """alone: the first statement may commit itself (last()). grouped: others of the same transaction can send theirs before an answer is read (later())."""
        self.conn = conn
        self._pipe = pipe
        self._alone, self._grouped = alone, grouped
        self.sqlite = conn.dialect.name == "sqlite"
        self._driver: Any = conn.connection.driver_connection
        self._small = small
        self.after: list[Callable[[], None]] = []
        self.tasks_due = False
        self.stirred: set[str] = set()  # keys of resources whose own work should look again: a child of theirs has changed

    def execute(self, statement: Any, params: Any = None) -> sa.CursorResult[Any]:
        self._shut_pipe()
        return self.conn.execute(statement, params) if params is not None else self.conn.execute(statement)

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """What the block writes is undone when it raises; the transaction can go on (a savepoint)."""
        self._shut_pipe()
        with self.conn.begin_nested():
            yield
            self._shut_pipe()

    def raw(self, statement: str, values: Any = ()) -> Any:
        """A cursor of the driver's own, for the few statements that run thousands of times a second: SQLAlchemy takes longer to
        prepare one than SQLite to do it. Parameters are written ?. Errors are those of execute."""
        try:
            if self._pipe is not None:
                self._pipe.open()
            return self._driver.execute(statement if self.sqlite else statement.replace("?", "%s"), values)
        except self.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]
            raise self.wrapped(statement, error) from error

    def last(self, statement: str, values: Any = ()) -> Any:
        """raw() of a statement after which nothing is left to write, unless its answer says that it wrote nothing. With nothing before it on
        PostgreSQL it commits itself: one round trip, and no BEGIN and COMMIT. When the connection breaks it is sent again, so twice must leave
        what once leaves. (SQLite has no use for it.)"""
        if not self._alone or self._driver.info.transaction_status != IDLE:
            return self.raw(statement, values)
        try:
            self._driver.autocommit = True
            return self._driver.execute(statement.replace("?", "%s"), values)
        except self.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]
            raise self.wrapped(statement, error) from error
        finally:
            if not self._driver.closed:
                self._driver.autocommit = False

    def later(self, make: Callable[[], T]) -> T:
        """What a function of a small write returns whose result needs an answer of the database: make() reads it. In a group on PostgreSQL
        that is when all have asked, so that a group waits once and not each of it. Nobody but the database's own thread can use the result."""
        return cast("T", Later(make)) if self._grouped else make()

    def among(self, values: Sequence[Any]) -> tuple[str, Any]:
        """Membership in a list of any length, for raw(): what stands behind the column, and its one parameter."""
        if self.sqlite:
            return "IN (SELECT value FROM json_each(?))", dumps(values)
        if values and isinstance(values[0], int):  # as text: psycopg takes longer, and says another type, and with it another statement, as they grow
            return "= ANY(?::bigint[])", f"{{{','.join(map(str, values))}}}"
        return "= ANY(?)", list(values)

    def raw_many(self, statement: str, rows: Collection[Sequence[Any]]) -> None:
        """An INSERT ... VALUES (?, ...) of many rows. On PostgreSQL as one statement: each takes as long to say as to do."""
        if self.sqlite:
            try:
                self._driver.executemany(statement, rows)
            except self.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]
                raise self.wrapped(statement, error) from error
            return
        into, values, rest = statement.partition("VALUES ")
        marks, end, rest = rest.partition(")")
        for some in pieces(rows):
            self.raw(into + values + ", ".join([marks + end] * len(some)) + rest, [value for row in some for value in row])

    def end(self, how: Literal["commit", "rollback"]) -> None:
        """Of Database alone: nobody else ends a transaction."""
        if self._pipe is not None and how == "rollback":
            self._pipe.give_up()
        if self.conn.get_transaction() is not None:  # (in_transaction() denies one that a broken connection has left behind)
            self._shut_pipe()
            getattr(self.conn, how)()
            return
        try:
            getattr(self._driver, how)()
        except self.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]
            raise self.wrapped(how, error) from error
        self._shut_pipe()

    def _shut_pipe(self) -> None:
        if self._pipe is not None:
            try:
                self._pipe.shut()
            except self.conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]
                raise self.wrapped("", error) from error

    def wrapped(self, statement: str, error: Any) -> DBAPIError:
        dialect = self.conn.dialect
        lost = dialect.is_disconnect(error, self._driver, None)  # type: ignore[arg-type]
        made: Any = DBAPIError.instance(statement, None, error, dialect.dbapi.Error, hide_parameters=True, connection_invalidated=lost, dialect=dialect)  # type: ignore[union-attr]
        return made

    def takes_a_while(self) -> None:
        """Said before more than a few statements by key: a small write goes where it holds up nobody, and begins anew there."""
        if self._small:
            raise Elsewhere

    def run_after_commit(self, fn: Callable[[], None]) -> None:
        self.after.append(fn)
