"""What this process knows of a server's runs, experiments and logged models: from the server's answers, and from what it has logged itself.
While the server is away, calls are answered from it.

Answers have the shape of MLflow's REST API. Nothing is made up that the server would not say, but for where artifacts go: things named here
have the server's own proxy as the address of their artifacts.
"""

from __future__ import annotations

import collections
import copy
import time

from lazward_mlflow.calls import ARTIFACTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MOST = 500  # runs, and models, of which the last ones used are remembered
_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_ENDED = ("FINISHED", "FAILED", "KILLED")


class Run:
    def __init__(self, info: dict[str, Any]):
        self.info = info
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.metrics: dict[str, dict[str, Any]] = {}
        self.datasets: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def answer(self) -> dict[str, Any]:
        return {
            "info": dict(self.info),
            "data": {"metrics": list(self.metrics.values()), "params": _pairs(self.params), "tags": _pairs(self.tags)},
            "inputs": {"dataset_inputs": self.datasets, "model_inputs": self.inputs}, "outputs": {"model_outputs": self.outputs},
        }


class Known:
    """base: of the server. environ: of the process; in a job it names the run and the experiment."""

    def __init__(self, base: str, environ: Mapping[str, str]):
        self.base = base
        self.environ = environ
        self.runs: collections.OrderedDict[str, Run] = collections.OrderedDict()
        self.models: collections.OrderedDict[str, dict[str, Any]] = collections.OrderedDict()
        self.experiments: dict[str, dict[str, Any]] = {}

    # ---- from the server ------------------------------------------------------------------------------------------------

    def learn(self, name: str, answer: dict[str, Any]) -> None:
        """An answer of the server."""
        if name in ("runs/create", "runs/get") and isinstance(answer.get("run"), dict):
            given = answer["run"]
            run = Run(dict(given.get("info") or {}))
            data = given.get("data") or {}
            run.params, run.tags = _dict(data.get("params")), _dict(data.get("tags"))
            run.metrics = {m["key"]: m for m in data.get("metrics") or ()}
            run.datasets = list((given.get("inputs") or {}).get("dataset_inputs") or ())
            run.inputs = list((given.get("inputs") or {}).get("model_inputs") or ())
            run.outputs = list((given.get("outputs") or {}).get("model_outputs") or ())
            _keep(self.runs, run.info.get("run_id") or run.info.get("run_uuid"), run)
        elif name == "runs/update" and isinstance(answer.get("run_info"), dict):
            known = self.runs.get(answer["run_info"].get("run_id", ""))
            if known:
                known.info = dict(answer["run_info"])
        elif name in ("experiments/get", "experiments/get-by-name") and isinstance(answer.get("experiment"), dict):
            self.experiments[answer["experiment"]["experiment_id"]] = answer["experiment"]
        elif name.startswith("logged-models") and isinstance(answer.get("model"), dict) and "info" in answer["model"]:
            _keep(self.models, answer["model"]["info"].get("model_id"), answer["model"])

    # ---- what is logged here --------------------------------------------------------------------------------------------

    def log(self, name: str, body: dict[str, Any], own: str | None = None) -> dict[str, Any]:
        """Takes note of a write and returns what the server would answer, as far as clients look at it. own: the id of what is made."""
        if name == "runs/create":
            return {"run": self._create_run(body, own or "")}
        if name == "experiments/create":
            self.experiments[own or ""] = {
                "experiment_id": own, "name": body.get("name", ""), "artifact_location": body.get("artifact_location") or self._artifacts(own or ""),
                "lifecycle_stage": "active", "tags": copy.copy(body.get("tags") or []), "creation_time": _now(), "last_update_time": _now(),
            }
            return {"experiment_id": own}
        if name.startswith("runs/"):
            return self._log_run(name, body)
        if name.startswith("logged-models"):
            return self._log_model(name, body, own)
        if name.startswith("traces"):
            return self._log_trace(name, body, own)
        return {}

    def _create_run(self, body: dict[str, Any], own: str) -> dict[str, Any]:
        tags = _dict(body.get("tags"))
        name = body.get("run_name") or tags.get("mlflow.runName") or f"run-{own[:8]}"
        run = Run({
            "run_id": own, "run_uuid": own, "run_name": name, "experiment_id": body.get("experiment_id") or "0", "user_id": body.get("user_id", ""),
            "status": "RUNNING", "start_time": body.get("start_time") or 0, "lifecycle_stage": "active", "artifact_uri": self._artifacts(own),
        })
        run.tags = {**tags, "mlflow.runName": name}
        _keep(self.runs, own, run)
        return run.answer()

    def _log_run(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(body.get("run_id") or body.get("run_uuid") or "")
        if run is None:
            if name != "runs/update":
                return {}
            return {"run_info": self._unknown_run(str(body.get("run_id") or "")).info}
        if name == "runs/update":
            status = body.get("status")
            run.info["status"] = _STATUS.get(status, status) if isinstance(status, int) else status or run.info.get("status")
            if run.info["status"] not in _ENDED:
                run.info.pop("end_time", None)
            if body.get("end_time"):
                run.info["end_time"] = body["end_time"]
            if body.get("run_name"):
                run.info["run_name"] = run.tags["mlflow.runName"] = body["run_name"]
            return {"run_info": run.info}
        metrics, params, tags = body.get("metrics") or [], body.get("params") or [], body.get("tags") or []
        if name == "runs/log-metric":
            metrics = [{k: body[k] for k in ("key", "value", "timestamp", "step") if k in body}]
        elif name == "runs/log-parameter":
            params = [body]
        elif name == "runs/set-tag":
            tags = [body]
        elif name == "runs/delete-tag":
            run.tags.pop(body.get("key", ""), None)
        elif name == "runs/log-inputs":
            run.datasets += body.get("datasets") or []
            run.inputs += body.get("models") or []
        elif name == "runs/outputs":
            run.outputs += body.get("models") or []
        for metric in metrics:
            before = run.metrics.get(metric["key"])
            if before is None or _rank(metric) >= _rank(before):
                run.metrics[metric["key"]] = metric
        for param in params:
            run.params.setdefault(param["key"], param.get("value", ""))
        run.tags.update(_dict(tags))
        return {}

    def _log_model(self, name: str, body: dict[str, Any], own: str | None) -> dict[str, Any]:
        if name == "logged-models":
            model = {
                "info": {
                    "model_id": own, "experiment_id": body.get("experiment_id", "0"), "name": body.get("name") or f"model-{(own or '')[2:10]}",
                    "creation_timestamp_ms": _now(), "last_updated_timestamp_ms": _now(), "artifact_uri": self._artifacts(own or ""),
                    "status": "LOGGED_MODEL_PENDING", "model_type": body.get("model_type", ""), "source_run_id": body.get("source_run_id", ""),
                    "tags": list(body.get("tags") or ()),
                },
                "data": {"params": list(body.get("params") or ()), "metrics": []},
            }
            _keep(self.models, own, model)
            return {"model": model}
        _, _, rest = name.partition("/")
        model_id, _, what = rest.partition("/")
        known = self.models.get(model_id)
        if known is None:
            return {"model": {"info": {"model_id": model_id}, "data": {}}}
        if what == "params":
            known["data"]["params"] = known["data"].get("params", []) + list(body.get("params") or ())
            return {}
        if what == "tags":
            known["info"]["tags"] = _pairs({**_dict(known["info"].get("tags")), **_dict(body.get("tags"))})
        elif body.get("status"):
            known["info"]["status"] = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}.get(body["status"], body["status"])
        known["info"]["last_updated_timestamp_ms"] = _now()
        return {"model": known}

    def _log_trace(self, name: str, body: dict[str, Any], own: str | None) -> dict[str, Any]:
        if name == "traces" and "trace" in body:
            info = dict(body["trace"].get("trace_info") or {})
            info["tags"] = {**(info.get("tags") or {}), "mlflow.artifactLocation": self._artifacts(info.get("trace_id", ""))}
            return {"trace": {"trace_info": info}}
        if name == "traces":
            tags = [*(body.get("tags") or []), {"key": "mlflow.artifactLocation", "value": self._artifacts(own or "")}]
            return {"trace_info": {**{k: v for k, v in body.items() if k != "lazward_id"}, "request_id": own, "status": "IN_PROGRESS", "tags": tags}}
        if name.endswith("/assessments"):
            return {"assessment": {**(body.get("assessment") or body), "assessment_id": own}}
        if name.endswith("/tags"):
            return {}
        return {"trace_info": {**body, "request_id": name.partition("/")[2]}}

    # ---- reads ----------------------------------------------------------------------------------------------------------

    def answer(self, name: str, query: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is known in answer to a read; None when nothing is."""
        if name == "runs/get":
            run_id = str(query.get("run_id") or query.get("run_uuid") or "")
            if run_id in self.runs:
                return {"run": self.runs[run_id].answer()}
            if run_id and run_id == self.environ.get("MLFLOW_RUN_ID"):  # the job's own: it is there, though we have never seen it
                return {"run": self._unknown_run(run_id).answer()}
        elif name == "experiments/get":
            found = self._experiment(str(query.get("experiment_id") or ""))
            return {"experiment": found} if found else None
        elif name == "experiments/get-by-name":
            wanted = query.get("experiment_name")
            if wanted == "Default":
                return {"experiment": self._experiment("0")}
            if wanted and wanted == self.environ.get("MLFLOW_EXPERIMENT_NAME") and self.environ.get("MLFLOW_EXPERIMENT_ID"):
                return {"experiment": self._experiment(self.environ["MLFLOW_EXPERIMENT_ID"])}
            for experiment in self.experiments.values():
                if experiment["name"] == wanted:
                    return {"experiment": experiment}
        elif name.startswith("logged-models/") and name.count("/") == 1:
            model = self.models.get(name.partition("/")[2])
            return {"model": model} if model else None
        return None

    def _experiment(self, id_: str) -> dict[str, Any] | None:
        if id_ in self.experiments:
            return self.experiments[id_]
        if id_ == "0":
            name = "Default"
        elif id_ and id_ == self.environ.get("MLFLOW_EXPERIMENT_ID"):
            name = self.environ.get("MLFLOW_EXPERIMENT_NAME", "")
        else:
            return None
        return {"experiment_id": id_, "name": name, "artifact_location": self._artifacts(id_), "lifecycle_stage": "active", "tags": []}

    def _unknown_run(self, run_id: str) -> Run:
        run = Run({
            "run_id": run_id, "run_uuid": run_id, "run_name": run_id, "experiment_id": self.environ.get("MLFLOW_EXPERIMENT_ID", "0"), "user_id": "",
            "status": "RUNNING", "start_time": _now(), "lifecycle_stage": "active", "artifact_uri": self._artifacts(run_id),
        })
        _keep(self.runs, run_id, run)
        return run

    def _artifacts(self, root: str) -> str:
        return f"{self.base}{ARTIFACTS}{root}/artifacts"


def _keep(into: collections.OrderedDict[str, Any], key: Any, value: Any) -> None:
    if isinstance(key, str) and key:
        into[key] = value
        into.move_to_end(key)
        while len(into) > MOST:
            into.popitem(last=False)


def _dict(pairs: Any) -> dict[str, str]:
    return {p["key"]: p.get("value", "") for p in pairs or () if isinstance(p, dict) and "key" in p}


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": k, "value": v} for k, v in list(values.items())]  # other threads may log at this moment


def _rank(metric: Mapping[str, Any]) -> tuple[int, int]:
    return int(metric.get("step") or 0), int(metric.get("timestamp") or 0)


def _now() -> int:
    return int(time.time() * 1000)
