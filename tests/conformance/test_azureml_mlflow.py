"""MLflow through the azureml plugin (azureml:// tracking URI), as released, over TLS: from a laptop and inside a job."""

from __future__ import annotations

import time

import pytest

from lazward.storage import run_search, runs
from tests.conformance.tracking_server import TOKEN, Server, serve
from tests.storage.tracking_data import KEY


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path) as running:
        yield running


def test_everything_with_the_default_credential(server: Server):
    """DefaultAzureCredential against the managed-identity endpoint that the environment names."""
    env = server.azure_environment(IDENTITY_ENDPOINT=f"{server.services.base_url}/msi/token", IDENTITY_HEADER="secret")
    server.run("mlflow_client.py", "everything", env=env)


def test_inside_a_job(server: Server):
    """The variables a job gets; its status stays the server's, whatever the client says."""
    experiment = server.db.write_now(runs.create_job_run, KEY, "brave_job_1", "train", "A job", "owner", {}, time.time())
    server.db.write_now(runs.set_status, KEY, "brave_job_1", "Running", time.time())
    server.put_job("brave_job_1")
    env = server.azure_environment(
        MLFLOW_TRACKING_TOKEN=TOKEN, MLFLOW_RUN_ID="brave_job_1", MLFLOW_EXPERIMENT_ID=experiment, MLFLOW_EXPERIMENT_NAME="train", AZUREML_RUN_ID="brave_job_1",
        AZUREML_RUN_TOKEN=TOKEN, AZUREML_ARM_SUBSCRIPTION="11111111-1111-1111-1111-111111111111", AZUREML_ARM_RESOURCEGROUP="rg", AZUREML_ARM_WORKSPACE_NAME="Ws",
        AZUREML_ARM_PROJECT_NAME="train",
    )
    server.run("mlflow_client.py", "job", env=env)
    full = server.db.read_now(run_search.one, KEY, "brave_job_1")
    assert (full.run.status, full.run.ended, dict((m[0], m[1]) for m in full.metrics)) == ("RUNNING", None, {"loss": 0.5})
    server.db.write_now(runs.set_status, KEY, "brave_job_1", "Completed", time.time())
    assert server.db.read_now(runs.get, KEY, "brave_job_1").status == "FINISHED"
