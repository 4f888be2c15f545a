from __future__ import annotations

from lazward.storage import experiments
from tests.apps.tracking_app import PLAIN, PLUGIN
from tests.storage.trace_data import id_of, start
from tests.storage.tracking_data import KEY, NOW, WORKSPACE


async def test_artifacts_of_traces_go_by_the_prefix_and_the_experiment(app):
    outside = app.db.write_now(experiments.create, KEY, "out", NOW, location="s3://bucket")
    start(app.db, 1)
    start(app.db, 2, experiment=outside.id)
    async with app.client() as client:
        async def place(prefix, number):
            return (await client.get(f"{prefix}/api/3.0/mlflow/traces/{id_of(number)}")).json()["trace"]["trace_info"]["tags"]["mlflow.artifactLocation"]

        assert await place(PLAIN, 1) == f"mlflow-artifacts:/{id_of(1)}/artifacts"
        assert await place(PLUGIN, 1) == f"azureml://localhost:8443{WORKSPACE}/experiments/0/runs/{id_of(1)}/artifacts"
        assert await place(PLAIN, 2) == await place(PLUGIN, 2) == f"s3://bucket/traces/{id_of(2)}/artifacts"
        answer = await client.get(f"{PLAIN}/api/3.0/mlflow/get-trace-artifact?request_id={id_of(2)}")
        assert answer.status_code == 400 and "s3://bucket" in answer.json()["message"]
