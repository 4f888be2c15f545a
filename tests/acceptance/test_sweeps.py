"""Sweeps: cli/jobs/basics, a notebook of sdk/python/jobs, and what the SDK's own test files ask for, in files written anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from azure.ai.ml import load_job
from azure.core.exceptions import HttpResponseError

from tests.acceptance.runs import finish, submit, tracking

BASICS = "cli/jobs/basics"
NOTEBOOK = "sdk/python/jobs/single-step/lightgbm/iris"
ENVIRONMENT = "azureml:AzureML-sklearn-1.5@latest"
SPACE = {
    "lr": {"type": "uniform", "min_value": 0.001, "max_value": 0.1}, "conv_size": {"type": "choice", "values": [2, 5, 7]},
    "dropout_rate": {"type": "uniform", "min_value": 0.1, "max_value": 0.5},
}
SCRIPT = """
import argparse, mlflow
parser = argparse.ArgumentParser()
for name in ("lr", "conv_size", "dropout_rate"):
    parser.add_argument(f"--{name}", type=float)
args = parser.parse_args()
mlflow.log_metric("accuracy", args.conv_size - args.lr)
"""


def write_sweep(folder: Path, script: str = SCRIPT, **changes):
    """A sweep's YAML beside the code of its trials, loaded as the CLI loads it."""
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "sweep_script.py").write_text(script)
    job = {
        "type": "sweep", "sampling_algorithm": "random", "search_space": SPACE, "objective": {"primary_metric": "accuracy", "goal": "maximize"},
        "trial": {
            "command": "python ./sweep_script.py --lr ${{search_space.lr}} --conv_size ${{search_space.conv_size}} --dropout_rate ${{search_space.dropout_rate}}",
            "code": "src", "environment": ENVIRONMENT,
        },
        "compute": "azureml:cpu-cluster", "limits": {"max_total_trials": 2, "max_concurrent_trials": 10, "timeout": 3000}, **changes,
    }
    (folder / "sweep.yml").write_text(yaml.safe_dump(job))
    return load_job(folder / "sweep.yml")


def trials(client, name: str) -> list:
    """The trials' jobs by number."""
    found = [client.jobs.get(child.name) for child in client.jobs.list(parent_job_name=name)]
    return sorted(found, key=lambda job: int(job.properties["trialNumber"]))


def values(job) -> dict:
    return json.loads(job.properties["hyperparameters"])


def test_l3_045_hello_sweep(client, examples, tmp_path, capsys):
    job = finish(client, submit(client, examples / BASICS / "hello-sweep.yml"))
    found = trials(client, job.name)
    assert [t.status for t in found] == ["Completed"] * 4
    assert all(values(t)["B"] in ("hello", "world", "hello_world") and 0.1 <= values(t)["C"] <= 1 for t in found)
    assert "Streaming azureml-logs/hyperdrive.txt" in capsys.readouterr().out
    mlflow = tracking(client)
    runs = {t.name: mlflow.get_run(t.name).data for t in found}
    best = min(runs, key=lambda name: runs[name].metrics["random_metric"])
    assert job.properties["best_child_run_id"] == best
    assert float(job.properties["score"]) == runs[best].metrics["random_metric"]
    assert runs[best].params["B"] == values(next(t for t in found if t.name == best))["B"]
    # At most two ran at once.
    spans = [(mlflow.get_run(t.name).info.start_time, mlflow.get_run(t.name).info.end_time) for t in found]
    assert all(sum(start <= at < end for start, end in spans) <= 2 for at, _ in spans)
    client.jobs.download(job.name, download_path=str(tmp_path), all=True)
    assert f"B: {runs[best].params['B']}" in (tmp_path / "artifacts/user_logs/std_log.txt").read_text()
    assert [p.relative_to(tmp_path / "hd-artifacts").as_posix() for p in (tmp_path / "hd-artifacts").rglob("*.txt")] == ["azureml-logs/hyperdrive.txt"]


def test_l3_048_grid(client, tmp_path):
    with pytest.raises(HttpResponseError) as caught:
        client.jobs.create_or_update(write_sweep(tmp_path / "a", sampling_algorithm="grid"))
    assert "[properties.searchSpace.lr] Grid sampling goes through lists of values" in str(caught.value)
    assert "[properties.searchSpace.dropout_rate]" in str(caught.value)
    space = {"lr": {"type": "choice", "values": [0.1, 0.2]}, "conv_size": SPACE["conv_size"], "dropout_rate": {"type": "choice", "values": [0.5]}}
    sweep = write_sweep(tmp_path / "b", sampling_algorithm="grid", search_space=space, limits={"max_total_trials": 100, "max_concurrent_trials": 10})
    job = finish(client, client.jobs.create_or_update(sweep))
    found = trials(client, job.name)
    assert [values(t) for t in found] == [{"conv_size": size, "dropout_rate": 0.5, "lr": lr} for size in (2, 5, 7) for lr in (0.1, 0.2)]
    assert values(client.jobs.get(job.properties["best_child_run_id"])) == {"lr": 0.1, "conv_size": 7, "dropout_rate": 0.5}


def test_l3_049_random_with_rule_seed_and_logbase(client, tmp_path):
    def run(name: str, **algorithm) -> list[dict]:
        space = {**SPACE, "lr": {"type": "loguniform", "min_value": -3, "max_value": -1}}
        job = client.jobs.create_or_update(write_sweep(tmp_path / name, sampling_algorithm={"type": "random", **algorithm}, search_space=space))
        return [values(t) for t in trials(client, finish(client, job).name)]

    first, again, other = run("a", seed=5, logbase=10), run("b", seed=5, logbase=10), run("c", seed=6, logbase="e")
    assert first == again != other
    assert all(0.001 <= v["lr"] <= 0.1 for v in first)  # powers of 10, not of e
    assert all(0.0497 <= v["lr"] <= 0.368 for v in other)
    sobol = run("d", rule="sobol", seed=5)
    assert len({json.dumps(v) for v in sobol}) == 2


MEDIAN = """
import sys, time, mlflow
quality = int(sys.argv[1])
for step in range(10 if quality == 4 else 100_000):  # what is below the median would go on for ever
    mlflow.log_metric("accuracy", quality, step=step)
    time.sleep(0.05)
"""


def test_l4_069_median_stopping(client, tmp_path):
    sweep = write_sweep(
        tmp_path, MEDIAN, sampling_algorithm="grid", search_space={"quality": {"type": "choice", "values": [4, 3, 2, 1]}},
        trial={"command": "python sweep_script.py {search_space.quality}", "code": "src", "environment": ENVIRONMENT},
        early_termination={"type": "median_stopping", "evaluation_interval": 2, "delay_evaluation": 4},
        limits={"max_total_trials": 4, "max_concurrent_trials": 2, "timeout": 600},
    )
    job = finish(client, client.jobs.create_or_update(sweep))
    found = trials(client, job.name)
    assert [(values(t)["quality"], t.status) for t in found] == [(4, "Completed"), (3, "Canceled"), (2, "Canceled"), (1, "Canceled")]
    assert all("median stopping policy: at interval" in t.properties["earlyTermination"] for t in found[1:])
    assert job.properties["best_child_run_id"] == found[0].name
    assert job.early_termination.type == "median_stopping"


def test_l4_071_notebook(client, examples, mirror, tmp_path, monkeypatch):
    """The notebook as it is, with a handle to this workspace and the mirror's iris.csv; then what one does with its result."""
    from azure.ai.ml.entities import Model

    monkeypatch.chdir(examples / NOTEBOOK)
    notebook = json.loads(Path("lightgbm-iris-sweep.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for text, instead in (
        ("<SUBSCRIPTION_ID>", os.environ["LAZWARD_SUBSCRIPTION_ID"]), ("<RESOURCE_GROUP>", os.environ["LAZWARD_RESOURCE_GROUP"]),
        ("<AML_WORKSPACE_NAME>", os.environ["LAZWARD_WORKSPACE"]), ("https://azuremlexamples.blob.core.windows.net/datasets/iris.csv", f"{mirror}/iris.csv"),
        ("wasbs://datasets@azuremlexamples.blob.core.windows.net/iris.csv", f"{mirror}/iris.csv"),
    ):
        assert any(text in cell for cell in cells), text
        cells = [cell.replace(text, instead) for cell in cells]
    found: dict = {}
    for cell in cells:
        exec(cell, found)
    for name in ("returned_job", "returned_sweep_job", "returned_sweep_job_cmd"):
        found[name] = finish(client, found[name])
    for name in ("returned_sweep_job", "returned_sweep_job_cmd"):
        job = found[name]
        ended = trials(client, job.name)
        assert len(ended) == 20 and {t.status for t in ended} <= {"Completed", "Canceled"}
        assert ended[0].status == "Completed" or name.endswith("cmd")
    job = found["returned_sweep_job"]
    best = job.properties["best_child_run_id"]
    client.jobs.download(job.name, download_path=str(tmp_path / "got"))
    assert (tmp_path / "got" / "artifacts").is_dir()
    mlflow = tracking(client)
    folder = "model" if "model" in {f.path for f in mlflow.MlflowClient().list_artifacts(best)} else ""
    assert folder, "autologging has left no model with the run"
    model = client.models.create_or_update(Model(path=f"azureml://jobs/{best}/outputs/artifacts/paths/model/", name="iris-tuned", type="mlflow_model"))
    assert model.version == "1" and client.models.get("iris-tuned", "1").type == "mlflow_model"
