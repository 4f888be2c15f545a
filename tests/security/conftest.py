"""The site that the cross-cutting security tests share: one for each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import fresh_database
from tests.security.door import Door, opened
from tests.security.site import Site, make_site
from tests.security.whole import Whole, whole_server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "site" in metafunc.fixturenames:
        kinds = ["sqlite", "postgres"] if metafunc.config.getoption("--postgres") else ["sqlite"]
        metafunc.parametrize("site", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with fresh_database(request, request.param, folder) as url:
        made = make_site(url, folder)
        yield made
        made.plane.close()


@pytest.fixture(scope="session")
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A site of its own: what is done to it from many connections at once must not meet the other tests."""
    folder = tmp_path_factory.mktemp("door")
    with fresh_database(request, "sqlite", folder) as url:
        site = make_site(url, folder)
        with opened(site, folder) as door:
            yield door
        site.plane.close()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """One running server for all tests of the group "whole"."""
    with whole_server(tmp_path_factory.mktemp("whole")) as made:
        yield made
