"""A whole running server, started under umask 000, in which every kind of secret is in use: for what only processes and files can show.

The endpoint serves a model that is a malicious pickle: what it does when it is loaded tells where that happened. A job says what it
was given."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.server import Client, Server, until

PATIENCE_S = 180


class Payload:
    """Writes who unpickled it, and what that process has, into `witness`."""

    def __init__(self, witness: str):
        self.witness = witness

    def __reduce__(self) -> Any:
        code = (
            "import json, os, sys\n"
            f"with open({self.witness!r} + '/' + str(os.getpid()), 'w') as out:\n"
            "    json.dump({'pid': os.getpid(), 'argv': open('/proc/self/cmdline').read().split(chr(0)) if os.path.exists('/proc/self/cmdline') else sys.argv,"
            " 'environ': dict(os.environ), 'cwd': os.getcwd()}, out)\n"
        )
        return exec, (code,)


SCORE = """
import os, pickle
def init():
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "models", "model.pkl"), "rb") as file:
        pickle.load(file)
def run(data):
    return "scored"
"""
JOB = """
import json, os, sys
print("HELLO FROM THE JOB", flush=True)
with open(os.environ["WITNESS"], "w") as out:
    json.dump({"pid": os.getpid(), "environ": dict(os.environ), "umask": oct(os.umask(0o077))}, out)
import socket, time
listener = socket.create_server((os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ["MASTER_PORT"]))) if os.environ.get("RANK") == "0" else None
os.makedirs("outputs", exist_ok=True)
open("outputs/made.txt", "w").write("made")
while not os.path.exists(os.environ["WITNESS"] + ".go"):
    time.sleep(0.05)
"""


@dataclass
class Whole:
    server: Server
    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)  # what -> value that must be nowhere it can be read
    answers: list[tuple[str, bytes]] = field(default_factory=list)  # (path, body) of what may not show a secret

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "payloads").iterdir())]

    @property
    def job(self) -> dict[str, Any]:
        return json.loads((self.folder / "job.json").read_text())

    @property
    def logs(self) -> dict[str, str]:
        """All that the server and what it runs have written for people, by path."""
        root = self.server.data_dir
        paths = [*root.glob("logs/*"), *root.glob("serving/*/logs/*"), *root.glob("jobs/**/user_logs/*"), *root.glob("jobs/*.logs/*")]
        return {str(path.relative_to(root)): path.read_text(errors="replace") for path in paths if path.is_file()}

    def fill(self) -> None:
        arm, path = self.server.client(), self.server.path
        principal = json.loads((self.server.data_dir / "keys" / "principal.json").read_text())
        self.secrets["principal secret"] = principal["secret"]
        self.secrets["identity header"] = self.server.env["IDENTITY_HEADER"]
        given = {"datastore": "b3BlbnNlc2FtZS1kYXRhc3RvcmU=", "connection": "opensesame-connection-0123", "endpoint": "opensesame-endpoint-key-0123456789"}
        self.secrets.update(given)
        arm.put(path("datastores/kept"), {"properties": {"datastoreType": "AzureBlob", "accountName": "elsewhere", "containerName": "c", "credentials": {
            "credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": given["datastore"]}}}})
        arm.put(path("connections/kept"), {"properties": {"category": "CustomKeys", "authType": "CustomKeys", "target": "t", "credentials": {"keys": {"k": given["connection"]}}}})
        self.secrets["account key"] = arm.post(path("listKeys"))["userStorageKey"]
        arm.put(path("environments/plain/versions/1"), {"properties": {"image": "library/python:3.11"}})
        self._model(arm)
        self._deploy(arm, given["endpoint"])
        self._job(arm)
        for below in ("datastores/kept", "datastores", "connections/kept", "connections", "onlineEndpoints/evil", "onlineEndpoints", "onlineEndpoints/evil/deployments/blue", "jobs/runner", "jobs", ""):
            self.answers.append((below, arm.json_call("GET", path(below)).body))

    def _model(self, arm: Client) -> None:
        """Registered and read through every interface that has to do with models, as MLflow and ARM clients do."""
        (self.folder / "payloads").mkdir(mode=0o700)
        pickled = pickle.dumps(Payload(str(self.folder / "payloads")))
        place = next(d for d in arm.get(self.server.path("datastores"))["value"] if d["name"] == "workspaceblobstore")["properties"]
        base = f"/{place['accountName'].rsplit('/', 1)[-1]}.blob.core.windows.net/{place['containerName']}"
        blobs = self.server.client("https://storage.azure.com")
        mlmodel = b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    python_version: 3.11.0\n!!python/object/apply:os.system [\"true\"]\n"
        for name in ("model.pkl", "model.joblib", "model.pt", "model.h5", "data/model.npy"):
            answer = blobs.call("PUT", f"{base}/models/{name}", pickled, {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"})
            assert answer.status == 201, answer
        assert blobs.call("PUT", f"{base}/models/MLmodel", mlmodel, {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"}).status == 201
        uri = "azureml://datastores/workspaceblobstore/paths/models"
        for number, kind in enumerate(("custom_model", "mlflow_model", "triton_model"), 1):
            arm.put(self.server.path(f"models/evil/versions/{number}"), {"properties": {"modelUri": uri, "modelType": kind}})
            arm.get(self.server.path(f"models/evil/versions/{number}"))
        tracking = f"/mlflow/plain{self.server.workspace}/api/2.0"
        run = arm.json_call("POST", f"{tracking}/mlflow/runs/create", {"experiment_id": "0"}).json()["run"]["info"]["run_id"]
        for name, body in (("model/MLmodel", mlmodel), ("model/model.pkl", pickled), ("figure.pkl", pickled)):
            assert arm.call("PUT", f"{tracking}/mlflow-artifacts/artifacts/{run}/artifacts/{name}", body).status == 200
        logged = arm.json_call("POST", f"{tracking}/mlflow/logged-models", {"experiment_id": "0", "name": "m", "source_run_id": run}).json()["model"]["info"]["model_id"]
        arm.json_call("PATCH", f"{tracking}/mlflow/logged-models/{logged}", {"model_id": logged, "status": 2})
        arm.json_call("POST", f"{tracking}/mlflow/runs/log-model", {"run_id": run, "model_json": json.dumps({"artifact_path": "model", "flavors": {"python_function": {}}})})
        arm.json_call("POST", f"{tracking}/mlflow/registered-models/create", {"name": "fromrun"})
        arm.json_call("POST", f"{tracking}/mlflow/model-versions/create", {"name": "fromrun", "source": f"runs:/{run}/model", "run_id": run})
        history = f"/history/v1.0{self.server.workspace}/experiments/Default/runs/{run}"
        for target in (
            f"{tracking}/mlflow/artifacts/list?run_id={run}&path=model", f"{tracking}/mlflow-artifacts/artifacts?path={run}/artifacts/model", f"{tracking}/mlflow-artifacts/artifacts/{run}/artifacts/figure.pkl",
            f"{tracking}/mlflow/logged-models/{logged}", f"{tracking}/mlflow/model-versions/get?name=fromrun&version=1", f"{tracking}/mlflow-artifacts/artifacts/fromrun:1/artifacts/MLmodel",
            f"{tracking}/mlflow/model-versions/get-download-uri?name=fromrun&version=1", f"{history}/details", f"{history}/artifacts", f"{history}/artifacts/prefix/contentinfo?path=model",
        ):
            answer = arm.call("GET", target)
            assert answer.status == 200, (target, answer)

    def _deploy(self, arm: Client, key: str) -> None:
        path, code = self.server.path, self.server.put_code("scoring", {"score.py": SCORE})
        arm.put(path("onlineEndpoints/evil"), {"location": "local", "properties": {"authMode": "Key", "keys": {"primaryKey": key}}})
        self._settled(arm, "onlineEndpoints/evil")
        arm.put(path("onlineEndpoints/evil/deployments/blue"), {"location": "local", "sku": {"name": "Default", "capacity": 1}, "properties": {
            "endpointComputeType": "Managed", "environmentId": f"{self.server.workspace}/environments/plain/versions/1", "model": f"{self.server.workspace}/models/evil/versions/1",
            "codeConfiguration": {"codeId": code, "scoringScript": "score.py"},
        }})
        facts = self._settled(arm, "onlineEndpoints/evil/deployments/blue")
        assert facts["provisioningState"] == "Succeeded", (facts, self.server.logs(), self.logs)
        arm.put(path("onlineEndpoints/evil"), {"location": "local", "properties": {"authMode": "Key", "traffic": {"blue": 100}}})
        endpoint = self._settled(arm, "onlineEndpoints/evil")
        gateway = Client(self.server.gateway, self.server.env["SSL_CERT_FILE"], key)
        scored = gateway.json_call("POST", urllib.parse.urlsplit(endpoint["scoringUri"]).path, {})
        assert (scored.status, scored.json()) == (200, "scored"), scored

    def _job(self, arm: Client) -> None:
        code = self.server.put_code("running", {"job.py": JOB})
        arm.put(self.server.path("jobs/runner"), {"properties": {
            "jobType": "Command", "command": "python job.py", "environmentId": f"{self.server.workspace}/environments/plain/versions/1", "codeId": code,
            "environmentVariables": {"WITNESS": str(self.folder / "job.json")}, "distribution": {"distributionType": "PyTorch", "processCountPerInstance": 1},
        }})
        until((self.folder / "job.json").exists, PATIENCE_S, what=lambda: (arm.get(self.server.path("jobs/runner")), self.server.logs()))
        until(lambda: (self.folder / "job.json").stat().st_size, PATIENCE_S)
        self.secrets["job's token"] = self.job["environ"]["AZUREML_RUN_TOKEN"]
        self.secrets["job's identity"] = self.job["environ"]["IDENTITY_HEADER"]

    def _settled(self, arm: Client, below: str) -> dict[str, Any]:
        def ask() -> Any:
            facts = arm.patiently("GET", self.server.path(below)).json()["properties"]
            return facts["provisioningState"] in ("Succeeded", "Failed", "Canceled") and facts

        return until(ask, PATIENCE_S, what=self.server.logs)

    def end_job(self) -> None:
        (self.folder / "job.json.go").touch()
        arm = self.server.client()
        until(lambda: arm.get(self.server.path("jobs/runner"))["properties"]["status"] == "Completed", PATIENCE_S, what=self.server.logs)


@contextlib.contextmanager
def whole_server(folder: Path) -> Iterator[Whole]:
    before = os.umask(0)
    try:
        with Server(environ={"SECRET_OF_THE_SHELL": "opensesame-shell-0123456789"}, sets=("log_level=debug",)) as server:
            os.umask(before)
            made = Whole(server, folder)
            made.secrets["shell's secret"] = "opensesame-shell-0123456789"
            made.fill()
            yield made
    finally:
        os.umask(before)
