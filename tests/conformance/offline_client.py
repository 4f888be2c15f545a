"""A training as people write it, without a word about outages: params, metrics, tags, nested runs, artifacts, autologging of scikit-learn, a
logged model. Prints the ids of its runs. Run by test_offline.py, online and offline."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities import Metric, Param, RunTag
from sklearn.linear_model import LogisticRegression

THREE = int(mlflow.__version__.split(".")[0]) >= 3


def main(experiment: str) -> None:
    mlflow.set_experiment(experiment)
    client = mlflow.MlflowClient()
    with mlflow.start_run(run_name="outer", tags={"kind": "test"}, description="what it is for") as outer:
        mlflow.log_params({f"p{n}": n for n in range(150)})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step, timestamp=1000 + step)
        mlflow.log_metric("never", float("nan"), timestamp=1)
        mlflow.log_metric("most", float("inf"), timestamp=1)
        client.log_batch(outer.info.run_id, [Metric("curve", float(n), n, n) for n in range(900)], [Param("batch", "1")], [RunTag("t", "1")])
        mlflow.set_tag("gone", "x")
        mlflow.delete_tag("gone")
        mlflow.set_tag("t", "2")
        mlflow.log_dict({"a": [1, 2]}, "config/data.json")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "sub").mkdir()
            Path(folder, "sub", "blob.bin").write_bytes(bytes(range(256)) * 40)
            Path(folder, "empty").touch()
            Path(folder, "a b%41ü.txt").write_text("ü")
            mlflow.log_artifacts(folder, "files")
        for n in range(2):
            with mlflow.start_run(nested=True, run_name=f"inner{n}"):
                mlflow.log_metric("loss", n, timestamp=1)
    # The model is logged below: to find out what it requires, which autologging does, takes MLflow a process and half a minute.
    mlflow.sklearn.autolog(log_datasets=False, log_post_training_metrics=False, log_models=False)
    with mlflow.start_run(run_name="autologged"):
        LogisticRegression(C=0.5).fit(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1]))
    mlflow.sklearn.autolog(disable=True)
    with mlflow.start_run(run_name="modelled") as modelled:
        named = {"name" if THREE else "artifact_path": "model", "pip_requirements": ["scikit-learn"]}
        mlflow.sklearn.log_model(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), **named)
        mlflow.log_metric("acc", 0.5, timestamp=1)
    print(json.dumps({"outer": outer.info.run_id, "modelled": modelled.info.run_id}))


if __name__ == "__main__":
    main(sys.argv[1])
