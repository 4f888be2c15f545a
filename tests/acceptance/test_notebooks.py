"""Notebooks of the examples, cell by cell in a kernel. Numbers are those of the acceptance table."""

from __future__ import annotations

import json

from tests.acceptance.notebooks import run_notebook
from tests.acceptance.runs import download

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
