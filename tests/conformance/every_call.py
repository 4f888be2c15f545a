"""Every call of MLflow's client, said to the server of the environment; what came back is written down, ids and times put aside, so that
two servers can be compared call by call. Run by test_every_call.py, in an environment with the newest MLflow: every_call.py OUTPUT."""

from __future__ import annotations

import json
import math
import re
import sys
import warnings
from enum import Enum
from pathlib import Path
from typing import Any

import mlflow
from every_call_genai import datasets, prompts, traces, webhooks
from every_call_mcp import mcp_servers
from every_call_models import artifacts, registry
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
    ViewType,
)

HEX = re.compile(r"(?:m-|tr-|d-|a-|wh-)?[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIMES = re.compile(r"(time|timestamp|_ms|_ns|created|updated|creation|last_update)", re.IGNORECASE)
PLACES = re.compile(r"(artifact_uri|artifact_location|artifact_root|^source$|root_uri|download_uri|^uri$)")



class Record:
    """What was asked and answered, in order. Ids become <1>, <2>, ... as they are first seen."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self._ids: dict[str, str] = {}
        self._experiments: dict[str, str] = {"0": "default"}
        self.said: set[str] = set()

    def __call__(self, label: str, call: Any, *args: Any, show: Any = None, **kwargs: Any) -> Any:
        """Returns what the call returned, None when it was refused. show: what of it is written down."""
        self.said.add(getattr(call, "__name__", ""))
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            code = getattr(error, "error_code", None) or type(error).__name__
            self.answers.append({"call": label, "refused": code, "said": str(error)[:300]})
            return None
        self.answers.append({"call": label, "answer": self.plain(show(result) if show and result is not None else result)})
        return result

    def experiment(self, id_: str | None, name: str) -> None:
        if id_ is not None:
            self._experiments[str(id_)] = name

    def plain(self, value: Any, key: str = "") -> Any:
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, (int, float)):
            if TIMES.search(key) and value > 1_000_000_000:
                return "TIME"
            return str(value) if isinstance(value, float) and not math.isfinite(value) else value
        if isinstance(value, str):
            if "experiment_id" in key:
                return self._experiments.get(value, value)
            if PLACES.search(key) and ":/" in value and not value.startswith(("models:", "runs:", "prompts:")):
                return "PLACE"
            return HEX.sub(lambda match: self._ids.setdefault(match.group(), f"<{len(self._ids) + 1}>"), value)
        if isinstance(value, dict):
            return {self.plain(str(k)): self.plain(v, f"{key}.{k}") for k, v in sorted(value.items(), key=lambda pair: str(pair[0]))}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.plain(item, key) for item in value]
        if isinstance(value, Enum):
            return value.name
        try:
            return self.plain(dict(value), key)
        except (TypeError, ValueError):
            facts = {name: getattr(value, name) for name in dir(value) if not name.startswith("_") and isinstance(getattr(type(value), name, None), property)}
            return self.plain(facts or vars(value) if hasattr(value, "__dict__") else str(value), key)


def experiments(client: MlflowClient, do: Record) -> str:
    do("get_experiment of the default", client.get_experiment, "0", show=lambda e: (e.name, e.lifecycle_stage))
    made = do("create_experiment", client.create_experiment, "first", tags={"team": "a", "k": "v"}, show=lambda _: "id")
    do.experiment(made, "first")
    do("create_experiment again", client.create_experiment, "first")
    do("create_experiment without a name", client.create_experiment, "")
    blank = do("create_experiment of blanks", client.create_experiment, "  ", show=lambda _: "id")
    if blank:
        client.rename_experiment(blank, "blank")
        client.delete_experiment(blank)
    do("create_experiment with a long name", client.create_experiment, "x" * 501)
    other = do("create_experiment other", client.create_experiment, "other", show=lambda _: "id")
    do.experiment(other, "other")
    do("get_experiment", client.get_experiment, made)
    do("get_experiment unknown", client.get_experiment, "12345678")
    do("get_experiment_by_name", client.get_experiment_by_name, "first")
    do("get_experiment_by_name unknown", client.get_experiment_by_name, "nothing")
    do("set_experiment_tag", client.set_experiment_tag, made, "owner", "me")
    do("set_experiment_tag, long", client.set_experiment_tag, made, "long", "x" * 5000)
    do("set_experiment_tag, bad key", client.set_experiment_tag, made, "a/../b", "1")
    do("delete_experiment_tag", client.delete_experiment_tag, made, "k")
    do("delete_experiment_tag unknown", client.delete_experiment_tag, made, "k")
    do("get_experiment with tags", client.get_experiment, made, show=lambda e: {k: len(v) for k, v in e.tags.items()})
    do("rename_experiment", client.rename_experiment, other, "renamed")
    do("rename_experiment to a name that is taken", client.rename_experiment, other, "first")
    names = lambda found: [e.name for e in found]  # noqa: E731
    for text in ("name = 'first'", "name LIKE 'fir%'", "name ILIKE 'FIR%'", "tags.team = 'a'", "tag.team != 'a'", "name = 'first' AND tags.team = 'a'", "creation_time > 0", "name != 'first'"):
        do(f"search_experiments {text}", client.search_experiments, filter_string=text, order_by=["name ASC"], show=names)
    for text in ("name > 'a'", "nothing = 'x'", "name = first", "tags.team = 1", "AND", "name = 'a' OR", "creation_time = 'x'"):
        do(f"search_experiments refused {text}", client.search_experiments, filter_string=text, show=lambda found: len(found) > 0)
    for order in (["name DESC"], ["creation_time ASC"], ["experiment_id DESC", "name"], ["last_update_time DESC"]):
        do(f"search_experiments by {order}", client.search_experiments, order_by=order, show=lambda found: sorted(e.name for e in found))
    do("search_experiments by nothing", client.search_experiments, order_by=["nothing"])
    page = do("search_experiments, a page", client.search_experiments, max_results=1, order_by=["name ASC"], show=names)
    do("search_experiments, the next", client.search_experiments, max_results=1, order_by=["name ASC"], page_token=page.token, show=names)
    do("search_experiments, bad token", client.search_experiments, page_token="nonsense")
    for count in (0, -1, 50_001):
        do(f"search_experiments, {count} results", client.search_experiments, max_results=count)
    do("delete_experiment", client.delete_experiment, other)
    do("delete_experiment again", client.delete_experiment, other)
    do("delete_experiment unknown", client.delete_experiment, "12345678")
    do("search_experiments deleted", client.search_experiments, view_type=ViewType.DELETED_ONLY, show=lambda found: [e.name for e in found if e.name != "blank"])
    do("search_experiments all", client.search_experiments, view_type=ViewType.ALL, order_by=["name ASC"], show=lambda found: [e.name for e in found if e.name != "blank"])
    do("create_run in a deleted experiment", client.create_run, other)
    do("set_experiment_tag of a deleted one", client.set_experiment_tag, other, "a", "b")
    do("restore_experiment", client.restore_experiment, other)
    do("restore_experiment again", client.restore_experiment, other)
    return made


def run_facts(run: Any) -> Any:
    return {"info": run.info, "params": run.data.params, "metrics": run.data.metrics, "tags": {k: v for k, v in run.data.tags.items() if k not in ("mlflow.user", "mlflow.source.name")}}


def runs(client: MlflowClient, do: Record, experiment: str) -> str:
    run = do("create_run", client.create_run, experiment, run_name="one", tags={"kind": "test"}, start_time=1_700_000_000_000, show=run_facts)
    id_ = run.info.run_id
    do("create_run with two names", client.create_run, experiment, run_name="a", tags={"mlflow.runName": "b"})
    do("create_run in an unknown experiment", client.create_run, "12345678")
    child = do("create_run nested", client.create_run, experiment, run_name="child", tags={"mlflow.parentRunId": id_}, show=run_facts)
    do("get_run", client.get_run, id_, show=run_facts)
    do("get_run unknown", client.get_run, "0" * 32)
    do("get_run bad id", client.get_run, "../../etc/passwd")
    do("get_parent_run", client.get_parent_run, child.info.run_id, show=lambda r: r.info.run_id)
    do("get_parent_run of none", client.get_parent_run, id_)
    do("log_param", client.log_param, id_, "alpha", 0.5)
    do("log_param again, the same", client.log_param, id_, "alpha", 0.5)
    do("log_param again, another value", client.log_param, id_, "alpha", 0.6)
    do("log_param, empty", client.log_param, id_, "empty", "")
    do("log_param, long", client.log_param, id_, "long", "x" * 6000)
    for key in ("", "a" * 251, "../x", "/x", "a//b", "a/./b", "ä", "a:b", "a b", "a.b-c_d", "x\ny", "a#b"):
        do(f"log_param with the key {key[:20]!r}", client.log_param, id_, key, "1")
    for label, value in (("0.5", 0.5), ("int", 3), ("inf", math.inf), ("-inf", -math.inf), ("nan", math.nan), ("1e308", 1e308), ("text", "abc"), ("text number", "0.5"), ("None", None)):
        do(f"log_metric {label}", client.log_metric, id_, f"m {label}", value, timestamp=1_700_000_000_001, step=1)
    for step in (0, 1, 2, 5, 3, 3):
        do(f"log_metric at {step}", client.log_metric, id_, "loss", 1 / (step + 1), timestamp=1_700_000_000_000 + step, step=step)
    do("log_metric, late", client.log_metric, id_, "loss", 9.0, timestamp=1_700_000_009_000, step=1)
    do("log_metric, negative step", client.log_metric, id_, "loss", 8.0, timestamp=1_700_000_000_000, step=-3)
    do("log_metric, negative time", client.log_metric, id_, "loss", 8.0, timestamp=-1, step=0)
    do("log_metric, bad key", client.log_metric, id_, "../x", 1.0)
    do("log_metric of an unknown run", client.log_metric, "0" * 32, "x", 1.0)
    do("get_metric_history", client.get_metric_history, id_, "loss", show=lambda ms: [(m.step, m.value) for m in ms])
    do("get_metric_history of none", client.get_metric_history, id_, "nothing", show=list)
    do("set_tag", client.set_tag, id_, "t", 1)
    do("set_tag again", client.set_tag, id_, "t", "two")
    do("set_tag, long", client.set_tag, id_, "long", "y" * 8000)
    do("set_tag, bad key", client.set_tag, id_, "a/../b", "x")
    do("delete_tag", client.delete_tag, id_, "t")
    do("delete_tag unknown", client.delete_tag, id_, "t")
    metrics = [Metric("batch", float(i), 1_700_000_000_000 + i, i) for i in range(1500)]
    do("log_batch", client.log_batch, id_, metrics, [Param(f"p{i}", str(i)) for i in range(120)], [RunTag(f"t{i}", str(i)) for i in range(120)])
    do("log_batch, empty", client.log_batch, id_)
    do("log_batch, a param that is there with another value", client.log_batch, id_, params=[Param("p1", "other")])
    do("log_batch, one bad of many", client.log_batch, id_, [Metric("good", 1.0, 1, 1)], [Param("../bad", "1")])
    do("get_run after batches", client.get_run, id_, show=lambda r: (len(r.data.params), r.data.metrics, len(r.data.tags)))
    do("get_metric_history of a batch", client.get_metric_history, id_, "batch", show=lambda ms: (len(ms), ms[0].value, ms[-1].value))
    do("update_run", client.update_run, id_, status="FINISHED", name="renamed")
    do("update_run, bad status", client.update_run, id_, status="NONSENSE")
    do("get_run updated", client.get_run, id_, show=lambda r: (r.info.status, r.info.run_name, r.data.tags["mlflow.runName"]))
    do("set_terminated", client.set_terminated, child.info.run_id, "FAILED", 1_700_000_005_000)
    do("get_run terminated", client.get_run, child.info.run_id, show=lambda r: (r.info.status, r.info.end_time))
    do("delete_run", client.delete_run, child.info.run_id)
    do("delete_run again", client.delete_run, child.info.run_id)
    do("log_param to a deleted run", client.log_param, child.info.run_id, "a", "1")
    do("log_metric to a deleted run", client.log_metric, child.info.run_id, "a", 1.0)
    do("set_tag of a deleted run", client.set_tag, child.info.run_id, "a", "1")
    do("update_run of a deleted run", client.update_run, child.info.run_id, name="x")
    do("restore_run", client.restore_run, child.info.run_id)
    do("restore_run again", client.restore_run, child.info.run_id)
    do("delete_run unknown", client.delete_run, "0" * 32)
    return id_


FILTERS = (
    "metrics.acc > 0.5", "metrics.acc >= 0.5 and params.lr = '0.1'", "metric.acc < 0.5", "params.lr != '0.1'", "params.lr LIKE '0.%'", "param.opt ILIKE 'AD%'", "tags.team = 'a'",
    "tags.team != 'a'", "tag.team LIKE 'a%'", "attributes.status = 'FINISHED'", "status != 'FINISHED'", "attr.run_name LIKE 'run%'", "run_name = 'run-1'", "start_time > 1700000000000",
    "attributes.start_time <= 1700000001000", "metrics.`acc` = 0.25", 'metrics."acc" = 0.25', "params.`learning rate` = '1'", "run_id IN ('x', 'y')", "attributes.run_id LIKE '%'",
    "params.lr IS NULL", "params.lr IS NOT NULL", "tags.team IS NOT NULL", "end_time > 0", "user_id = 'nobody'", "metrics.none > 0", "dataset.name = 'd'", "datasets.digest LIKE 'x%'", "dataset.context = 'train'",
    "metrics.acc != 0.25", "params.opt IN ('adam', 'x')", "",
)
REFUSED_FILTERS = (
    "metrics.acc >> 0.5", "metrics.acc = 'x'", "params.lr > '0.1'", "params.lr = 0.1", "nothing.x = 1", "metrics.acc", "metrics.acc > 0.5 metrics.acc < 1", "status > 'A'", "(", "metrics.acc LIKE 'x'",
    "run_id IN ()", "run_id IN (1)", "attributes.nothing = 'x'", "tags.team = \"a' OR 1=1", "start_time LIKE '1%'", "; drop table runs", "dataset.nothing = 'x'", "metrics. > 1", "'a' = 'a'",
)
ORDERS = (
    ["metrics.acc ASC"], ["metrics.acc DESC"], ["params.lr"], ["tags.team DESC"], ["start_time ASC"], ["attributes.start_time DESC"], ["run_name ASC"], ["metrics.some DESC"], ["metrics.some ASC"],
    ["params.opt ASC", "metrics.acc DESC"], ["end_time"], ["status"], ["attributes.run_id"], ["metric.acc"], ["metrics.`acc`"],
)


def searches(client: MlflowClient, do: Record) -> None:
    experiment = client.create_experiment("searched")
    do.experiment(experiment, "searched")
    for i in range(6):
        run = client.create_run(experiment, start_time=1_700_000_000_000 + 500 * i, run_name=f"run-{i}", tags={"team": "ab"[i % 2]} if i else {})
        id_ = run.info.run_id
        client.log_batch(id_, [Metric("acc", i / 4, 1, 0), *([Metric("some", math.nan if i == 2 else float(-i), 1, 0)] if i > 1 else [])], [Param("lr", "0.1" if i < 3 else "0.01"), Param("opt", "adam" if i % 2 else "sgd")], [])
        if i == 4:
            client.log_param(id_, "learning rate", 1)
            client.log_inputs(id_, [DatasetInput(Dataset("d", "x1", "local", "here", schema="{}", profile="{}"), [InputTag("mlflow.data.context", "train")])])
        client.set_terminated(id_, "FINISHED" if i < 4 else "KILLED", 1_700_000_010_000 + i)
    names = lambda found: [r.info.run_name for r in found]  # noqa: E731
    for text in FILTERS:
        do(f"search_runs {text}", client.search_runs, [experiment], text, show=names)
    for text in REFUSED_FILTERS:
        do(f"search_runs refused {text}", client.search_runs, [experiment], text, show=lambda found: len(found) > 0)
    for order in ORDERS:
        ids = order == ["attributes.run_id"]
        do(f"search_runs by {order}", client.search_runs, [experiment], order_by=order, show=(lambda found: sorted(names(found))) if ids else names)
    for order in (["nothing"], ["metrics.acc SIDEWAYS"], ["metrics.acc", "metrics.acc DESC"], [""]):
        do(f"search_runs refused by {order}", client.search_runs, [experiment], order_by=order)
    pages, token = [], None
    for _ in range(10):
        page = do("search_runs, a page", client.search_runs, [experiment], order_by=["metrics.some DESC"], max_results=2, page_token=token, show=names)
        pages += names(page)
        token = page.token
        if not token:
            break
    do("search_runs of all pages", lambda: pages)
    do("search_runs, bad token", client.search_runs, [experiment], page_token="nonsense")
    for count in (0, -5, 50_001):
        do(f"search_runs, {count} results", client.search_runs, [experiment], max_results=count)
    do("search_runs of no experiment", client.search_runs, [], show=names)
    do("search_runs of an unknown experiment", client.search_runs, ["12345678"], show=names)
    do("search_runs of a few experiments", client.search_runs, [experiment, "0", "12345678"], show=names)
    do("search_runs deleted", client.search_runs, [experiment], run_view_type=ViewType.DELETED_ONLY, show=names)
    do("search_runs, whole", client.search_runs, [experiment], "run_name = 'run-4'", show=lambda found: [(run_facts(r), r.inputs, r.outputs) for r in found])


def inputs(client: MlflowClient, do: Record, experiment: str, run: str) -> str:
    dataset = Dataset("wine", "d1", "local", "somewhere", schema="s", profile="p")
    do("log_inputs", client.log_inputs, run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])
    do("log_inputs again", client.log_inputs, run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "other")])])
    model = do("create_logged_model", client.create_logged_model, experiment, name="clf", source_run_id=run, tags={"a": "b"}, params={"p": "1"}, model_type="agent")
    id_ = model.model_id
    do("create_logged_model, bad name", client.create_logged_model, experiment, name="a/b")
    do("create_logged_model in an unknown experiment", client.create_logged_model, "12345678", name="x")
    do("log_model_params", client.log_model_params, id_, {"q": "2"})
    do("set_logged_model_tags", client.set_logged_model_tags, id_, {"c": "d", "a": "e"})
    do("delete_logged_model_tag", client.delete_logged_model_tag, id_, "c")
    do("delete_logged_model_tag unknown", client.delete_logged_model_tag, id_, "c")
    do("log_metric of a model", client.log_metric, run, "acc", 0.9, step=1, timestamp=1_700_000_000_000, model_id=id_, dataset_name="wine", dataset_digest="d1")
    do("log_metric of an unknown model", client.log_metric, run, "acc", 0.9, model_id="m-" + "0" * 32)
    do("finalize_logged_model", client.finalize_logged_model, id_, "READY", show=lambda m: m.status)
    do("finalize_logged_model, bad status", client.finalize_logged_model, id_, "NONSENSE")
    do("get_logged_model", client.get_logged_model, id_)
    do("get_logged_model unknown", client.get_logged_model, "m-" + "0" * 32)
    do("log_outputs", client.log_outputs, run, [LoggedModelOutput(id_, 3)])
    do("log_inputs of a model", client.log_inputs, run, models=[LoggedModelInput(id_)])
    do("get_run with its links", client.get_run, run, show=lambda r: (r.inputs, r.outputs))
    second = client.create_logged_model(experiment, name="second", params={"p": "2"})
    client.finalize_logged_model(second.model_id, "FAILED")
    names = lambda found: [m.name for m in found]  # noqa: E731
    for text in ("name = 'clf'", "name LIKE 'c%'", "params.p = '1'", "tags.a = 'e'", "metrics.acc > 0.5", "model_type = 'agent'", "status = 'READY'", "creation_timestamp > 0", f"source_run_id = '{run}'", "name IN ('clf', 'x')", "params.none = '1'"):
        do(f"search_logged_models {text.replace(run, 'RUN')}", client.search_logged_models, [experiment], text, show=names)
    for text in ("nothing = 'x'", "metrics.acc = 'x'", "name > 'x'", "name ="):
        do(f"search_logged_models refused {text}", client.search_logged_models, [experiment], text)
    do("search_logged_models on a dataset", client.search_logged_models, [experiment], "metrics.acc > 0.5", datasets=[{"dataset_name": "wine", "dataset_digest": "d1"}], show=names)
    do("search_logged_models on another dataset", client.search_logged_models, [experiment], "metrics.acc > 0.5", datasets=[{"dataset_name": "beer"}], show=names)
    for order in ([{"field_name": "metrics.acc"}], [{"field_name": "name", "ascending": False}], [{"field_name": "creation_time"}]):
        do(f"search_logged_models by {order}", client.search_logged_models, [experiment], order_by=order, show=names)
    do("search_logged_models, one", client.search_logged_models, [experiment], max_results=1, order_by=[{"field_name": "name"}], show=names)
    do("delete_logged_model", client.delete_logged_model, second.model_id)
    do("delete_logged_model again", client.delete_logged_model, second.model_id)
    do("get_logged_model deleted", client.get_logged_model, second.model_id)
    return id_


def workspaces(client: MlflowClient, do: Record) -> None:
    """Those of MLflow's kind, which its server has only when it was started with them."""
    do("get_workspace_store_uri", client.get_workspace_store_uri, show=lambda _: "its own")
    do("list_workspaces", client.list_workspaces)
    do("create_workspace", client.create_workspace, "team")
    do("get_workspace", client.get_workspace, "team")
    do("update_workspace", client.update_workspace, "team", description="d")
    do("delete_workspace", client.delete_workspace, "team")
    do("delete_workspace, unknown mode", client.delete_workspace, "team", mode="none")


def main(output: str) -> None:
    warnings.simplefilter("ignore")
    client, do = MlflowClient(), Record()
    experiment = experiments(client, do)
    run = runs(client, do, experiment)
    searches(client, do)
    model = inputs(client, do, experiment, run)
    artifacts(client, do, run, model)
    registry(client, do, run, model)
    traces(client, do, experiment, run)
    prompts(client, do, run, model)
    datasets(client, do, experiment)
    webhooks(client, do)
    mcp_servers(client, do)
    workspaces(client, do)
    Path(output).write_text(json.dumps({"mlflow": mlflow.__version__, "answers": do.answers}, indent=1))
    unsaid = sorted(name for name in dir(client) if not name.startswith("_") and callable(getattr(client, name)) and name not in do.said)
    assert not unsaid, f"methods of the client that are not compared: {unsaid}"


if __name__ == "__main__":
    main(sys.argv[1])
