"""The server whose parts are killed, on the database that --kill-database names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.server import Server


@pytest.fixture
def database(pytestconfig: pytest.Config) -> Iterator[str]:
    """"" for SQLite in the data dir."""
    if pytestconfig.getoption("--kill-database") == "sqlite":
        yield ""
        return
    from tests.postgres import Postgres

    with Postgres() as made:
        yield made.url


@pytest.fixture
def stormy(database: str) -> Iterator[Server]:
    """A server of one test's own, to be killed."""
    with Server(sets=("system_metrics_interval_s=0.3", *((f"database_url={database}",) if database else ()))) as made:
        yield made
