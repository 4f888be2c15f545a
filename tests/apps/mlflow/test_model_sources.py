"""S2: a model is registered from what lies in the workspace, never from files of the server or another workspace."""

from __future__ import annotations

import pytest

from tests.apps.tracking_app import PLAIN
from tests.storage.tracking_data import KEY, NOW, OTHER, WORKSPACE, make_run

MODEL = "m-" + "a" * 32
BASE = f"azureml://subscriptions/{WORKSPACE.subscription}/resourcegroups/rg/workspaces/Ws/datastores/workspaceartifactstore/paths"


@pytest.fixture(autouse=True)
def data(app):
    from lazward.storage import logged_models

    make_run(app.db, "r1")
    make_run(app.db, "theirs", key=OTHER.key)
    app.db.write_now(logged_models.create, KEY, MODEL, "0", "clf", "", "r1", {}, {}, NOW)


async def register(app, source):
    async with app.client() as client:
        await client.post(PLAIN + "/api/2.0/mlflow/registered-models/create", json={"name": "m"})
        answer = await client.post(PLAIN + "/api/2.0/mlflow/model-versions/create", json={"name": "m", "source": source})
    return answer.status_code, answer.json()


@pytest.mark.parametrize(("source", "uri"), [
    ("runs:/r1/model", f"{BASE}/ExperimentRun/dcid.r1/model"), ("mlflow-artifacts:/r1/artifacts/a/b", f"{BASE}/ExperimentRun/dcid.r1/a/b"),
    ("mlflow-artifacts:/r1/artifacts", f"{BASE}/ExperimentRun/dcid.r1"), (f"models:/{MODEL}", f"{BASE}/ExperimentRun/dcid.r1/clf"),
    (f"azureml://localhost:8443{WORKSPACE}/experiments/x/runs/r1/artifacts/model", f"{BASE}/ExperimentRun/dcid.r1/model"),
    (f"azureml://old-host{WORKSPACE}/experiments/x/runs/{MODEL}/artifacts", f"{BASE}/ExperimentRun/dcid.r1/clf"),
    ("azureml://artifacts/LocalUpload/240101T1-abc/model", f"{BASE}/LocalUpload/240101T1-abc/model"), ("azureml://datastores/workspaceblobstore/paths/x/y", "azureml://datastores/workspaceblobstore/paths/x/y"),
    ("azureml://jobs/r1/outputs/model/paths/x", "azureml://jobs/r1/outputs/model/paths/x"), ("https://acct.blob.core.windows.net/c/model", "https://acct.blob.core.windows.net/c/model"),
])
async def test_sources_become_arms_uris(app, source, uri):
    status, answer = await register(app, source)
    assert status == 200, answer
    assert (await app.models.version(KEY, "m", "1")).uri == uri
    assert answer["model_version"]["source"] == source
    if MODEL in source:
        assert (answer["model_version"]["model_id"], answer["model_version"]["run_id"]) == (MODEL, "r1")


async def test_a_version_can_be_copied(app):
    await register(app, "runs:/r1/model")
    status, _ = await register(app, "models:/m/1")
    assert status == 200
    assert (await app.models.version(KEY, "m", "2")).uri == f"{BASE}/ExperimentRun/dcid.r1/model"


@pytest.mark.parametrize("source", [
    "/etc/passwd", "file:///etc/passwd", "../x", "C:\\x", "ftp://x/y", "dbfs:/x", "mlflow-artifacts://host/r1/artifacts", "mlflow-artifacts:/r1/artifacts/../../x",
    "mlflow-artifacts:/r1/artifacts/%2e%2e/x", "mlflow-artifacts:/../etc/artifacts", "runs:/r1/../r2", "runs:/r1/a?x", "models:/m", "models:/", "x" * 5000,
    "azureml://artifacts/LocalUpload/../x", "azureml://artifacts/Other/a/b", "azureml://nothing/x", "s3://bucket/model", "azureml://datastores/d/paths/../x", "models:/m-zz/../..",
    f"azureml://h{OTHER}/experiments/x/runs/theirs/artifacts",
])
async def test_s2_refused(app, source):
    status, answer = await register(app, source)
    assert (status, answer["error_code"]) in ((400, "INVALID_PARAMETER_VALUE"), (404, "RESOURCE_DOES_NOT_EXIST")), answer
    assert await app.models.versions(KEY, "m") == []


@pytest.mark.parametrize("source", ["runs:/theirs/model", "mlflow-artifacts:/theirs/artifacts", f"models:/m-{'b' * 32}", "runs:/none/x", "models:/none/1"])
async def test_s5_other_workspaces_are_as_good_as_none(app, source):
    status, answer = await register(app, source)
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
