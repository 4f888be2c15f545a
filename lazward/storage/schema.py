"""Brings a database to the newest schema. A fresh one is made at once; an old one is walked through the migrations."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from lazward.storage import genai_tables  # noqa: F401 - adds its tables to the metadata
from lazward.storage.db import Database
from lazward.storage.tables import metadata

HEAD = "0006"  # the newest revision in migrations/versions; a test compares
_VERSION = sa.table("alembic_version", sa.column("version_num"))


def current(db: Database) -> str | None:
    """The database's revision; None for one without tables of ours."""
    if not sa.inspect(db.engine).has_table("alembic_version"):
        return None
    return db.read_now(lambda tx: tx.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none())


def is_current(db: Database) -> bool:
    return current(db) == HEAD


def upgrade(db: Database) -> None:
    """Safe to call from several processes at once: the work is done in one write transaction."""
    found = current(db)
    if found == HEAD:
        return
    if found is None:
        db.write_now(lambda tx: _create(tx.conn))
        return
    from alembic import command  # half a second of imports that a current database never pays
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))

    def walk(conn: sa.Connection) -> None:
        config.attributes["connection"] = conn
        command.upgrade(config, "head")

    db.write_now(lambda tx: walk(tx.conn))


def _create(conn: sa.Connection) -> None:
    metadata.create_all(conn)
    conn.execute(sa.text("create table if not exists alembic_version (version_num varchar(32) not null primary key)"))
    if conn.execute(sa.select(_VERSION.c.version_num)).first() is None:
        conn.execute(sa.insert(_VERSION).values(version_num=HEAD))
