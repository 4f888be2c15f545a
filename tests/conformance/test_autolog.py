"""mlflow.autolog() as people use it, against a workspace: scikit-learn, LightGBM, XGBoost, PyTorch (Lightning)."""

from __future__ import annotations

import platform

import pytest

from tests.apps.tracking_app import PLAIN
from tests.conformance.client_environments import python_with
from tests.conformance.tracking_server import TOKEN, Server, serve

TREES = ("mlflow-skinny>=3.17", "scikit-learn", "skops", "pandas", "matplotlib", "pip", "lightgbm", "xgboost")
# The build for processors alone: without "+cpu" gigabytes for graphics cards come along.
TORCH = ("mlflow-skinny>=3.17", "scikit-learn", "pandas", "pip", "torch==2.13.0+cpu", "pytorch-lightning")


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path) as running:
        yield running


def run(server: Server, python: str, *libraries: str) -> None:
    env = server.environment(MLFLOW_TRACKING_URI=f"{server.services.base_url}{PLAIN}", MLFLOW_TRACKING_TOKEN=TOKEN)
    server.run("autolog_client.py", *libraries, env=env, python=python)


def test_scikit_learn_lightgbm_xgboost(server: Server):
    run(server, python_with(*TREES), "sklearn", "lightgbm", "xgboost")


@pytest.mark.skipif(platform.machine() != "x86_64" or platform.system() != "Linux", reason="the build of PyTorch that is asked for is for Linux on x86-64")
def test_pytorch(server: Server):
    run(server, python_with(*TORCH), "pytorch")
