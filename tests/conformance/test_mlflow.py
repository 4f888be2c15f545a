"""MLflow's own client over TLS, as released: everything a data scientist does, by both addresses of a workspace."""

from __future__ import annotations

import pytest

from tests.apps.tracking_app import PLAIN
from tests.conformance.tracking_server import TOKEN, Server, serve


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path) as running:
        yield running


def test_everything_by_the_full_address(server: Server):
    env = server.environment(MLFLOW_TRACKING_URI=f"{server.services.base_url}{PLAIN}", MLFLOW_TRACKING_TOKEN=TOKEN)
    server.run("mlflow_client.py", "everything", env=env)
