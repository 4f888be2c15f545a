"""Pipelines and components of the examples. Numbers are those of the acceptance table."""

from __future__ import annotations

from azure.ai.ml import dsl, load_component, load_data
from azure.core.exceptions import ResourceNotFoundError

from tests.acceptance.runs import download, finish, log_of, submit

BASICS = "cli/jobs/basics"
COMPONENTS = "cli/jobs/pipelines-with-components"


def steps(client, job):
    """The children of a pipeline by the names of their nodes."""
    return {child.display_name: child for child in client.jobs.list(parent_job_name=job.name)}


def test_l2_027_components(client, examples, tmp_path):
    folder = examples / "cli/assets/component"
    train = client.components.create_or_update(load_component(folder / "train.yml"))
    assert train.version == "1"
    codes = {c.code for c in [client.components.get("train_data_component_cli", "1")]}
    again = client.components.create_or_update(load_component(folder / "train.yml"), version="7")
    assert {again.code} == codes  # the same content is no new code asset
    included = client.components.create_or_update(load_component(folder / "component_additional_includes.yml"))
    inner = client.components.create_or_update(load_component(folder / "pipeline.yml"))

    @dsl.pipeline(default_compute="cpu-cluster")
    def all_of_them():
        data = dsl_folder(client, examples)
        train(training_data=data)
        included()
        inner()

    job = finish(client, client.jobs.create_or_update(all_of_them()))
    children = steps(client, job)
    assert len(children) == 3
    assert {c.status for c in children.values()} == {"Completed"}
    without = client.jobs.get(children["train_data_component_cli"].name)
    assert "max_epocs" not in without.inputs
    log = log_of(client, children["component_additional_include_cli"].name, tmp_path)
    assert "Traceback" not in log  # common_src is in the snapshot: it is imported from there


def dsl_folder(client, examples):
    from azure.ai.ml import Input

    return Input(type="uri_folder", path=str(examples / COMPONENTS / "basics/1a_e2e_local_components/data"))


def test_l2_028_steps_in_order(client, examples, tmp_path):
    job = finish(client, submit(client, examples / BASICS / "hello-pipeline-abc.yml"))
    children = {name: client.jobs.get(child.name) for name, child in steps(client, job).items()}
    assert {name: child.status for name, child in children.items()} == {"a": "Completed", "b": "Completed", "c": "Completed"}
    assert children["c"].creation_context.created_at >= children["b"].creation_context.created_at
    output = download(client, children["b"].name, tmp_path) / "named-outputs" / "world_output"
    assert [p.name for p in output.rglob("*.txt")] == ["world.txt"]


def test_l2_030_default_artifacts(client, examples, tmp_path):
    job = finish(client, submit(client, examples / BASICS / "hello-pipeline-default-artifacts.yml"))
    assert "world" in log_of(client, steps(client, job)["world_job"].name, tmp_path)


def test_l2_032_output_folder_by_name(client, examples):
    from azure.ai.ml._artifacts._artifact_utilities import get_datastore_info
    from azure.storage.blob import ContainerClient

    job = finish(client, submit(client, examples / BASICS / "hello-pipeline-customize-output-folder.yml"))
    node = steps(client, job)["hello_world"].name
    info = get_datastore_info(client.datastores, "workspaceblobstore")
    with ContainerClient(info["account_url"], info["container_name"], credential=info["credential"]) as container:
        assert container.download_blob(f"{node}/hello_world-folder.txt").readall() == b"world\n"


def test_l3_050_local_components(client, examples, tmp_path):
    job = finish(client, submit(client, examples / COMPONENTS / "basics/1a_e2e_local_components/pipeline.yml"))
    assert {name: child.status for name, child in steps(client, job).items()} == {"train_job": "Completed", "score_job": "Completed", "evaluate_job": "Completed"}
    folder = download(client, job.name, tmp_path) / "named-outputs"
    assert {p.name for p in folder.iterdir()} == {"pipeline_job_trained_model", "pipeline_job_evaluation_report"}
    assert list((folder / "pipeline_job_evaluation_report").rglob("eval_result.txt"))


def test_l3_052_a_data_asset_as_input(client, examples, tmp_path):
    folder = examples / COMPONENTS / "basics/4d_data_input"
    data = load_data(folder / "data.yml")
    try:
        client.data.get(data.name, version="1")
    except ResourceNotFoundError:
        client.data.create_or_update(data)
    job = finish(client, submit(client, folder / "pipeline.yml"))
    children = steps(client, job)
    assert len(children) == 2
    for name, child in children.items():
        assert "sample" in log_of(client, child.name, tmp_path / name)


def test_l4_072_nyc_taxi(client, examples, tmp_path):
    job = finish(client, submit(client, examples / COMPONENTS / "nyc_taxi_data_regression/pipeline.yml"))
    children = steps(client, job)
    assert len(children) == 5
    assert {child.status for child in children.values()} == {"Completed"}
    folder = download(client, job.name, tmp_path) / "named-outputs"
    assert list((folder / "pipeline_job_trained_model").rglob("MLmodel"))
    assert any((folder / "pipeline_job_predictions").rglob("*.csv"))
    assert list((folder / "pipeline_job_score_report").rglob("score.txt"))


def test_l4_075_a_sweep_as_a_step(client, examples, mirror, tmp_path):
    job = submit(client, examples / COMPONENTS / "pipeline_with_hyperparameter_sweep/pipeline.yml", {"jobs.sweep_step.inputs.data.path": f"{mirror}/iris.csv"})
    children = steps(client, finish(client, job))
    assert {name: child.status for name, child in children.items()} == {"sweep_step": "Completed", "predict_step": "Completed"}
    assert len(list(client.jobs.list(parent_job_name=children["sweep_step"].name))) == 5
    outputs = download(client, children["predict_step"].name, tmp_path) / "named-outputs" / "predict_result"
    assert any(path.is_file() for path in outputs.rglob("*"))
