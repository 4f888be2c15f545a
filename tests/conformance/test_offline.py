"""The same training online, and offline with `lazward sync` afterwards: what the server has is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lazward.execution.client_plugin import installed
from lazward.storage import metric_history, run_search
from lazward.storage.tables import run as runs
from tests.apps.tracking_app import PLAIN
from tests.conformance.client_environments import MLFLOW_2, NEWEST_MLFLOW, python_with
from tests.conformance.tracking_server import TOKEN, Server, serve
from tests.storage.tracking_data import KEY


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path) as running:
        yield running


def names(server: Server, experiment: str) -> dict[str, str]:
    """Run names of an experiment, and their ids."""
    found = server.db.read_now(lambda tx: tx.execute(runs.select().order_by(runs.c.seq)).all())
    of = {row.id: server.db.read_now(run_search.one, KEY, row.id) for row in found}
    return {full.run.name: id_ for id_, full in of.items() if full.experiment.name == experiment}


def everything(server: Server, experiment: str) -> dict[str, Any]:
    """What there is of each run, without ids and times."""
    out: dict[str, Any] = {}
    ids = names(server, experiment)
    for name, id_ in ids.items():
        full = server.db.read_now(run_search.one, KEY, id_)
        tags = {k: v for k, v in full.tags if not k.startswith("mlflow.log-model")}
        if "mlflow.parentRunId" in tags:
            tags["mlflow.parentRunId"] = next(n for n, i in ids.items() if i == tags["mlflow.parentRunId"])
        histories = {}
        for metric in full.metrics:
            points, _ = server.db.read_now(metric_history.history, KEY, id_, metric[0], None, None)
            histories[metric[0]] = [(p.step, "nan" if p.nan else p.value) for p in points]
        outputs = [(link.kind, link.step) for link in full.links]
        out[name] = {
            "status": full.run.status, "ended": full.run.ended is not None, "params": dict(full.params), "tags": tags, "metrics": histories, "links": outputs,
            "files": files(server, id_),
        }
    return out


def files(server: Server, run_id: str) -> dict[str, Any]:
    """Path -> size of a run's artifacts; the text of those whose content is ours to say."""
    found = server.db.read_now(lambda tx: tx.conn.exec_driver_sql("select name, size from blob where name like ?", (f"ExperimentRun/dcid.{run_id}/%",)).all())
    paths = {name.split("/", 2)[2]: size for name, size in found}
    return {path: size for path, size in paths.items() if "MLmodel" not in path} | {path: "" for path in paths if "MLmodel" in path}


CLIENTS = {
    "newest": (NEWEST_MLFLOW, False), "2.22": (MLFLOW_2, False), "azureml": ((), True),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_the_same_as_online(server: Server, tmp_path: Path, client: str):
    requirements, azureml = CLIENTS[client]
    python = python_with(*requirements) if requirements else sys.executable
    plugin, spool = installed(tmp_path / "plugin"), tmp_path / "spool-of-all"
    identity = {"IDENTITY_ENDPOINT": f"{server.services.base_url}/msi/token", "IDENTITY_HEADER": "secret"}
    online = server.azure_environment(**identity) if azureml else server.environment(MLFLOW_TRACKING_URI=f"{server.services.base_url}{PLAIN}", MLFLOW_TRACKING_TOKEN=TOKEN)
    online["PYTHONPATH"] = str(plugin)
    server.run("offline_client.py", "online", env={**online, "LAZWARD_SPOOL": "on", "LAZWARD_SPOOL_DIR": str(spool)}, python=python)
    assert not list(spool.rglob("journal"))

    offline = {**online, "LAZWARD_OFFLINE": "1", "LAZWARD_SPOOL_DIR": str(spool)}
    before = everything(server, "online")
    asked = server.services.authority.rights.pop(TOKEN)  # whoever asks now is refused, and fails
    told = json.loads(server.run("offline_client.py", "offline", env=offline, python=python).splitlines()[-1])
    server.services.authority.rights[TOKEN] = asked
    assert names(server, "offline") == {}

    sync = [sys.executable, "-m", "lazward_mlflow", "sync", str(spool)]
    env = {**os.environ, **server.environment(MLFLOW_TRACKING_TOKEN=TOKEN)}
    done = subprocess.run(sync, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    after = everything(server, "offline")
    assert set(before) == set(after) == {"outer", "inner0", "inner1", "autologged", "modelled"}
    for name in before:
        assert after[name] == before[name], name
    assert names(server, "offline")["outer"] == told["outer"]
    assert everything(server, "online") == before
    server.run("load_model.py", f"runs:/{told['modelled']}/model", env=online, python=python)
