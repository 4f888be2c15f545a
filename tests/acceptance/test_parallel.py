"""Parallel jobs of the examples. Numbers are those of the acceptance table."""

from __future__ import annotations

import csv

from tests.acceptance.runs import download, finish, submit


def test_l4_079_a_model_for_each_partition(client, examples, tmp_path):
    folder = examples / "cli/jobs/parallel/1a_oj_sales_prediction"
    for conda in folder.rglob("conda.yaml"):
        # There is no such TensorFlow for today's Pythons any more, and nothing here imports it; MLflow 3 does not save a
        # GradientBoostingRegressor without being told to trust it, which the script does not do.
        lines = [line for line in conda.read_text().splitlines(keepends=True) if "tensorflow" not in line]
        conda.write_text("".join(lines).replace("- mlflow\n", "- mlflow<3\n"))
    with (folder / "oj_sales_data/oj_sales_data.csv").open() as source:
        partitions = {(row["Store"], row["Brand"]) for row in csv.DictReader(source)}
    job = finish(client, submit(client, folder / "pipeline.yml"))
    (step,) = [child for child in client.jobs.list(parent_job_name=job.name) if child.display_name == "parallel_train"]
    models = download(client, step.name, tmp_path) / "named-outputs" / "model_folder"
    assert {(model.parent.parent.name, model.parent.name) for model in models.rglob("MLmodel")} == partitions
    result = (tmp_path / "artifacts" / "logs" / "job_result.txt").read_text()
    assert result == "The parallel job is done.\n"
