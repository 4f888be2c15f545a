"""A server in memory that takes what a drain sends, as ours would: it remembers every call, and makes what is created. Faults are given by
the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from lazward_mlflow import calls, places
from lazward_mlflow.journal import Journal

API = "/api/2.0/mlflow/"
BASE = "http://server.test:1/mlflow/workspaces/w"


class StandIn:
    """names_itself: as MLflow's own server, it gives ids of its own and knows nothing of ours."""

    def __init__(self, names_itself: bool = False):
        self.names_itself = names_itself
        self.calls: list[tuple[str, Any]] = []  # (name, body) of every call that was taken
        self.experiments: dict[str, str] = {"Default": "0"}
        self.metrics: dict[str, list[tuple[str, float, int]]] = {}
        self.params: dict[tuple[str, str], str] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.files: dict[str, bytes] = {}
        self.fault: Callable[[str, Any], tuple[int, bytes] | None] = lambda name, body: None

    def __call__(self, method: str, path: str, body: Any, headers: Any, size: int = 0) -> tuple[int, bytes]:
        data = body.read() if hasattr(body, "read") else body
        path, _, query = path.partition("?")
        name = calls.name_of(path)
        asked = {k: v[0] for k, v in parse_qs(query).items()} if query else json.loads(data) if data and not name.startswith("files/") else {}
        if (fault := self.fault(name, asked)) is not None:
            return fault
        self.calls.append((name, asked))
        if name.startswith("files/"):
            self.files[path.partition("/artifacts/artifacts/")[2] or path.partition("/mlflow-artifacts/artifacts/")[2]] = data
            return 200, b"{}"
        return self.answer(name, asked)

    def answer(self, name: str, body: dict[str, Any]) -> tuple[int, bytes]:
        if name == "experiments/create":
            if body["name"] in self.experiments:
                return error(400, "RESOURCE_ALREADY_EXISTS")
            self.experiments[body["name"]] = str(len(self.experiments)) if self.names_itself else body["lazward_id"]
            return ok(experiment_id=self.experiments[body["name"]])
        if name == "experiments/get-by-name":
            return ok(experiment={"experiment_id": self.experiments[body["experiment_name"]]})
        if name == "experiments/get":
            return ok(experiment={"experiment_id": "0"})
        if name == "runs/create":
            run_id = f"theirs{len(self.metrics)}" if self.names_itself else body["lazward_id"]
            self.metrics.setdefault(run_id, [])
            return ok(run={"info": {"run_id": run_id, "experiment_id": body["experiment_id"]}})
        run_id = body.get("run_id", "")
        if run_id not in self.metrics:
            return error(404, "RESOURCE_DOES_NOT_EXIST")
        single = {"runs/log-metric": ("metrics", body), "runs/log-parameter": ("params", body), "runs/set-tag": ("tags", body)}.get(name)
        wanted = {single[0]: [single[1]]} if single else body
        for param in wanted.get("params", ()):
            if self.params.get((run_id, param["key"]), param["value"]) != param["value"]:
                return error(400, "INVALID_PARAMETER_VALUE")
        self.params.update({(run_id, p["key"]): p["value"] for p in wanted.get("params", ())})
        self.tags.update({(run_id, t["key"]): t["value"] for t in wanted.get("tags", ())})
        for m in wanted.get("metrics", ()):
            value = (m["key"], m["value"], m["step"])
            if value not in self.metrics[run_id]:
                self.metrics[run_id].append(value)
        return ok()

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def ok(**answer: Any) -> tuple[int, bytes]:
    return 200, json.dumps(answer).encode()


def error(status: int, code: str) -> tuple[int, bytes]:
    return status, json.dumps({"error_code": code, "message": f"{code} it is"}).encode()


RUN = "ab" * 16


def metric(key: str, value: float, step: int = 0, run: str = RUN) -> dict[str, Any]:
    return post("runs/log-metric", run_id=run, run_uuid=run, key=key, value=value, step=step, timestamp=1)


def param(key: str, value: str, run: str = RUN) -> dict[str, Any]:
    return post("runs/log-parameter", run_id=run, key=key, value=value)


def tag(key: str, value: str, run: str = RUN) -> dict[str, Any]:
    return post("runs/set-tag", run_id=run, key=key, value=value)


def create_run(run: str = RUN, experiment: str = "0") -> dict[str, Any]:
    return post("runs/create", experiment_id=experiment, lazward_id=run) | {"o": run}


def post(name: str, /, **body: Any) -> dict[str, Any]:
    return {"m": "POST", "p": API + name, "b": body}


def left_behind(folder: Path, *records: dict[str, Any], base: str = BASE) -> places.Place:
    """The place of a process that was killed after it had kept these."""
    place = places.make(str(folder), base)
    journal = Journal(place.journal)
    for record in records:
        journal.append(record)
    journal.close()
    place.release()
    return place
