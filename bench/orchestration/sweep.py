"""A sweep of 100 trials (20 of the second form) by random sampling, a process per trial and as many at once as there are cores, against Optuna that starts the same program.

The trial's function is a quadratic; what it costs is its process. Two forms of telling its result, each with its own rows:
  REST     one POST to MLflow's runs/log-metric with the standard library, against Optuna that reads the value from the program's output
  mlflow   mlflow.log_metric (mlflow-skinny in the trial's environment), against Optuna whose trials import mlflow and log to a file of its own
Lazward: from the PUT of the sweep to Completed at a client that asks every 20 ms; environment warm. Optuna: from the start of a script with
RandomSampler and a SQLite study (it is to survive a crash, too) to its end, in an environment of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from bench.measure import Row, alternate
from bench.orchestration.peers import timed
from bench.own_environment import CannotInstall, own_environment
from bench.server import Server, until

ROUNDS = 3
TRIALS, TRIALS_MLFLOW = 100, 20  # the second form imports mlflow in every trial, which is what it measures
CONDA = "name: sweep\ndependencies:\n- python={version}\n- pip\n- pip:\n  - mlflow-skinny\n  - azureml-mlflow\n"

FUNCTION = """
import sys
x, y = float(sys.argv[1]), float(sys.argv[2])
loss = (x - 0.3) ** 2 + (y + 0.2) ** 2
"""
REST = FUNCTION + """
import http.client, json, os, ssl, time
rid = os.environ["MLFLOW_TRACKING_URI"].removeprefix("azureml://")
host, _, path = rid.partition("/")
server = http.client.HTTPSConnection(host, context=ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"]))
body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": loss, "timestamp": int(time.time() * 1000), "step": 0}
server.request("POST", f"/{path}/api/2.0/mlflow/runs/log-metric", json.dumps(body), {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"})
answer = server.getresponse()
assert answer.status == 200, (answer.status, answer.read())
"""
MLFLOW = FUNCTION + """
import mlflow
mlflow.log_metric("loss", loss)
print(loss)
"""
PLAIN = FUNCTION + "print(loss)\n"
STUDY = """
import subprocess, sys
import optuna
optuna.logging.set_verbosity(optuna.logging.WARNING)

def objective(trial):
    given = [str(trial.suggest_float(name, -1, 1)) for name in "xy"]
    return float(subprocess.run([sys.executable, sys.argv[1], *given], check=True, stdout=subprocess.PIPE).stdout)

study = optuna.create_study(storage=f"sqlite:///{sys.argv[2]}", sampler=optuna.samplers.RandomSampler(seed=7))
study.optimize(objective, n_trials=int(sys.argv[3]), n_jobs=int(sys.argv[4]))
print(study.best_value)
"""


class Sweeps:
    """Sweeps on a server that has seen the trial's environment before."""

    def __init__(self, server: Server):
        self.server = server
        self.arm = server.client()
        self.bare = self.arm.put(server.path("environments/bench/versions/1"), {"properties": {"image": "library/python:latest"}})["id"]
        self.code = server.put_code("trial", {"rest.py": REST, "logged.py": MLFLOW})

    def run(self, script: str, environment: str, trials: int) -> float:
        """Seconds from the PUT of a sweep of so many trials to Completed."""
        self.arm.close()  # the server may have closed a connection that was kept while the peer ran
        name, began = f"s{uuid.uuid4().hex}", monotonic()
        self.arm.put(self.server.path(f"jobs/{name}"), {"properties": {
            "jobType": "Sweep", "experimentName": "bench", "searchSpace": {name: ["uniform", [-1, 1]] for name in "xy"},
            "samplingAlgorithm": {"samplingAlgorithmType": "Random", "seed": 7}, "objective": {"goal": "Minimize", "primaryMetric": "loss"},
            "limits": {"maxTotalTrials": trials, "maxConcurrentTrials": os.cpu_count() or 1},
            "trial": {"command": f"python {script} ${{{{search_space.x}}}} ${{{{search_space.y}}}}", "environmentId": environment, "codeId": self.code},
        }})

        def properties() -> dict[str, Any]:
            return self.arm.get(self.server.path(f"jobs/{name}"))["properties"]

        until(lambda: properties()["status"] in ("Completed", "Failed", "Canceled"), 1200, pause=0.02, what=properties)
        took, facts = monotonic() - began, properties()
        if facts["status"] != "Completed":
            raise RuntimeError(f"the sweep ended {facts['status']}: {facts.get('error')}")
        return took


class Optuna:
    def __init__(self, folder: Path):
        self.folder = folder
        self.python = own_environment(folder / "venv", "optuna", "mlflow-skinny", "sqlalchemy")
        for name, text in {"study.py": STUDY, "plain.py": PLAIN, "logged.py": MLFLOW}.items():
            (folder / name).write_text(text)
        self.environ = {**os.environ, "MLFLOW_TRACKING_URI": f"file://{folder}/runs", "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self.run("plain.py", 1)

    def run(self, script: str, trials: int) -> float:
        command = [str(self.python), "study.py", script, f"{uuid.uuid4().hex}.db", str(trials), str(os.cpu_count() or 1)]
        return timed(command, self.folder, self.environ)


def rows(quick: bool) -> list[Row]:
    out: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="lz") as folder, Server() as server:
        sweeps, peer, against = Sweeps(server), None, ""
        if not quick:
            try:
                peer, against = Optuna(Path(folder)), "Optuna, a process per trial"
            except (CannotInstall, RuntimeError) as problem:
                against = f"Optuna is left out: {problem}"
                print(against, file=sys.stderr)

        def form(what: str, script: str, environment: str, peers_script: str, trials: int, rounds: int) -> None:
            sweeps.run(script, environment, 2)  # builds the environment
            cases: dict[str, Callable[[], float]] = {"lazward": partial(sweeps.run, script, environment, trials)}
            if peer:
                peer.run(peers_script, 1)
                cases["optuna"] = partial(peer.run, peers_script, trials)
            found = alternate(cases, rounds)
            out.append(Row(f"a sweep of {trials} trials that log by {what}", found["lazward"], against, found.get("optuna", []), "s"))

        form("one POST to MLflow's REST", "rest.py", sweeps.bare, "plain.py", 4 if quick else TRIALS, 1 if quick else ROUNDS)
        if not quick:
            conda = CONDA.format(version=f"{sys.version_info[0]}.{sys.version_info[1]}")
            with_mlflow = sweeps.arm.put(server.path("environments/mlflow/versions/1"), {"properties": {"image": "library/python:latest", "condaFile": conda}})["id"]
            form("mlflow.log_metric", "logged.py", with_mlflow, "logged.py", TRIALS_MLFLOW, 1)
    return out
