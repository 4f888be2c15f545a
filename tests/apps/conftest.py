from __future__ import annotations

import pytest

from tests.apps.tracking_app import App
from tests.storage.tracking_data import make_workspaces


@pytest.fixture
def app(db, tmp_path, clock) -> App:
    make_workspaces(db)
    return App(db, tmp_path, clock)
