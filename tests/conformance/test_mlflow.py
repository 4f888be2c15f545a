"""MLflow's own client over TLS, as released: everything a data scientist does, by both addresses of a workspace."""

from __future__ import annotations

import pytest

from tests.apps.tracking_app import PLAIN
from tests.conformance.client_environments import MLFLOW_2, NEWEST_MLFLOW, python_with
from tests.conformance.tracking_server import TOKEN, Server, serve


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path) as running:
        yield running


@pytest.mark.parametrize(("requirements", "address"), [(NEWEST_MLFLOW, PLAIN), (MLFLOW_2, "/mlflow/workspaces/ws")], ids=["newest", "2.22"])
def test_everything(server: Server, requirements: tuple[str, ...], address: str):
    env = server.environment(MLFLOW_TRACKING_URI=f"{server.services.base_url}{address}", MLFLOW_TRACKING_TOKEN=TOKEN)
    server.run("mlflow_client.py", "everything", env=env, python=python_with(*requirements))
