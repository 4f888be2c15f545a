"""The azureml plugin as released, whose uploads go ways of their own, over a network that fails: from a laptop and inside a job."""

from __future__ import annotations

import time

import pytest

from lazward.execution.client_plugin import installed
from lazward.storage import metric_history, run_search, runs
from tests.conformance.tracking_server import TOKEN, serve
from tests.lazward_mlflow.conftest import World
from tests.lazward_mlflow.proxy import CUT, HANG, PASS, REFUSE, Proxy
from tests.storage.tracking_data import KEY, WORKSPACE


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("azureml")
    with serve(folder) as server:
        made = World(server, Proxy(server.port), folder / "spool", installed(folder / "plugin"))
        yield made
        for remote in made.remotes:
            if remote.process.poll() is None:
                remote.process.kill()
                remote.process.communicate()
        made.proxy.close()


def environment(world: World, **more: str) -> dict[str, str]:
    azure = world.server.azure_environment(
        IDENTITY_ENDPOINT=f"{world.server.services.base_url}/msi/token", IDENTITY_HEADER="secret",
        MLFLOW_TRACKING_URI=f"azureml://localhost:{world.proxy.port}/mlflow/v1.0{WORKSPACE}",
    )
    return {**{k: v for k, v in azure.items() if k != "PYTHONPATH"}, **more}


def files(world: World, run: str) -> dict[str, int]:
    found = world.server.db.read_now(lambda tx: tx.conn.exec_driver_sql("select name, size from blob where name like ?", (f"ExperimentRun/dcid.{run}/%",)).all())
    return {name.split("/", 2)[2]: size for name, size in found}


@pytest.mark.parametrize("fault", [REFUSE, CUT, HANG])
def test_from_a_laptop(world, network, fault):
    remote = world.remote(**{"MLFLOW_TRACKING_TOKEN": ""}, **environment(world))
    run = remote.run("run = mlflow.start_run(run_name='laptop'); mlflow.log_metric('m', 0); mlflow.log_text('before', 'before.txt'); said = run.info.run_id")
    assert remote.run("said = run.info.artifact_uri").startswith("azureml://")
    network(fault)
    remote.run(
        "import tempfile, pathlib\n"
        "folder = pathlib.Path(tempfile.mkdtemp())\n"
        "(folder / 'sub').mkdir(); (folder / 'a%41 b.txt').write_text('a'); (folder / 'sub' / 'c.txt').write_text('cc')\n"
        "mlflow.log_artifacts(str(folder), 'many'); mlflow.log_artifact(str(folder / 'a%41 b.txt'))\n"
        "for n in range(1, 4): mlflow.log_metric('m', n, step=n)\n"
        "mlflow.log_metric('later', 1, synchronous=False); mlflow.flush_async_logging()\n"
        "mlflow.end_run()\n",
    )
    network(PASS)
    world.settled()
    full = world.server.db.read_now(run_search.one, KEY, run)
    assert full.run.status == "FINISHED" and {m[0] for m in full.metrics} == {"m", "later"}
    assert files(world, run) == {"before.txt": 6, "many/a%41 b.txt": 1, "many/sub/c.txt": 2, "a%41 b.txt": 1}
    points, _ = world.server.db.read_now(metric_history.history, KEY, run, "m", None, None)
    assert [p.step for p in points] == [0, 1, 2, 3]
    remote.end()


def test_a_job_that_begins_while_the_server_is_away(world, network):
    """Its run is there, though its process has never seen it; the end of it is the job's."""
    experiment = world.server.db.write_now(runs.create_job_run, KEY, "job_1", "train", "A job", "owner", {}, time.time())
    world.server.db.write_now(runs.set_status, KEY, "job_1", "Running", time.time())
    world.server.put_job("job_1")
    job = environment(
        world, MLFLOW_TRACKING_TOKEN=TOKEN, MLFLOW_RUN_ID="job_1", MLFLOW_EXPERIMENT_ID=experiment, MLFLOW_EXPERIMENT_NAME="train", AZUREML_RUN_ID="job_1",
        AZUREML_RUN_TOKEN=TOKEN, AZUREML_ARM_SUBSCRIPTION=WORKSPACE.subscription, AZUREML_ARM_RESOURCEGROUP="rg", AZUREML_ARM_WORKSPACE_NAME="Ws",
        AZUREML_ARM_PROJECT_NAME="train",
    )
    network(REFUSE)
    remote = world.remote(**job)
    remote.run("with mlflow.start_run() as run: mlflow.log_metric('loss', 0.5); mlflow.log_text('x', 'x.txt')\nsaid = run.info.run_id")
    with_nested = remote.run("mlflow.set_experiment('train'); client.create_run(os.environ['MLFLOW_EXPERIMENT_ID'], run_name='more'); said = 1")
    assert with_nested == 1
    network(PASS)
    world.settled()
    full = world.server.db.read_now(run_search.one, KEY, "job_1")
    assert (full.run.status, {m[0]: m[1] for m in full.metrics}) == ("RUNNING", {"loss": 0.5})
    assert files(world, "job_1") == {"x.txt": 1}
    remote.end()
