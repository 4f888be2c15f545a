"""Command jobs of cli/jobs/basics and cli/jobs/single-step. Numbers are those of the acceptance table."""

from __future__ import annotations

import csv
import io

from azure.ai.ml import load_data

from tests.acceptance.runs import download, finish, log_of, submit, tracking

BASICS = "cli/jobs/basics"


def test_l1_001_hello_world(client, examples, tmp_path):
    job = finish(client, submit(client, examples / BASICS / "hello-world.yml"))
    assert "hello world" in log_of(client, job.name, tmp_path)


def test_l1_003_environment_variable(client, examples, tmp_path):
    job = finish(client, submit(client, examples / BASICS / "hello-world-env-var.yml"))
    assert "hello world" in log_of(client, job.name, tmp_path)


def test_l1_005_default_artifacts(client, examples, tmp_path):
    job = finish(client, submit(client, examples / BASICS / "hello-world-output.yml"))
    folder = download(client, job.name, tmp_path)
    assert (folder / "artifacts" / "outputs" / "helloworld.txt").read_text() == "hello world\n"


def test_l1_007_code_is_uploaded_once(client, examples, tmp_path):
    job = submit(client, examples / BASICS / "hello-code.yml")
    again = submit(client, examples / BASICS / "hello-code.yml")
    assert job.code == again.code
    finish(client, again)
    log = log_of(client, finish(client, job).name, tmp_path)
    assert {p.name for p in (examples / BASICS / "src").iterdir()} <= set(log.split())


def test_l1_009_uri_file_from_the_web(client, examples, mirror, tmp_path):
    job = submit(client, examples / BASICS / "hello-iris-file.yml", {"inputs.iris_csv.path": f"{mirror}/iris.csv"})
    folder = download(client, finish(client, job).name, tmp_path)
    assert len(list(csv.DictReader(io.StringIO((folder / "artifacts/outputs/iris.csv").read_text())))) == 150


def test_l1_011_uri_file_in_a_datastore(client, examples, tmp_path):
    from azure.ai.ml._artifacts._artifact_utilities import get_datastore_info
    from azure.storage.blob import ContainerClient

    # The upload that the example presumes, done as `az storage blob upload` would: with the datastore's own key.
    info = get_datastore_info(client.datastores, "workspaceblobstore")
    with ContainerClient(info["account_url"], info["container_name"], credential=info["credential"]) as container:
        data = (examples / "cli/jobs/pipelines/add-column-and-word-count-using-spark/data/iris.csv").read_bytes()
        container.upload_blob("example-data/iris.csv", data, overwrite=True)
    job = submit(client, examples / BASICS / "hello-iris-datastore-file.yml")
    folder = download(client, finish(client, job).name, tmp_path)
    assert len((folder / "artifacts/outputs/iris.csv").read_text().splitlines()) == 151


def test_l1_014_data_asset_is_mounted_read_only(client, examples, tmp_path):
    data = load_data(examples / "cli/assets/data/local-folder.yml", params_override=[{"name": "local-folder-example"}])
    client.data.create_or_update(data)
    job = submit(client, examples / BASICS / "hello-data-uri-folder.yml")
    assert "titanic.csv" in log_of(client, finish(client, job).name, tmp_path / "a")
    writing = "if echo x > ${{inputs.sampledata}}/new.txt; then echo WRITTEN; else echo REFUSED; fi; if echo x >> ${{inputs.sampledata}}/titanic.csv; then echo WRITTEN; fi"
    job = submit(client, examples / BASICS / "hello-data-uri-folder.yml", {"command": writing})
    log = log_of(client, finish(client, job).name, tmp_path / "b")
    assert "REFUSED" in log
    assert "WRITTEN" not in log


def test_l1_015_mlflow_inside_the_job(client, examples):
    job = finish(client, submit(client, examples / BASICS / "hello-mlflow.yml"))
    mlflow = tracking(client)
    run = mlflow.get_run(job.name)
    assert run.data.params == {"hello_param": "world"}
    assert run.data.metrics["system/job_memory_usage_megabytes"] > 0  # though the script has no line of code for that
    assert mlflow.MlflowClient().get_metric_history(job.name, "system/disk_usage_percentage")
    assert 0 <= run.data.metrics["hello_metric"] <= 1
    assert "helloworld.txt" in {f.path for f in mlflow.MlflowClient().list_artifacts(job.name)}
    assert run.info.status == "FINISHED"


def test_l1_017_model_as_input(client, examples, tmp_path):
    job = finish(client, submit(client, examples / BASICS / "hello-model-as-input.yml"))
    assert {"MLmodel", "model.pkl", "conda.yaml"} <= set(log_of(client, job.name, tmp_path).split())


REGISTER = """
command: {command}
environment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest
compute: azureml:cpu-cluster
experiment_name: mfe-test1
outputs:
  test1:
  test2:
    mode: upload
    name: {name}2_output
    version: 2
  test3:
    mode: rw_mount
    name: {name}3_output
    version: 3
"""


def test_l2_019_registered_outputs(client, server, tmp_path):
    """The file is a test fixture of the SDK's repository; its features are written here anew."""
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(REGISTER.format(command='echo "inputs dont need to be used in command"', name="test"))
    bad.write_text(REGISTER.format(command="exit 3", name="never"))
    finish(client, submit(client, good))
    assert client.data.get("test2_output", "2").type == "uri_folder"
    assert client.data.get("test3_output", "3").version == "3"
    finish(client, submit(client, bad), expect="Failed")
    assert [d.name for d in client.data.list() if d.name.startswith("never")] == []


def test_l2_021_interactive_services(client, examples):
    job = submit(client, examples / BASICS / "hello-interactive.yml", {"command": "sleep 120"}, {"environment": {"image": "library/python:3.11"}})
    while client.jobs.get(job.name).status in ("NotStarted", "Queued", "Preparing", "Starting"):
        pass
    names = {"my_vscode", "my_jupyter_lab", "my_tensorboard"}
    while not all((services := client.jobs.get(job.name).services)[n].status in ("Running", "Failed") for n in names):
        assert client.jobs.get(job.name).status == "Running"
    assert {n: services[n].status for n in names} == dict.fromkeys(names, "Running")
    assert all(services[n].endpoint for n in names)
    client.jobs.begin_cancel(job.name).result()
    assert client.jobs.get(job.name).status == "Canceled"


def test_l2_022_scikit_learn_autolog(client, examples, mirror):
    job = submit(client, examples / "cli/jobs/single-step/scikit-learn/iris/job.yml", {"inputs.iris_csv.path": f"{mirror}/iris.csv"})
    job = finish(client, job)
    mlflow = tracking(client)
    assert mlflow.get_run(job.name).data.metrics["training_f1_score"] > 0.9
    assert "model/MLmodel" in {f.path for f in mlflow.MlflowClient().list_artifacts(job.name, "model")}


def test_l2_025_pip_install_in_the_command(client, examples, mirror):
    """torch by its CPU build, torchvision dropped, as the table allows; Python 3.11 because that is what the build is for. MLflow is
    held below 3, which the example was written for: mlflow.pytorch.save_model of 3 wants an input example."""
    folder = examples / "cli/jobs/single-step/pytorch/iris"
    wanted = folder / "src" / "requirements.txt"
    wanted.write_text(wanted.read_text().replace("torchvision", "").replace("\ntorch\n", "\ntorch==2.13.0\n").replace("\nmlflow\n", "\nmlflow<3\n"))
    job = submit(
        client, folder / "job.yml", {"inputs.iris_csv.path": f"{mirror}/iris.csv"}, {"environment": {"image": "library/python:3.11"}},
    )
    job = finish(client, job)
    mlflow = tracking(client)
    assert len(mlflow.MlflowClient().get_metric_history(job.name, "loss")) == 10


