"""One resource of a type, for the tests that run over all of them."""

from __future__ import annotations

import pytest

from tests.control_plane import Plane
from tests.thing import Thing


@pytest.fixture
def thing(plane: Plane, path: str) -> Thing:
    return Thing(plane, path)
