"""What a data scientist does with MLflow, against the tracking URI of the environment. Run by test_mlflow.py and test_azureml_mlflow.py."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

THREE = int(mlflow.__version__.split(".")[0]) >= 3


def refused(call, *args, code: str, **kwargs) -> str:
    try:
        call(*args, **kwargs)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, str(error))
        return str(error)
    raise AssertionError(f"{call} was not refused")


def named(name: str) -> dict[str, object]:
    """Arguments of log_model. Requirements are given, for to find them out takes MLflow a process and half a minute."""
    return {"name" if THREE else "artifact_path": name, "pip_requirements": ["scikit-learn"]}


def experiments(client: MlflowClient) -> str:
    assert client.get_experiment("0").name == "Default"
    assert client.get_experiment_by_name("nothing") is None
    made = client.create_experiment("iris", tags={"team": "a"})
    refused(client.create_experiment, "iris", code="RESOURCE_ALREADY_EXISTS")
    client.set_experiment_tag(made, "owner", "me")
    found = client.get_experiment(made)
    assert (found.name, found.tags, found.lifecycle_stage) == ("iris", {"team": "a", "owner": "me"}, "active")
    assert {e.name for e in client.search_experiments()} == {"iris", "Default"}
    assert [e.name for e in client.search_experiments(filter_string="tags.team = 'a' AND name LIKE 'i%'")] == ["iris"]
    other = client.create_experiment("other")
    client.rename_experiment(other, "renamed")
    client.delete_experiment(other)
    assert client.get_experiment(other).lifecycle_stage == "deleted"
    assert [e.name for e in client.search_experiments(view_type=ViewType.DELETED_ONLY)] == ["renamed"]
    client.restore_experiment(other)
    client.delete_experiment(other)
    refused(client.get_experiment, "no-such-id", code="RESOURCE_DOES_NOT_EXIST")
    return made


def runs(client: MlflowClient) -> str:
    mlflow.set_experiment("iris")
    with mlflow.start_run(run_name="first", tags={"kind": "test"}) as run:
        mlflow.log_param("alpha", 0.5)
        mlflow.log_params({f"p{i}": i for i in range(150)})
        refused(client.log_param, run.info.run_id, "alpha", "0.6", code="INVALID_PARAMETER_VALUE")
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metric("best", math.inf)
        mlflow.log_metric("broken", math.nan)
        mlflow.log_metrics({"acc": 0.9, "f1": 0.8}, step=3)
        mlflow.set_tag("mlflow.note.content", "a note")
        client.log_batch(run.info.run_id, [Metric("curve", float(i), i, i) for i in range(900)], [Param("batch", "1")], [RunTag("t", "1")])
        with mlflow.start_run(nested=True, run_name="child") as child:
            mlflow.log_metric("loss", 7)
    found = client.get_run(run.info.run_id)
    assert (found.info.status, found.info.run_name, found.data.params["alpha"], len(found.data.params)) == ("FINISHED", "first", "0.5", 152)
    assert found.data.metrics["loss"] == 0.2
    assert found.data.metrics["best"] == math.inf
    assert math.isnan(found.data.metrics["broken"])
    assert found.data.tags["kind"] == "test"
    assert found.info.end_time >= found.info.start_time > 1_600_000_000_000
    assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert len(client.get_metric_history(run.info.run_id, "curve")) == 900
    assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id
    table = mlflow.search_runs(experiment_names=["iris"], filter_string="metrics.loss < 1 AND params.alpha = '0.5'", order_by=["metrics.loss DESC"])
    assert list(table.run_id) == [run.info.run_id]
    pages, token = [], None
    while True:
        page = client.search_runs([run.info.experiment_id], order_by=["metrics.loss DESC"], max_results=1, page_token=token)
        pages += [r.info.run_id for r in page]
        token = page.token
        if not token:
            break
    assert pages == [child.info.run_id, run.info.run_id]
    refused(client.search_runs, [run.info.experiment_id], filter_string="metrics.loss >> 1", code="INVALID_PARAMETER_VALUE")
    client.delete_run(child.info.run_id)
    assert [r.info.run_id for r in client.search_runs([run.info.experiment_id])] == [run.info.run_id]
    assert client.search_runs([run.info.experiment_id], run_view_type=ViewType.DELETED_ONLY)[0].info.run_id == child.info.run_id
    client.restore_run(child.info.run_id)
    client.set_tag(child.info.run_id, "x", "y")
    client.delete_tag(child.info.run_id, "x")
    refused(client.delete_tag, child.info.run_id, "x", code="RESOURCE_DOES_NOT_EXIST")
    refused(client.get_run, "0" * 32, code="RESOURCE_DOES_NOT_EXIST")
    client.set_terminated(child.info.run_id, "FAILED")
    assert client.get_run(child.info.run_id).info.status == "FAILED"
    return run.info.run_id


def artifacts(client: MlflowClient, run_id: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with mlflow.start_run(run_id=run_id):
        mlflow.log_dict({"a": [1, 2]}, "config/data.json")
        mlflow.log_text("umlaut ä", "notes/a b.txt")
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        mlflow.log_figure(figure, "plots/line.png")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "sub").mkdir()
            (Path(folder) / "sub" / "big.bin").write_bytes(os.urandom(3_000_000))
            (Path(folder) / "empty.txt").write_text("")
            mlflow.log_artifacts(folder, "tree")
            listed = mlflow.artifacts.list_artifacts(run_id=run_id)
            assert {f.path for f in listed if f.is_dir} >= {"config", "notes", "plots", "tree"}, [f.path for f in listed]
            got = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="tree")
            assert (Path(got) / "sub" / "big.bin").read_bytes() == (Path(folder) / "sub" / "big.bin").read_bytes()
            assert (Path(got) / "empty.txt").read_bytes() == b""
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/config/data.json") == {"a": [1, 2]}
    assert mlflow.artifacts.load_text(f"{client.get_run(run_id).info.artifact_uri}/notes/a b.txt") == "umlaut ä"
    assert [f.path for f in client.list_artifacts(run_id, "tree/sub")] == ["tree/sub/big.bin"]
    refused(mlflow.artifacts.download_artifacts, run_id=run_id, artifact_path="nothing/here", code="RESOURCE_DOES_NOT_EXIST" if THREE else "INTERNAL_ERROR")


def models(client: MlflowClient) -> None:
    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    features, target = load_iris(return_X_y=True, as_frame=True)
    mlflow.sklearn.autolog(log_input_examples=False)
    with mlflow.start_run(run_name="autolog") as run:
        model = LogisticRegression(max_iter=300).fit(features, target)
    mlflow.sklearn.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert found.data.params["max_iter"] == "300"
    assert found.data.metrics["training_accuracy_score"] > 0.9
    assert [i.dataset.name for i in found.inputs.dataset_inputs] == ["dataset"]
    assert mlflow.search_runs(experiment_names=["iris"], filter_string="dataset.context = 'train'").run_id[0] == run.info.run_id
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert (loaded.predict(features) == model.predict(features)).all()

    with mlflow.start_run(run_name="explicit") as run:
        info = mlflow.sklearn.log_model(model, **named("clf"), input_example=features[:2])
        mlflow.log_metric("acc", 0.97)
    assert (mlflow.sklearn.load_model(info.model_uri).predict(features) == model.predict(features)).all()
    if THREE:
        logged = mlflow.get_logged_model(info.model_id)
        assert (logged.name, logged.status, logged.source_run_id) == ("clf", "READY", run.info.run_id)
        mlflow.log_metric("acc", 0.98, model_id=info.model_id, run_id=run.info.run_id)
        best = mlflow.search_logged_models(
            experiment_ids=[run.info.experiment_id], filter_string="metrics.acc > 0.975", order_by=[{"field_name": "metrics.acc"}], output_format="list"
        )
        assert [m.model_id for m in best] == [info.model_id]
        assert client.get_run(run.info.run_id).outputs.model_outputs[0].model_id == info.model_id
        assert "MLmodel" in {f.path for f in client.list_logged_model_artifacts(info.model_id)}
        mlflow.set_logged_model_tags(info.model_id, {"stage": "good"})
        assert mlflow.get_logged_model(info.model_id).tags["stage"] == "good"
        assert (mlflow.pyfunc.load_model(f"models:/{info.model_id}").predict(features) == model.predict(features)).all()

    version = mlflow.register_model(info.model_uri, "iris-clf", tags={"v": "1"})
    assert (version.name, str(version.version), version.run_id) == ("iris-clf", "1", run.info.run_id)
    second = mlflow.register_model(f"runs:/{run.info.run_id}/clf", "iris-clf")
    assert str(second.version) == "2"
    client.set_registered_model_alias("iris-clf", "champion", "1")
    assert str(client.get_model_version_by_alias("iris-clf", "champion").version) == "1"
    client.update_model_version("iris-clf", "1", description="the first")
    client.set_model_version_tag("iris-clf", "1", "checked", "yes")
    client.update_registered_model("iris-clf", "classifies iris")
    client.set_registered_model_tag("iris-clf", "team", "a")
    shown = client.get_model_version("iris-clf", "1")
    assert (shown.description, shown.tags["checked"], shown.status) == ("the first", "yes", "READY")
    assert [str(v.version) for v in client.search_model_versions("name = 'iris-clf'", order_by=["version_number ASC"])] == ["1", "2"]
    assert [str(v.version) for v in client.search_model_versions("tags.checked = 'yes'")] == ["1"]
    assert [m.name for m in client.search_registered_models("name LIKE 'iris%'")] == ["iris-clf"]
    for uri in ("models:/iris-clf/1", "models:/iris-clf@champion", "models:/iris-clf/latest"):
        assert np.array_equal(mlflow.pyfunc.load_model(uri).predict(features), model.predict(features)), uri
    client.delete_registered_model_alias("iris-clf", "champion")
    client.delete_model_version("iris-clf", "2")
    refused(client.get_model_version, "iris-clf", "2", code="RESOURCE_DOES_NOT_EXIST")
    refused(client.create_registered_model, "iris-clf", code="RESOURCE_ALREADY_EXISTS")
    client.delete_registered_model("iris-clf")
    assert client.search_registered_models() == []


def job() -> None:
    """Inside a job: the run is given by the environment, its status is the server's."""
    client = MlflowClient()
    run_id = os.environ["MLFLOW_RUN_ID"]
    with mlflow.start_run() as run:
        assert run.info.run_id == run_id
        mlflow.log_metric("loss", 0.5)
        mlflow.log_dict({"a": 1}, "out/a.json")
    assert client.get_run(run_id).data.metrics["loss"] == 0.5
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/out/a.json") == {"a": 1}
    models_in_job(client)


def models_in_job(client: MlflowClient) -> None:
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(fitted, **named("line"))
    version = mlflow.register_model(info.model_uri, "line")
    assert str(version.version) == "1"
    assert version.run_id == run.info.run_id
    assert abs(mlflow.sklearn.load_model("models:/line/1").predict([[3.0]])[0] - 6) < 1e-9


def everything() -> None:
    client = MlflowClient()
    experiments(client)
    run_id = runs(client)
    artifacts(client, run_id)
    models(client)


if __name__ == "__main__":
    {"everything": everything, "job": job}[sys.argv[1]]()
    print(json.dumps({"ok": True, "mlflow": mlflow.__version__}))
