"""Training with mlflow.autolog(): what each library's run has afterwards. Run by test_autolog.py: autolog_client.py LIBRARY ..."""

from __future__ import annotations

import json
import sys
import warnings

import mlflow
import numpy as np
from mlflow import MlflowClient
from sklearn.datasets import load_iris, make_classification

FEATURES, TARGET = load_iris(return_X_y=True, as_frame=True)


def last_run():
    return MlflowClient().search_runs([mlflow.get_experiment_by_name("autolog").experiment_id], max_results=1)[0]


def predicts(run, expected, data, *, tolerance: float = 1e-6) -> None:
    """The logged model, loaded again, says the same."""
    (output,) = run.outputs.model_outputs
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    assert np.allclose(np.asarray(loaded.predict(data)).ravel(), np.asarray(expected).ravel(), atol=tolerance)


def sklearn() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    with mlflow.start_run():
        model = RandomForestClassifier(n_estimators=5, random_state=1).fit(FEATURES, TARGET)
        model.score(FEATURES, TARGET)
    run = last_run()
    assert run.data.params["n_estimators"] == "5" and run.data.metrics["training_accuracy_score"] > 0.9
    assert any(key.startswith("RandomForestClassifier_score") for key in run.data.metrics)
    assert {f.path for f in MlflowClient().list_artifacts(run.info.run_id)} >= {"estimator.html", "training_confusion_matrix.png"}
    predicts(run, model.predict(FEATURES), FEATURES)
    search = GridSearchCV(RandomForestClassifier(random_state=1), {"n_estimators": [2, 3], "max_depth": [2, 3]}, cv=2)
    with mlflow.start_run() as parent:
        search.fit(FEATURES, TARGET)
    children = MlflowClient().search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert len(children) == 4 and MlflowClient().get_run(parent.info.run_id).data.metrics["best_cv_score"] == search.best_score_


def lightgbm() -> None:
    import lightgbm as lgb

    data = lgb.Dataset(FEATURES, TARGET)
    with mlflow.start_run():
        model = lgb.train({"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_leaves": 5}, data, num_boost_round=7, valid_sets=[data], valid_names=["train"])
    run = last_run()
    assert run.data.params["num_leaves"] == "5"
    assert len(MlflowClient().get_metric_history(run.info.run_id, "train-multi_logloss")) >= 7
    assert any("feature_importance" in f.path for f in MlflowClient().list_artifacts(run.info.run_id))
    predicts(run, model.predict(FEATURES), FEATURES)


def xgboost() -> None:
    import xgboost as xgb

    data = xgb.DMatrix(FEATURES, TARGET)
    with mlflow.start_run():
        model = xgb.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 2}, data, num_boost_round=6, evals=[(data, "train")], verbose_eval=False)
    run = last_run()
    assert run.data.params["max_depth"] == "2"
    assert len(MlflowClient().get_metric_history(run.info.run_id, "train-mlogloss")) >= 6
    predicts(run, model.predict(data), FEATURES, tolerance=1e-5)


def pytorch() -> None:
    import pytorch_lightning as L
    import torch

    class Net(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 2)

        def forward(self, x):
            return self.layer(x)

        def training_step(self, batch, _):
            loss = torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    features, target = make_classification(64, 8, random_state=1)
    data = torch.utils.data.TensorDataset(torch.tensor(features, dtype=torch.float32), torch.tensor(target))
    with mlflow.start_run():
        L.Trainer(max_epochs=3, enable_progress_bar=False, logger=False, enable_checkpointing=False, accelerator="cpu").fit(Net(), torch.utils.data.DataLoader(data, 16))
    run = last_run()
    assert run.data.params["optimizer_name"] == "SGD" and run.data.params["lr"] == "0.1"
    assert len(MlflowClient().get_metric_history(run.info.run_id, "loss_epoch")) >= 1 or "loss" in run.data.metrics
    (output,) = run.outputs.model_outputs
    loaded = mlflow.pytorch.load_model(f"models:/{output.model_id}")
    assert loaded(torch.zeros(1, 8)).shape == (1, 2)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    mlflow.set_experiment("autolog")
    mlflow.autolog(log_input_examples=False, silent=True)
    for library in sys.argv[1:]:
        globals()[library]()
    print(json.dumps({"ok": sys.argv[1:]}))
