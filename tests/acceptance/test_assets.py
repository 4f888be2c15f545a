"""Data, environments and computes of the examples."""

from __future__ import annotations

import subprocess
import sys

import pytest
from azure.ai.ml import Input, command, load_compute, load_data
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import BuildContext, Data, Environment

from tests.acceptance.runs import finish, log_of


@pytest.fixture(scope="session")
def mltable_python(tmp_path_factory) -> str:
    """An interpreter with the client that users read tables with. Its old pins stay out of the tests' own environment."""
    folder = tmp_path_factory.mktemp("mltable") / "venv"
    uv = (sys.executable, "-m", "uv")
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), "mltable", "pandas"], check=True)
    return str(folder / "bin/python")


def test_l2_034_mltable(client, examples, mltable_python):
    data = client.data.create_or_update(load_data(examples / "cli/assets/data/local-mltable.yml"))
    assert (data.type, data.version) == ("mltable", "1")
    rows = "import sys, mltable; print(len(mltable.load(sys.argv[1]).to_pandas_dataframe()))"
    load = subprocess.run([mltable_python, "-c", rows, str(examples / "cli/assets/data/local-mltable")], capture_output=True, text=True)
    assert load.stdout.splitlines()[-1:] == ["891"], load.stderr


def test_l2_034_mltable_in_a_job(client, examples, tmp_path):
    """The jobs of working_with_mltable.ipynb: a table of this machine, and one that is an asset."""
    folder = examples / "sdk/python/assets/data"
    environment = Environment(image="mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04", conda_file=str(folder / "environments/mltable_environment.yaml"))
    asset = client.data.create_or_update(Data(path=str(folder / "sample_data"), type=AssetTypes.MLTABLE, name="titanic-mltable-example"))
    for given in (Input(type=AssetTypes.MLTABLE, path=str(folder / "sample_data")), Input(type=AssetTypes.MLTABLE, path=asset.id)):
        job = client.jobs.create_or_update(command(
            code=str(folder / "src"), command="python read_mltable.py --input_data ${{inputs.input_data}}", inputs={"input_data": given},
            environment=environment, compute="cpu-cluster"))
        assert "PassengerId" in log_of(client, finish(client, job).name, tmp_path / job.name)


def test_l2_037_environments(client, examples):
    """The cells of environment.ipynb."""
    folder = examples / "sdk/python/assets/environment"
    image = client.environments.create_or_update(Environment(image="pytorch/pytorch:latest", name="docker-image-example", description="Environment created from a Docker image."))
    assert image.image == "pytorch/pytorch:latest"
    context = client.environments.create_or_update(Environment(build=BuildContext(path=str(folder / "docker-contexts/python-and-pip")), name="docker-context-example"))
    assert context.build.dockerfile_path == "Dockerfile"
    conda = client.environments.create_or_update(Environment(
        image="mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04", conda_file=str(folder / "conda-yamls/pydata.yml"), name="docker-image-plus-conda-example"))
    assert conda.conda_file["dependencies"]
    names = {e.name for e in client.environments.list()}
    assert {"docker-image-example", "docker-context-example", "docker-image-plus-conda-example"} <= names
    for name in ("docker-image-example", "docker-image-plus-conda-example"):
        client.environments.archive(name, version="1")
        assert [e.version for e in client.environments.list(name=name)] == []
        client.environments.restore(name, version="1")
        assert [e.version for e in client.environments.list(name=name)] == ["1"]


@pytest.mark.parametrize("name", ["basic", "location", "low-priority", "minimal", "ssh-password", "system-identity"])
def test_l2_038_clusters(client, examples, name):
    cluster = client.compute.begin_create_or_update(load_compute(examples / f"cli/resources/compute/cluster-{name}.yml")).result()
    assert cluster.provisioning_state == "Succeeded"
    shown = client.compute.get(cluster.name)
    assert shown.type == "amlcompute"
    if name != "minimal":
        assert (shown.min_instances, shown.max_instances, shown.size.lower(), shown.idle_time_before_scale_down) == (0, 2, "standard_ds3_v2", 120)
    if name == "low-priority":
        assert shown.tier == "low_priority"
    if name == "system-identity":
        assert shown.identity.type == "system_assigned"
    shown.max_instances = 3
    assert client.compute.begin_update(shown).result().max_instances == 3
    assert cluster.name in {c.name for c in client.compute.list()}
    client.compute.begin_delete(cluster.name).result()
    assert cluster.name not in {c.name for c in client.compute.list()}


@pytest.mark.parametrize("name", ["basic", "minimal", "schedule"])
def test_l2_038_instances(client, examples, name):
    instance = client.compute.begin_create_or_update(load_compute(examples / f"cli/resources/compute/instance-{name}.yml")).result()
    assert (instance.provisioning_state, instance.state) == ("Succeeded", "Running")
    if name == "schedule":
        (entry,) = client.compute.get(instance.name).schedules.compute_start_stop
        assert (entry.action, entry.trigger.expression) == ("stop", "0 18 * * *")
    client.compute.begin_stop(instance.name).result()
    assert client.compute.get(instance.name).state == "Stopped"
    client.compute.begin_start(instance.name).result()
    assert client.compute.get(instance.name).state == "Running"
    client.compute.begin_delete(instance.name).result()
