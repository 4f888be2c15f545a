"""SQLAlchemy's engines of the two databases, and JSON as both keep it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event

from lazward.storage import sqlite_functions

BUSY_MS = 5000  # how long SQLite itself waits for a lock
CHECKPOINT_PAGES = 1000  # of the write-ahead log: a commit that finds so many takes them over into the database

# hide_parameters: what is stored is told to the database, not to the log, also when a statement fails (S16).


def dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def sqlite_engine(url: str, synchronous: str) -> sa.Engine:
    # sqlite3's own transaction handling is switched off (isolation_level None): write_now says BEGIN IMMEDIATE itself.
    engine = sa.create_engine(
        url, connect_args={"check_same_thread": False, "isolation_level": None, "timeout": BUSY_MS / 1000, "cached_statements": 512},
        pool_size=8, max_overflow=8, hide_parameters=True, json_serializer=dumps, json_deserializer=msgspec.json.decode,
    )

    @event.listens_for(engine, "connect")
    def _pragmas(dbapi: Any, _record: Any) -> None:
        sqlite_functions.register(dbapi)
        path = sa.make_url(url).database
        if path and Path(path).is_file() and not Path(path).stat().st_size:  # made now: its free pages can be given back to the disk (tracking_trash)
            dbapi.execute("PRAGMA auto_vacuum=incremental")
        # Of cache for each connection 2 MiB: with 8 no search over 100,000 runs was faster, and the server took 30 MiB more.
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", f"busy_timeout={BUSY_MS}", "cache_size=-2000", "temp_store=MEMORY"):
            dbapi.execute(f"PRAGMA {pragma}")
        if path and path != ":memory:":
            for suffix in ("", "-wal", "-shm"):
                try:
                    os.chmod(path + suffix, 0o600)  # noqa: PTH101
                except FileNotFoundError:
                    pass

    return engine


def postgres_engine(url: str) -> sa.Engine:
    # A machine that is gone says nothing: libpq would wait for minutes. What the URL says of these comes first.
    patience = {"connect_timeout": 5, "tcp_user_timeout": 15000, "keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3}
    engine = sa.create_engine(
        url, pool_size=8, max_overflow=8, pool_pre_ping=True, hide_parameters=True, isolation_level="SERIALIZABLE",
        connect_args={name: value for name, value in patience.items() if name not in sa.make_url(url).query},
        json_serializer=dumps, json_deserializer=msgspec.json.decode,
    )

    @event.listens_for(engine, "connect")
    def _serializable(dbapi: Any, _record: Any) -> None:
        """Statements that commit themselves, too (Tx.last)."""
        dbapi.autocommit = True
        dbapi.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        dbapi.autocommit = False

    return engine


def snapshots(engine: sa.Engine) -> sa.Engine:
    """The same connections for reading. SERIALIZABLE would have PostgreSQL note every row and page that is read (a search of 10,000 runs
    took 1.4 times as long), and end writers over them."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
