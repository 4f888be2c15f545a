"""Workspaces with something of everything in them, made by MLflow's calls, and what is in a workspace by the same calls."""

from __future__ import annotations

import base64
from typing import Any

from tests.control_plane import Plane

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Tracking:
    """MLflow's calls in one workspace."""

    def __init__(self, plane: Plane, workspace: str):
        self.plane, self.workspace, self.key = plane, workspace, workspace.lower()
        self.base = f"/mlflow/plain{workspace}/api"

    def post(self, path: str, api: str = "2.0", /, method: str = "POST", **body: Any) -> Any:
        return self.plane.ok(method, f"{self.base}/{api}/mlflow/{path}", body).json

    def get(self, path: str, api: str = "2.0", /, **query: Any) -> Any:
        words = "&".join(f"{k}={v}" for k, v in query.items())
        return self.plane.ok("GET", f"{self.base}/{api}/mlflow/{path}?{words}").json

    def put_file(self, root: str, path: str, data: bytes) -> None:
        self.plane.ok("PUT", f"{self.base}/2.0/mlflow-artifacts/artifacts/{root}/artifacts/{path}", data)

    def file(self, root: str, path: str) -> bytes:
        return self.plane.ok("GET", f"{self.base}/2.0/mlflow-artifacts/artifacts/{root}/artifacts/{path}").body

    def run(self, experiment: str, **more: Any) -> str:
        return self.post("runs/create", experiment_id=experiment, start_time=1_700_000_000_123, **more)["run"]["info"]["run_id"]

    def fill(self) -> dict[str, str]:
        """Ids by name."""
        experiment = self.post("experiments/create", name="vision", tags=[{"key": "team", "value": "red"}])["experiment_id"]
        parent = self.run(experiment, run_name="parent", tags=[{"key": "note", "value": "é\n"}])
        run = self.run(experiment, run_name="child", tags=[{"key": "mlflow.parentRunId", "value": parent}])
        gone = self.run("0")
        self.post("runs/log-batch", run_id=run, params=[{"key": "lr", "value": "0.1"}], metrics=[
            *({"key": "loss", "value": 1 / (i + 1), "step": i, "timestamp": 1_700_000_000_000 + i} for i in range(900)),
        ])
        self.post("runs/log-batch", run_id=run, metrics=[
            *({"key": "loss", "value": 5.0 + i, "step": 1000 + i, "timestamp": 1_700_000_001_000 + i} for i in range(990)),
            {"key": "odd", "value": "NaN", "step": 1, "timestamp": 5}, {"key": "odd", "value": "Infinity", "step": 2, "timestamp": 6},
            {"key": "odd", "value": -3.5, "step": -1, "timestamp": 7},
        ])
        dataset = {"name": "iris", "digest": "abc", "source_type": "http", "source": "{}", "schema": "s", "profile": "p"}
        self.post("runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "train"}]}])
        model = self.post("logged-models", experiment_id=experiment, name="net", source_run_id=run, params=[{"key": "d", "value": "3"}], tags=[{"key": "t", "value": "u"}])
        model_id = model["model"]["info"]["model_id"]
        other = self.post("logged-models", experiment_id=experiment, name="net", source_run_id=run)["model"]["info"]["model_id"]
        self.post(f"logged-models/{model_id}", method="PATCH", model_id=model_id, status="LOGGED_MODEL_READY")
        self.post("runs/outputs", run_id=run, models=[{"model_id": model_id, "step": 7}])
        self.post("runs/log-metric", run_id=run, key="acc", value=0.5, step=3, timestamp=9, model_id=model_id, dataset_name="iris", dataset_digest="abc")
        self.put_file(run, "plots/a%20b%20%C3%A9.png", bytes(range(256)) * 9000)  # more than one piece
        self.put_file(run, "empty.txt", b"")
        self.put_file(model_id, "MLmodel", b"flavors: {}")
        self.put_file(other, "MLmodel", b"flavors: other")
        self.post("runs/update", run_id=run, status="FINISHED", end_time=1_700_000_100_000)
        self.post("runs/delete", run_id=gone)
        self.registry(run, model_id)
        self.genai(experiment, run)
        return {"experiment": experiment, "run": run, "parent": parent, "gone": gone, "model": model_id, "other": other}

    def registry(self, run: str, model_id: str) -> None:
        self.post("registered-models/create", name="net", description="d", tags=[{"key": "k", "value": "v"}])
        for source in (f"runs:/{run}/plots", f"models:/{model_id}"):
            self.post("model-versions/create", name="net", source=source, description=source, tags=[{"key": "s", "value": "1"}])
        self.post("registered-models/alias", name="net", alias="champion", version="2")
        self.post("model-versions/transition-stage", name="net", version="1", stage="Staging")
        self.post("registered-models/create", name="greet", tags=[{"key": "mlflow.prompt.is_prompt", "value": "true"}])
        self.post("model-versions/create", name="greet", source="dummy-source", tags=[
            {"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "Hi {{name}}"},
        ])

    def genai(self, experiment: str, run: str) -> None:
        info = {
            "trace_id": f"tr-{TRACE}", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
            "request_time": "2026-01-02T03:04:05.678Z", "execution_duration": "1.5s", "state": "OK", "request_preview": "q", "response_preview": "a",
            "trace_metadata": {"mlflow.sourceRun": run}, "tags": {"mlflow.traceName": "chat", "x": "y"},
            "assessments": [{"assessment_name": "good", "feedback": {"value": True}, "source": {"source_type": "HUMAN", "source_id": "me"}, "rationale": "why"}],
        }
        self.post("traces", "3.0", trace={"trace_info": info})
        span = {
            "traceId": TRACE, "spanId": "b7ad6b7169203331", "name": "chat", "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001000000000",
            "attributes": [{"key": "mlflow.spanInputs", "value": {"stringValue": '{"q": 1}'}}],
        }
        otlp = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        headers = {"x-mlflow-experiment-id": experiment, "content-type": "application/json"}
        self.plane.ok("POST", f"/mlflow/plain{self.workspace}/v1/traces", otlp, headers=headers)
        made = self.post("datasets/create", "3.0", name="questions", experiment_ids=[experiment])["dataset"]["dataset_id"]
        records = [{"inputs": {"q": i}, "expectations": {"a": i}} for i in range(250)]
        import json

        self.post(f"datasets/{made}/records", "3.0", dataset_id=made, records=json.dumps(records))
        self.post("scorers/register", "3.0", experiment_id=experiment, name="judge", serialized_scorer=json.dumps({"name": "judge", "builtin_scorer_class": "Safety"}))
        for version, status in (("1.0.0", "active"), ("1.1.0", "draft")):
            doc = {"name": "com.example/tool", "version": version, "remotes": [{"type": "sse", "url": "https://a.example"}], "_meta": {"z": 1, "a": 2}}
            self.post("mcp-servers/com.example%2Ftool/versions", "3.0", server_json=doc, status=status, tools=[{"name": "t"}])
        self.post("mcp-servers/com.example%2Ftool/aliases", "3.0", alias="prod", version="1.0.0")
        self.post("mcp-servers/com.example%2Ftool/tags", "3.0", key="team", value="a")
        self.post("mcp-servers/com.example%2Ftool/endpoints", "3.0", url="https://a.example", server_alias="prod")

    # ---- what is there ------------------------------------------------------------------------------------------------------

    def seen(self) -> dict[str, Any]:
        """What MLflow's calls tell, without what names the workspace or counts its own steps."""
        out: dict[str, Any] = {}
        for e in self.get("experiments/search", max_results=1000, view_type="ALL")["experiments"]:
            e.pop("artifact_location")
            if e["experiment_id"] == "0":
                e.pop("creation_time"), e.pop("last_update_time")
            out["experiment", e["name"]] = e
        ids = [e["experiment_id"] for e in out.values()]
        for run in self.post("runs/search", experiment_ids=ids, run_view_type="ALL", max_results=1000).get("runs", []):
            id_ = run["info"]["run_id"]
            out["run", id_] = run
            for key in {m["key"] for m in run["data"].get("metrics", [])}:
                out["history", id_, key] = self.get("metrics/get-history", run_id=id_, metric_key=key, max_results=25000)
            out["sampled", id_] = self.get("metrics/get-history-bulk-interval", run_ids=id_, metric_key="loss", max_results=100)
            out["files", id_] = self.files(id_)
        for model in self.post("logged-models/search", experiment_ids=ids, max_results=50).get("models", []):
            out["model", model["info"]["model_id"]] = model
            out["files", model["info"]["model_id"]] = self.files(model["info"]["model_id"])
        for model in self.get("registered-models/search", max_results=100).get("registered_models", []):
            out["registered", model["name"]] = model
        for version in self.get("model-versions/search", max_results=100).get("model_versions", []):
            out["version", version["name"], version["version"]] = version
            out["version files", version["name"], version["version"]] = self.files(f"{version['name']}:{version['version']}")
        prompts = self.get("registered-models/search", filter="tags.`mlflow.prompt.is_prompt`%20=%20'true'")
        out["prompts"] = prompts.get("registered_models")
        out["traces"] = self.post("traces/search", "3.0", locations=[{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": i}} for i in ids])
        out["spans"] = [self.get("traces/get", "3.0", trace_id=t["trace_id"]) for t in out["traces"].get("traces", [])]
        for dataset in self.post("datasets/search", "3.0", experiment_ids=ids).get("datasets", []):
            out["dataset", dataset["name"]] = dataset
            out["records", dataset["name"]] = self.get(f"datasets/{dataset['dataset_id']}/records", "3.0", max_results=1000)
        out["scorers"] = [{**one, "experiment_id": i} for i in sorted(e["experiment_id"] for w, e in out.items() if w[0] == "experiment" and e["lifecycle_stage"] == "active") for one in self.get("scorers/list", "3.0", experiment_id=i).get("scorers", [])]
        out["mcp servers"] = self.get("mcp-servers", "3.0")["mcp_servers"]
        out["mcp versions"] = self.get("mcp-servers/com.example%2Ftool/versions", "3.0")["mcp_server_versions"]
        return out

    def files(self, root: str) -> dict[str, str]:
        found: dict[str, str] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            listed = self.plane.ok("GET", f"{self.base}/2.0/mlflow-artifacts/artifacts?path={root}/artifacts/{folder}").json
            for entry in listed.get("files", []):
                path = f"{folder}/{entry['path']}".lstrip("/")
                if entry.get("is_dir"):
                    folders.append(path)
                else:
                    from urllib.parse import quote

                    found[path] = base64.b64encode(self.file(root, quote(path))).decode()[:4000] + str(entry["file_size"])
        return found
