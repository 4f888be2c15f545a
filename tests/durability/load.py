"""The load under which parts are killed: jobs of every kind, ARM and MLflow writes that remember what was acknowledged, and a
client that scores without a pause. What is seen of a round of jobs afterwards can be compared with another round."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from bench.server import Client, Server, Unacknowledged, until
from lazward.contract.ids import ML
from lazward.storage import resources, tables
from lazward.storage.db import Database, Tx

OVER = ("Completed", "Failed", "Canceled")
SCRIPT = Path(__file__).with_name("job.py")
PATIENCE_S = 180
STANDING = ("deployment.keep", "housekeeping")  # work that is there as long as the server
PINS = ("six==1.17.0", "six==1.16.0", "idna==3.10", "idna==3.7", "toml==0.10.2", "six==1.15.0", "idna==3.6", "toml==0.10.1")


@dataclass
class Job:
    """kind: what it stands for in a round. options: words for job.py. facts: members of the document."""

    kind: str
    options: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    processes: int = 1
    cancel: str = ""  # "at once", or "when it waits"


ROUND = (
    Job("short", "lines=15 metrics=3"),
    Job("long", "lines=60 pause=0.06 metrics=10", {"outputs": {"data": {"jobOutputType": "uri_folder", "assetName": "ROUND-data", "assetVersion": "1"}}}),
    Job("failing", "lines=10 code=3"),
    Job("again", "lines=10 pause=0.02 metrics=2 fails=2", {"resources": {"properties": {"cores": "0.2", "max_retries": 9}}}),
    Job("ranks", "lines=20 pause=0.05", {"distribution": {"distributionType": "PyTorch", "processCountPerInstance": 2}}, processes=2),
    Job("canceled", "lines=5 last=wait", cancel="when it waits"),
    Job("unwanted", "lines=400 pause=0.05", cancel="at once"),
    Job("built", "lines=5 metrics=1"),
    Job("unbuildable", "lines=5"),
    Job("big", "lines=10 pause=0.02 metrics=2"),
    Job("last", "lines=30 pause=0.05 metrics=3"),
)


class Jobs:
    """Submits rounds of jobs and sees how they ended. The names of a round's jobs begin with the round's."""

    def __init__(self, server: Server, witness: Path):
        self.server = server
        self.witness = witness
        self.code = server.put_code("durability", {"job.py": SCRIPT.read_text()})
        arm = server.client()
        arm.put(server.path("environments/plain/versions/1"), {"properties": {"image": "library/python:3.11"}})
        self.count = 0

    def submit(self, prefix: str) -> None:
        """Each job is acknowledged before the next is sent; each cancel as well."""
        arm = self.server.client()
        pin = PINS[self.count % len(PINS)]
        self.count += 1
        for name, requirement in ((f"{prefix}-built", pin), (f"{prefix}-unbuildable", "six==99.99")):
            conda = f"dependencies: [{{pip: ['{requirement}']}}]"
            _made(arm.patiently("PUT", self.server.path(f"environments/{name}/versions/1"), {"properties": {"image": "library/python:3.11", "condaFile": conda}}))
        for job in ROUND:
            _made(arm.patiently("PUT", self.server.path(f"jobs/{prefix}-{job.kind}"), self.document(prefix, job)))
            if job.cancel == "at once":
                self.cancel(arm, f"{prefix}-{job.kind}")
        for job in ROUND:
            if job.cancel == "when it waits":
                until(lambda name=f"{prefix}-{job.kind}": f"{name} waits" in self.seen(), PATIENCE_S, what=lambda: self.states(prefix))
                self.cancel(arm, f"{prefix}-{job.kind}")

    def document(self, prefix: str, job: Job) -> dict[str, Any]:
        name = f"{prefix}-{job.kind}"
        environment = name if job.kind in ("built", "unbuildable") else "plain"
        facts = {key: dict(value) for key, value in job.facts.items()}
        options = job.options
        for output in facts.get("outputs", {}):
            facts["outputs"][output] = {**facts["outputs"][output], "assetName": f"{prefix}-data"}
            options += f" last=${{{{outputs.{output}}}}}"
        cores = "2" if job.kind == "big" else "0.2"
        return {"properties": {
            "jobType": "Command", "command": f"python job.py name={name} {options}", "codeId": self.code,
            "environmentId": f"{self.server.workspace}/environments/{environment}/versions/1", "experimentName": "durability",
            "environmentVariables": {"WITNESS": str(self.witness)}, "resources": {"properties": {"cores": cores}}, **facts,
        }}

    def cancel(self, arm: Client, name: str) -> None:
        answer = arm.patiently("POST", self.server.path(f"jobs/{name}/cancel"))
        assert answer.status in (200, 202), answer

    def seen(self) -> str:
        return self.witness.read_text() if self.witness.exists() else ""

    def diagnosis(self, prefix: str) -> str:
        """For the message of a test that waited in vain."""
        own = "".join(f"\n--- {path}\n{path.read_text()}" for path in sorted((self.server.data_dir / "jobs").glob("*.logs/*")))
        return f"{self.states(prefix)}{own}{self.server.logs()}"

    def states(self, prefix: str) -> dict[str, Any]:
        arm = self.server.client()
        found = {}
        for job in ROUND:
            facts = arm.patiently("GET", self.server.path(f"jobs/{prefix}-{job.kind}")).json().get("properties", {})
            found[job.kind] = (facts.get("status"), facts.get("waitingFor"))
        return found

    def ended(self, prefix: str) -> bool:
        return all(status in OVER for status, _ in self.states(prefix).values())

    def observe(self, prefix: str) -> dict[str, Any]:
        """What there is of a round that is over, without what differs between any two runs (times, names)."""
        arm, blobs = self.server.client(), self.server.client("https://storage.azure.com")
        store = self._store(arm)
        out: dict[str, Any] = {}
        for job in ROUND:
            name = f"{prefix}-{job.kind}"
            facts = arm.get(self.server.path(f"jobs/{name}"))["properties"]
            folder = f"{store}/azureml/ExperimentRun/dcid.{name}"

            def text(path: str) -> str | None:
                answer = blobs.call("GET", path, headers={"x-ms-version": "2023-11-03"})
                return answer.body.decode().replace(prefix, "ROUND") if answer.status == 200 else None

            logs = ["std_log.txt"] if job.processes == 1 else [f"std_log_process_{i}.txt" for i in range(job.processes)]
            run = arm.get(f"/mlflow/v1.0{self.server.workspace}/api/2.0/mlflow/runs/get?run_id={name}")["run"]
            history_of = f"/mlflow/v1.0{self.server.workspace}/api/2.0/mlflow/metrics/get-history?run_id={name}&metric_key="
            seen = {
                "status": facts["status"], "error": (facts.get("error") or {}).get("code"), "exit": (facts.get("exit") or {}).get("code"),
                "run": run["info"]["status"], "result": text(f"{folder}/outputs/result.txt"), "waitingFor": facts.get("waitingFor"),
                "metrics": [(m["step"], m["timestamp"], m["value"]) for m in arm.get(f"{history_of}loss").get("metrics", [])],
            }
            if facts["status"] == "Completed":
                samples = [m["step"] for m in arm.get(f"{history_of}system/disk_usage_percentage").get("metrics", [])]
                assert samples and samples == list(range(len(samples))), (name, samples)  # none is missing, none is there twice
            # How far it came before it was canceled is nobody's promise; that its lines are whole and in order is.
            seen["logs"] = {log: text(f"{folder}/user_logs/{log}") for log in logs} if job.cancel != "at once" else None
            if job.cancel == "at once":
                lines = (text(f"{folder}/user_logs/std_log.txt") or "").splitlines()
                assert lines == [f"line {i} of ROUND-{job.kind}" for i in range(len(lines))], lines
            if job.kind == "again":  # an attempt that was given up before it began has a number and a heading, too
                seen["logs"] = [line for line in seen["logs"]["std_log.txt"].splitlines() if line.startswith("line")]
                ran = [one for one in facts["attempts"] if one["exit"]["reason"] != "lost"]
                seen["attempts"] = [(one["status"], one["exit"]["code"]) for one in ran]
                seen["own"] = text(f"{folder}/{ran[-1]['logs']}/std_log.txt")
            if "outputs" in job.facts:
                answer = arm.json_call("GET", self.server.path(f"data/{prefix}-data/versions/1"))
                seen["registered"] = answer.status
                seen["data"] = text(f"{store}/{self._default_container(arm)}/azureml/{name}/data/data.txt")
            out[job.kind] = seen
        words = Counter(line for line in self.seen().splitlines() if line.startswith(f"{prefix}-"))
        out["ended"] = sorted(line.replace(prefix, "ROUND") for line, count in words.items() if " ended " in line for _ in range(count))
        return out

    def log(self, name: str) -> str:
        """What a job of one process has said."""
        path = f"{self._store(self.server.client())}/azureml/ExperimentRun/dcid.{name}/user_logs/std_log.txt"
        return self.server.client("https://storage.azure.com").call("GET", path, headers={"x-ms-version": "2023-11-03"}).body.decode()

    def _store(self, arm: Client) -> str:
        account = next(d for d in arm.get(self.server.path("datastores"))["value"] if d["name"] == "workspaceartifactstore")["properties"]["accountName"]
        return f"/{account.rsplit('/', 1)[-1]}.blob.core.windows.net"

    def _default_container(self, arm: Client) -> str:
        return next(d for d in arm.get(self.server.path("datastores"))["value"] if d["name"] == "workspaceblobstore")["properties"]["containerName"]


def _made(answer: Any) -> None:
    assert answer.status in (200, 201), answer


class Submission(threading.Thread):
    """A round, submitted and waited for while parts are killed."""

    def __init__(self, jobs: Jobs, prefix: str):
        super().__init__(daemon=True)
        self.jobs, self.prefix = jobs, prefix
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            self.jobs.submit(self.prefix)
            until(lambda: self.jobs.ended(self.prefix), PATIENCE_S, 0.2, lambda: self.jobs.diagnosis(self.prefix))
        except BaseException as error:
            self.problem = error

    def over(self) -> bool:
        return not self.is_alive()

    def result(self) -> None:
        self.join()
        if self.problem:
            raise self.problem


class Background(threading.Thread):
    """Repeats once() until stop(); what went wrong is raised there."""

    def __init__(self, server: Server):
        super().__init__(daemon=True)
        self.server = server
        self.problem: BaseException | None = None
        self._over = threading.Event()

    def once(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self.once()
        except BaseException as error:
            self.problem = error

    def stop(self) -> None:
        self._over.set()
        self.join(PATIENCE_S)
        assert not self.is_alive()
        if self.problem:
            raise self.problem

    def pause(self, seconds: float) -> None:
        self._over.wait(seconds)


class Writer(Background):
    """Writes through every surface that keeps state, and remembers what was acknowledged: path -> (member, values that may be there).
    After an acknowledged write that is one value; one without an answer may have come to pass or not."""

    def __init__(self, server: Server):
        super().__init__(server)
        self.arm = server.client()
        self.mlflow = f"/mlflow/v1.0{server.workspace}/api/2.0/mlflow"
        self.acknowledged: dict[str, tuple[tuple[str, ...], list[Any]]] = {}
        self.unanswered = 0
        self.number = 0

    def once(self) -> None:
        self.number += 1
        number = self.number
        for write in (self.asset, self.traffic_tag, self.run_and_metrics, self.blob_backed):
            try:
                write(number)
            except Unacknowledged:
                self.unanswered += 1
                self.pause(0.05)
        self.pause(0.02)

    def asset(self, number: int) -> None:
        path = self.server.path(f"data/written/versions/{number}")
        self.write(path, {"properties": {"dataType": "uri_file", "dataUri": f"https://example.org/{number}.csv", "description": f"number {number}"}}, ("properties", "description"))

    def blob_backed(self, number: int) -> None:
        path = self.server.path(f"models/written/versions/{number}")
        self.write(path, {"properties": {"modelType": "custom_model", "modelUri": f"https://example.org/{number}", "description": f"number {number}"}}, ("properties", "description"))

    def traffic_tag(self, number: int) -> None:
        path = self.server.path(f"computes/c{number % 50}")
        self.write(path, {"location": "local", "tags": {"number": str(number)}, "properties": {"computeType": "AmlCompute", "properties": {"vmSize": "STANDARD_DS3_V2"}}}, ("tags", "number"))

    def write(self, path: str, body: Any, member: tuple[str, str]) -> None:
        value = body[member[0]][member[1]]
        if path in self.acknowledged:
            self.acknowledged[path][1].append(value)
        answer = self.arm.json_call("PUT", path, body)
        if answer.status in (200, 201):
            self.acknowledged[path] = (member, [value])
        else:
            assert answer.status >= 500 or answer.status == 409, answer

    def run_and_metrics(self, number: int) -> None:
        made = self.arm.json_call("POST", f"{self.mlflow}/runs/create", {"experiment_id": self.experiment(), "start_time": number, "run_name": f"run {number}"})
        if made.status != 200:
            assert made.status >= 500, made
            return
        run = made.json()["run"]["info"]["run_id"]
        self.acknowledged[f"{self.mlflow}/runs/get?run_id={run}"] = (("run", "info", "run_name"), [f"run {number}"])
        body = {"run_id": run, "metrics": [{"key": "m", "value": number + i / 8, "timestamp": i, "step": i} for i in range(8)], "params": [{"key": "p", "value": str(number)}], "tags": []}
        if self.arm.json_call("POST", f"{self.mlflow}/runs/log-batch", body).status == 200:
            self.acknowledged[f"{self.mlflow}/metrics/get-history?run_id={run}&metric_key=m"] = (("metrics",), [[number + i / 8 for i in range(8)]])

    def experiment(self) -> str:
        answer = self.arm.json_call("GET", f"{self.mlflow}/experiments/get-by-name?experiment_name=written")
        if answer.status == 404:
            self.arm.json_call("POST", f"{self.mlflow}/experiments/create", {"name": "written"})
            return self.experiment()
        if answer.status != 200:
            raise Unacknowledged(str(answer))
        return answer.json()["experiment"]["experiment_id"]

    def missing(self) -> list[str]:
        """Acknowledged writes that are not there as they were acknowledged."""
        arm = self.server.client()
        lost = []
        for path, (member, values) in self.acknowledged.items():
            answer = arm.patiently("GET", path)
            found: Any = answer.json() if answer.status == 200 else {}
            for name in member:
                found = found.get(name, {})
            if member == ("metrics",):
                found = [m["value"] for m in found]
            if found not in values:
                lost.append(f"{path}: {values!r} was acknowledged, {found!r} is there ({answer.status})")
        return lost


SCORE = """
import json, os
def init():
    global served
    served = os.environ["MARK"]
def run(data):
    return {"mark": served, "sum": sum(json.loads(data)["values"])}
"""


class Scorer(Background):
    """An online endpoint of its own, scored all the time at the gateway. Every request has to be answered, and well."""

    name = "durable"

    def __init__(self, server: Server):
        super().__init__(server)
        self.arm = server.client()
        self.code = server.put_code("scoring", {"score.py": SCORE})
        self.answers = 0
        self.arm.put(server.path(f"onlineEndpoints/{self.name}"), self.endpoint({}))
        self.settled(f"onlineEndpoints/{self.name}")
        self.deploy("blue", "0")
        self.arm.put(server.path(f"onlineEndpoints/{self.name}"), self.endpoint({"blue": 100}))
        self.connect()

    def connect(self) -> None:
        """To the gateway of self.server."""
        self.arm = self.server.client()
        facts = self.settled(f"onlineEndpoints/{self.name}")
        key = self.arm.post(self.server.path(f"onlineEndpoints/{self.name}/listKeys"))["primaryKey"]
        self.place = urlsplit(facts["scoringUri"]).path
        self.gateway = Client(self.server.gateway, self.server.env["SSL_CERT_FILE"], key)

    def endpoint(self, traffic: dict[str, int]) -> Any:
        return {"location": "local", "properties": {"authMode": "Key", "traffic": traffic}}

    def deploy(self, name: str, mark: str, seconds: float = PATIENCE_S, script: str = "score.py") -> str:
        """Creates or updates a deployment; how it ended."""
        path = f"onlineEndpoints/{self.name}/deployments/{name}"
        body = {"location": "local", "sku": {"name": "Default", "capacity": 1}, "properties": {
            "endpointComputeType": "Managed", "environmentId": f"{self.server.workspace}/environments/plain/versions/1",
            "codeConfiguration": {"codeId": self.code, "scoringScript": script}, "environmentVariables": {"MARK": mark},
        }}
        _made(self.arm.patiently("PUT", self.server.path(path), body))
        return self.settled(path, seconds)["provisioningState"]

    def settled(self, path: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        def ask() -> Any:
            facts = self.arm.patiently("GET", self.server.path(path)).json()["properties"]
            return facts["provisioningState"] in ("Succeeded", "Failed", "Canceled") and facts

        return until(ask, seconds, what=lambda: self.arm.patiently("GET", self.server.path(path)).json())

    def score(self) -> str:
        answer = self.gateway.json_call("POST", self.place, {"values": [1, 2, 3]})
        assert answer.status == 200, answer
        assert answer.json()["sum"] == 6
        return answer.json()["mark"]

    def once(self) -> None:
        self.score()
        self.answers += 1
        time.sleep(0.02)


def left_over(server: Server, deployments: int, url: str = "") -> list[str]:
    """What should not be there once all is over: open tasks, jobs that are not over, folders and launches of jobs. deployments: how
    many serve. url: of the database, SQLite's in the data dir where there is none."""
    db = Database(url or f"sqlite:///{server.data_dir}/lazward.db")

    def look(tx: Tx) -> list[str]:
        task = tables.task.c
        open_tasks = tx.execute(sa.select(task.kind, task.subject).where(task.status == "InProgress", task.kind.not_in(STANDING)))
        jobs = resources.every(tx, f"{ML}/workspaces/jobs".lower())
        return [f"task {kind} {subject}" for kind, subject in open_tasks] + [f"job {row.key} {row.properties['status']}" for row in jobs if row.properties["status"] not in OVER]

    found = db.read_now(look)
    db.close()
    found += [f"folder {path}" for path in (server.data_dir / "jobs").iterdir()]
    launches = list((server.data_dir / "run" / "launches").glob("*.*"))
    if len(launches) > deployments:
        found.append(f"launches {[path.name for path in launches]}")
    return found
