"""From the PUT of a deployment to its first answer: `python -m bench.deployment`.

A managed online endpoint and an MLflow scikit-learn model without any code, trained and saved by a job of the same server; the
environment is warm (the first deployment built it). In turn with a bare process of that environment that loads the model with
`mlflow.pyfunc` and predicts. "first answer": the deployment says Succeeded and a request through the gateway has its scores.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from typing import Any

from bench.measure import Row, alternate, main
from bench.server import Client, Server, until

PACKAGES = ["scikit-learn==1.5.2", "pandas==2.2.3", "mlflow-skinny>=3.1"]
TRAIN = """
import sys
import mlflow.sklearn
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
data, target = load_diabetes(return_X_y=True, as_frame=True)
model = GradientBoostingRegressor(random_state=0).fit(data, target)
mlflow.sklearn.save_model(model, "outputs/model", input_example=data.head(2), serialization_format="cloudpickle")
"""
BARE = """
import json, sys
import mlflow.pyfunc, pandas
given = json.loads(sys.argv[2])["input_data"]
print(list(mlflow.pyfunc.load_model(sys.argv[1]).predict(pandas.DataFrame(given["data"], given["index"], given["columns"]))))
"""
COLUMNS = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
REQUEST = json.dumps({"input_data": {"columns": COLUMNS, "index": [0], "data": [[0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, -0.003, 0.02, -0.02]]}})
ENDED = ("Succeeded", "Failed", "Canceled")


class Deployer:
    """A server with a registered model, an endpoint, and one deployment that stays, so that environment and files are there."""

    def __init__(self, server: Server):
        self.server, self.arm = server, server.client()
        self.model = self._register(self._train())
        self.endpoint = f"onlineEndpoints/bench-{uuid.uuid4().hex[:8]}"
        self.arm.put(server.path(self.endpoint), {"location": "local", "properties": {"authMode": "Key"}})
        uri = self._settled(self.endpoint, 60)["scoringUri"]
        key = self.arm.post(server.path(f"{self.endpoint}/listKeys"))["primaryKey"]
        self.scoring = Client(server.gateway, server.env["SSL_CERT_FILE"], key)
        self.path = "/" + uri.split("/", 3)[3]
        self.answer = self.create("first")[1]
        newest = max((server.data_dir / "envs" / "envs").iterdir(), key=lambda folder: folder.stat().st_mtime)
        [found] = (server.data_dir / "serving").rglob("MLmodel")
        self.bare_argv = [str(newest / "bin" / "python"), "-c", BARE, str(found.parent), REQUEST]

    def create(self, name: str) -> tuple[float, Any]:
        """Seconds to the first answer, and the answer."""
        began = time.perf_counter()
        self.arm.put(self.server.path(f"{self.endpoint}/deployments/{name}"), {
            "location": "local", "sku": {"name": "Default", "capacity": 1},
            "properties": {"endpointComputeType": "Managed", "model": self.model, "instanceType": "Standard_DS3_v2"},
        })
        self._settled(f"{self.endpoint}/deployments/{name}", 300)
        headers = {"azureml-model-deployment": name}
        answer = self.scoring.json_call("POST", self.path, json.loads(REQUEST), headers)
        took = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body[:1000]!r}")
        return took, answer.json()

    def one(self) -> float:
        """Creates a deployment, and removes it once it was timed."""
        name = f"d{uuid.uuid4().hex[:8]}"
        took, answer = self.create(name)
        assert answer == self.answer, answer
        self.arm.call("DELETE", self.server.path(f"{self.endpoint}/deployments/{name}"))
        until(lambda: self.arm.call("GET", self.server.path(f"{self.endpoint}/deployments/{name}")).status == 404)
        return took

    def bare(self) -> float:
        environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        began = time.perf_counter()
        done = subprocess.run(self.bare_argv, env=environ, capture_output=True, text=True)
        took = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(done.stderr)
        return took

    def _train(self) -> str:
        """The name of a job that has saved a model."""
        code = self.server.put_code(f"c{uuid.uuid4().hex}", {"train.py": TRAIN})
        conda = json.dumps({"name": "bench", "dependencies": ["python=3.11", {"pip": PACKAGES}]})
        environment = self.arm.put(self.server.path("environments/bench/versions/1"), {"properties": {"image": "library/python:3.11", "condaFile": conda}})["id"]
        name = f"b{uuid.uuid4().hex}"
        path = self.server.path(f"jobs/{name}")
        self.arm.put(path, {"properties": {
            "jobType": "Command", "command": "python train.py", "codeId": code, "environmentId": environment, "experimentName": "bench", "computeId": "",
        }})
        job = until(lambda: (found := self.arm.get(path)["properties"])["status"] in ("Completed", "Failed") and found, seconds=300)
        if job["status"] != "Completed":
            raise RuntimeError(job)
        return name

    def _register(self, job: str) -> str:
        uri = f"azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{job}/outputs/model"
        return self.arm.put(self.server.path("models/bench/versions/1"), {"properties": {"modelType": "mlflow_model", "modelUri": uri}})["id"]

    def _settled(self, below: str, seconds: float) -> dict[str, Any]:
        def ended() -> Any:
            facts = self.arm.get(self.server.path(below))["properties"]
            return facts["provisioningState"] in ENDED and facts

        facts = until(ended, seconds)
        if facts["provisioningState"] != "Succeeded":
            raise RuntimeError(f"{below}: {facts}{self.server.logs()}")
        return facts


def rows(quick: bool) -> list[Row]:
    with Server() as server:
        deployer = Deployer(server)
        deployer.bare()
        found = alternate({"bare": deployer.bare, "ours": deployer.one}, 1 if quick else 3)
    return [Row("PUT of a deployment to its first answer", found["ours"], "a bare process that loads the model and predicts", found["bare"], "s", "under 5 s")]


if __name__ == "__main__":
    main(rows, __doc__)
