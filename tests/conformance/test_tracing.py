"""Tracing with MLflow's own client, of several ages, with OpenAI's and OpenTelemetry's beside it, over TLS."""

from __future__ import annotations

import pytest

from tests.apps.tracking_app import PLAIN
from tests.conformance.client_environments import MLFLOW_2, NEWEST_MLFLOW, python_with
from tests.conformance.tracking_server import TOKEN, Server, serve

GENAI = (*NEWEST_MLFLOW, "openai", "opentelemetry-exporter-otlp-proto-http")
OTEL = ("opentelemetry-sdk<1.34", "opentelemetry-api<1.34")  # what old releases of MLflow were made for
OLDEST = ("mlflow-skinny==2.14.3", "scikit-learn<1.7", "pandas<3", "numpy<2", "setuptools<81", *OTEL)


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path) as running:
        yield running


def run(server: Server, requirements: tuple[str, ...], address: str, *script: str) -> None:
    env = server.environment(
        MLFLOW_TRACKING_URI=f"{server.services.base_url}{address}", MLFLOW_TRACKING_TOKEN=TOKEN, LAZWARD="1",
        MLFLOW_MODEL_CATALOG_URI="",  # prices come from the web otherwise, after some seconds of trying
    )
    server.run(*script, env=env, python=python_with(*requirements))


def test_everything(server: Server):
    run(server, GENAI, PLAIN, "tracing_client.py", "everything")


def test_openai_evaluation_and_opentelemetry(server: Server):
    run(server, GENAI, "/mlflow/workspaces/ws", "genai_client.py")


@pytest.mark.parametrize("requirements", [OLDEST, (*MLFLOW_2, *OTEL)], ids=["2.14", "2.22"])
def test_clients_that_upload_their_spans(server: Server, requirements: tuple[str, ...]):
    run(server, requirements, PLAIN, "tracing_client.py", "old")


def test_everything_through_the_azureml_plugin(server: Server):
    env = server.azure_environment(IDENTITY_ENDPOINT=f"{server.services.base_url}/msi/token", IDENTITY_HEADER="secret", MLFLOW_MODEL_CATALOG_URI="")
    server.run("tracing_client.py", "everything", env=env)
