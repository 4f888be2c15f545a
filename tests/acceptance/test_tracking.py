"""Notebooks about MLflow, cell by cell, through the azureml plugin. Their pins are for a Python that is gone; what they import is here in
the newest versions that the plugin allows, and their data is the copy that lies in the examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lazward.domain.layout import Layout
from tests.acceptance import runs
from tests.acceptance.notebooks import run_notebook
from tests.acceptance.test_notebooks import handle
from tests.conformance.client_environments import python_with

FOLDER = "sdk/python/using-mlflow"
DATA = "https://azuremlexampledata.blob.core.windows.net/data/heart-disease-uci/data/heart.csv"
PACKAGES = ("mlflow==2.22.*", "azureml-mlflow", "azure-ai-ml", "azure-identity", "xgboost", "scikit-learn<1.7", "pandas<3", "numpy<2.3", "matplotlib", "ipykernel", "pip", "hyperopt", "setuptools<81", "marshmallow<4")


@pytest.fixture
def tracking(client, monkeypatch):
    """MlflowClient of the workspace, which is where kernels log too, as on a compute instance."""
    mlflow = runs.tracking(client)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.get_tracking_uri())
    return mlflow.MlflowClient()


def heart(examples: Path) -> str:
    return str(examples / FOLDER / "deploy/data/heart.csv")


def test_l3_058_run_history(tracking, examples):
    shown = run_notebook(examples / FOLDER / "runs-management/run_history.ipynb", {"%pip install -r run_history.txt": "", DATA: heart(examples)}, python_with(*PACKAGES))
    assert "heart-classifier-sample" in shown and "num_boost_round" in shown
    found = tracking.search_runs([tracking.get_experiment_by_name("heart-classifier-sample").experiment_id], order_by=["start_time"])
    assert [run.info.run_name for run in found] == [f"heart-classifier-sample-run-{i}" for i in range(3)]
    assert all(0.5 < run.data.metrics["accuracy"] <= 1 and run.info.status == "FINISHED" for run in found)


def test_model_management(tracking, server, examples):
    folder = examples / FOLDER / "model-management"
    run_notebook(folder / "model_management.ipynb", {"%pip install -r model_management.txt": "", "version=3": "version=2", **handle(server)}, python_with(*PACKAGES))
    versions = tracking.search_model_versions("name = 'mlflow-sample-model'")
    assert len(versions) == 1, "of two, one is deleted in the end"


def test_nested_runs(tracking, examples):
    shown = run_notebook(examples / FOLDER / "train-and-log/xgboost_nested_runs.ipynb", {"%pip install -r xgboost_nested_runs.txt": "", DATA: heart(examples)}, python_with(*PACKAGES))
    found = tracking.search_runs([tracking.get_experiment_by_name("heart-condition-classifier").experiment_id])
    parents = {run.data.tags.get("mlflow.parentRunId") for run in found} - {None}
    assert len(parents) == 1 and len(found) > 2 and shown


def test_rest(tracking, server, examples):
    """As the server's first principal."""
    who = json.loads(Layout(Path(server["DATA_DIR"])).principal_file.read_text())
    identity = {"<TENANT_ID>": who["tenant_id"], "<CLIENT_ID>": who["client_id"], "<CLIENT_SECRET>": who["secret"]}
    authority = server["REGISTRY_DISCOVERY_ENDPOINT_URL"].rstrip("/")
    run_notebook(examples / FOLDER / "using-rest-api/using_mlflow_rest_api.ipynb", {**identity, **handle(server), "https://login.microsoftonline.com": authority}, python_with(*PACKAGES))
