"""Notebooks of the examples, cell by cell in a kernel. Numbers are those of the acceptance table."""

from __future__ import annotations

import csv
import json
import random

from azure.ai.ml.entities import Data

from tests.acceptance.notebooks import run_notebook
from tests.acceptance.runs import download, tracking

PIPELINES = "sdk/python/jobs/pipelines"


def config(server: dict[str, str], folder) -> None:
    """What `MLClient.from_config` looks for."""
    names = {"subscription_id": "LAZWARD_SUBSCRIPTION_ID", "resource_group": "LAZWARD_RESOURCE_GROUP", "workspace_name": "LAZWARD_WORKSPACE"}
    (folder / "config.json").write_text(json.dumps({name: server[variable] for name, variable in names.items()}))


def pipelines_of(client, experiment: str) -> list:
    return [job for job in client.jobs.list() if job.experiment_name == experiment]


def test_l4_082_registered_components(client, server, examples, tmp_path):
    folder = examples / PIPELINES / "1e_pipeline_with_registered_components"
    config(server, folder)
    before = {job.name for job in client.jobs.list()}
    for _ in range(2):  # the second time, the components are there
        run_notebook(folder / "pipeline_with_registered_components.ipynb")
    assert {"train_model", "score_data", "eval_model"} <= {component.name for component in client.components.list()}
    assert [c.version for c in client.components.list(name="eval_model")] == ["0.0.9"]
    jobs = [job for job in client.jobs.list() if job.name not in before]
    assert [job.status for job in jobs] == ["Completed"] * 2
    for job in jobs:
        outputs = download(client, job.name, tmp_path / job.name) / "named-outputs"
        assert {p.name for p in outputs.iterdir()} == {"trained_model", "scored_data", "evaluation_report"}
        assert "Eval done at" in next(outputs.rglob("eval_result.txt")).read_text()


def handle(server: dict[str, str]) -> dict[str, str]:
    """The workspace in place of the words that a reader is asked to replace."""
    return {
        "<SUBSCRIPTION_ID>": server["LAZWARD_SUBSCRIPTION_ID"], "<RESOURCE_GROUP>": server["LAZWARD_RESOURCE_GROUP"], "<AML_WORKSPACE_NAME>": server["LAZWARD_WORKSPACE"],
    }


def credit_card(client, folder, rows: int = 30_000) -> None:
    """The data asset that the tutorials share: 30,000 customers with 25 columns, their names in the second row; made of dice."""
    dice = random.Random(4)
    names = ["ID", *(f"X{n}" for n in range(1, 24)), "default payment next month"]
    with (folder / "credit.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["", *(f"X{n}" for n in range(1, 24)), "Y"])
        table.writerow(names)
        for number in range(1, rows + 1):
            facts = [dice.randint(0, 9) for _ in range(23)]
            table.writerow([number, *facts, int(facts[5] + dice.randint(0, 4) > 9)])
    client.data.create_or_update(Data(name="credit-card", version="initial", path=str(folder / "credit.csv"), type="uri_file"))


def test_l5_115_tutorial(client, server, examples, tmp_path):
    """Its environment pins Python 3.8 with packages of 2021."""
    credit_card(client, tmp_path)
    text = run_notebook(examples / "tutorials/get-started-notebooks/pipeline.ipynb", handle(server))
    assert "Environment with name aml-scikit-learn is registered" in text
    (job,) = pipelines_of(client, "e2e_registered_components")
    assert job.status == "Completed"
    steps = {child.display_name: child for child in client.jobs.list(parent_job_name=job.name)}
    assert steps.keys() == {"data_prep_job", "train_job"}
    metrics = tracking(client).get_run(steps["data_prep_job"].name).data.metrics
    assert (metrics["num_samples"], metrics["num_features"]) == (30_000, 23)
    model = client.models.get("credit_defaults_model", label="latest")
    assert (model.type, model.version) == ("mlflow_model", "1")
