"""Run by the real MLflow, of 2.22 and of 3: fills the store MLFLOW_TRACKING_URI leads to (fill), or prints what its client sees (show)."""

import hashlib
import json
import os
import sys
import tempfile

import mlflow
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import ViewType

CLIENT = mlflow.MlflowClient()
THREE = int(mlflow.__version__.split(".")[0]) >= 3


def fill():
    mlflow.set_experiment("first one")
    CLIENT.set_experiment_tag(CLIENT.get_experiment_by_name("first one").experiment_id, "team", "red")
    with mlflow.start_run(run_name="parent") as run:
        mlflow.log_params({"lr": 0.1, "a/b": "x\ny é"})
        batch = [mlflow.entities.Metric("loss", 1 / (i + 1), 1_700_000_000_000 + i, i) for i in range(900)]
        CLIENT.log_batch(run.info.run_id, batch)
        mlflow.log_metric("odd/one", float("nan"))
        mlflow.log_metric("odd/one", -2.5, step=-3)
        mlflow.set_tag("k", "v")
        mlflow.log_input(MetaDataset(HTTPDatasetSource("http://x.test/y"), name="ds", digest="d1"), context="train")
        with tempfile.TemporaryDirectory() as folder:
            for name, data in (("f é.txt", b"hello"), ("big.bin", bytes(range(256)) * 9000), ("empty", b"")):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(data)
            mlflow.log_artifacts(folder, "sub dir")
        with mlflow.start_run(run_name="child", nested=True):
            mlflow.log_metric("m", 1.0)
    with mlflow.start_run(run_name="gone") as gone:
        pass
    CLIENT.delete_run(gone.info.run_id)
    CLIENT.delete_experiment(CLIENT.create_experiment("deleted one"))
    CLIENT.create_registered_model("net", tags={"t": "1"}, description="what it is")
    version = CLIENT.create_model_version("net", f"runs:/{run.info.run_id}/sub dir", run.info.run_id, description="v", tags={"vt": "1"})
    CLIENT.set_registered_model_alias("net", "champion", version.version)
    CLIENT.transition_model_version_stage("net", version.version, "Production")
    if THREE:
        fill_three()


def fill_three():
    @mlflow.trace
    def asked(x):
        with mlflow.start_span("inner", span_type="LLM") as span:
            span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
            span.set_attribute("n", 2.5)
        return {"y": x}

    with mlflow.start_run(run_name="three") as run:
        asked(3)
        model = mlflow.initialize_logged_model(name="lm", params={"p": "1"}, tags={"q": "w"})
        mlflow.log_metric("acc", 0.7, model_id=model.model_id)
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "MLmodel"), "w") as file:
                file.write("flavors: {}")
            CLIENT.log_model_artifacts(model.model_id, folder)
        CLIENT.finalize_logged_model(model.model_id, "READY")
        CLIENT.create_model_version("net", f"models:/{model.model_id}", run.info.run_id, model_id=model.model_id)
    mlflow.flush_trace_async_logging()
    mlflow.log_feedback(trace_id=mlflow.get_last_active_trace_id(), name="good", value=True, rationale="r")
    mlflow.genai.register_prompt(name="greeting", template="hi {{x}}")


def show():
    out = {}
    found = CLIENT.search_experiments(view_type=ViewType.ALL)
    for e in found:
        if e.name != "Default":
            out[f"experiment {e.name}"] = [e.experiment_id, e.lifecycle_stage, e.tags, e.creation_time]
    for run in CLIENT.search_runs([e.experiment_id for e in found], run_view_type=ViewType.ALL):
        i = run.info
        out[f"run {i.run_id}"] = [i.experiment_id, i.run_name, i.status, i.lifecycle_stage, i.start_time, i.end_time, i.user_id, run.data.params, run.data.tags]
        out[f"inputs {i.run_id}"] = [[d.dataset.to_dictionary(), sorted((t.key, t.value) for t in d.tags)] for d in run.inputs.dataset_inputs]
        for key in run.data.metrics:
            history = [(m.timestamp, m.step, str(m.value)) for m in CLIENT.get_metric_history(i.run_id, key)]
            out[f"metric {i.run_id} {key}"] = [sorted(history), str(run.data.metrics[key])]
        if CLIENT.list_artifacts(i.run_id):  # the client of 2.22 takes an empty folder of a server for a file
            out[f"files {i.run_id}"] = hashes(CLIENT.download_artifacts(i.run_id, ""))
    for model in CLIENT.search_registered_models():
        out[f"registered {model.name}"] = [model.description, model.tags, {k: str(v) for k, v in model.aliases.items()}, model.creation_timestamp, model.last_updated_timestamp]
    for v in CLIENT.search_model_versions():
        out[f"version {v.name} {v.version}"] = [v.description or "", v.tags, v.run_id, v.current_stage, v.source, v.creation_timestamp, v.last_updated_timestamp]
        out[f"files of {v.name} {v.version}"] = hashes(mlflow.artifacts.download_artifacts(f"models:/{v.name}/{v.version}"))
    if THREE:
        show_three(out, [e.experiment_id for e in found if e.lifecycle_stage == "active"])
    print("SHOWN" + json.dumps(out, default=str, sort_keys=True))


def show_three(out, ids):
    for m in CLIENT.search_logged_models(ids):
        measured = [(x.key, x.value, x.step, x.timestamp, x.run_id) for x in m.metrics]
        out[f"model {m.model_id}"] = [m.name, str(m.status), m.source_run_id, m.params, m.tags, m.creation_timestamp, m.last_updated_timestamp, measured]
    for trace in mlflow.search_traces(locations=ids, return_type="list"):
        out[f"trace {trace.info.trace_id}"] = {k: v for k, v in trace.info.to_dict().items() if k != "tags"} | {"tags": {k: v for k, v in trace.info.tags.items() if "artifactLocation" not in k}}
        out[f"spans {trace.info.trace_id}"] = [span.to_dict() for span in trace.data.spans]
    prompt = mlflow.genai.load_prompt("prompts:/greeting/1")
    out["prompt"] = [prompt.template, prompt.tags]


def hashes(folder):
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    return found


{"fill": fill, "show": show}[sys.argv[1]]()
