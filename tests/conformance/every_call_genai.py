"""The part of every_call.py about traces, prompts, evaluation datasets and webhooks."""

from __future__ import annotations

import time
from typing import Any

from mlflow import MlflowClient

Record = Any  # of every_call.py, which imports this module


def traces(client: MlflowClient, do: Record, experiment: str, run: str) -> None:
    root = do("start_trace", client.start_trace, "asked", span_type="CHAIN", inputs={"q": 1}, attributes={"a": "b"}, tags={"t": "1"}, experiment_id=experiment, show=lambda s: (s.name, s.span_type, s.inputs))
    trace = root.trace_id
    child = do("start_span", client.start_span, "looked up", trace, root.span_id, span_type="RETRIEVER", inputs={"x": [1, 2]}, show=lambda s: (s.name, s.span_type, s.parent_id is not None))
    do("end_span", client.end_span, trace, child.span_id, outputs={"y": 3}, attributes={"k": "v"}, status="ERROR")
    do("end_trace", client.end_trace, trace, outputs={"a": 2}, status="OK")
    __import__("mlflow").flush_trace_async_logging()
    spans = lambda t: [(s.name, s.span_type, s.status.status_code, s.inputs, s.outputs, {k: v for k, v in s.attributes.items() if not k.startswith("mlflow.")}) for s in t.data.spans]  # noqa: E731
    _stored(client, trace)
    do("get_trace", client.get_trace, trace, display=False, show=lambda t: (t.info.state, t.info.request_preview, t.info.response_preview, t.info.tags.get("t"), spans(t)))
    do("get_trace unknown", client.get_trace, "tr-" + "0" * 32, display=False)
    do("set_trace_tag", client.set_trace_tag, trace, "mood", "good")
    do("delete_trace_tag", client.delete_trace_tag, trace, "t")
    do("delete_trace_tag unknown", client.delete_trace_tag, trace, "t")
    do("link_traces_to_run", client.link_traces_to_run, [trace], run)
    count = lambda found: [(t.info.state, t.info.tags.get("mood"), len(t.data.spans)) for t in found]  # noqa: E731
    for text in ("tags.mood = 'good'", "status = 'OK'", "trace.status = 'ERROR'", "timestamp_ms > 0", "name = 'asked'", "span.name = 'looked up'", "span.type = 'RETRIEVER'", "span.status = 'ERROR'",
                 "tags.mood LIKE 'go%'", f"run_id = '{run}'", "execution_time_ms >= 0", "span.attributes.k = '\"v\"'", "trace.text LIKE '%looked%'"):
        do(f"search_traces {text.replace(run, 'RUN')}", client.search_traces, [experiment], text, show=count)
    for text in ("nothing = 'x'", "span.nothing = 'x'", "status > 1", "tags.mood ="):
        do(f"search_traces refused {text}", client.search_traces, [experiment], text)
    do("search_traces by time", client.search_traces, [experiment], order_by=["timestamp_ms DESC"], show=count)
    do("search_traces by nothing", client.search_traces, [experiment], order_by=["nothing"])
    do("unlink_traces_from_run", client.unlink_traces_from_run, [trace], run)
    do("delete_traces of nothing", client.delete_traces, experiment)
    do("delete_traces", client.delete_traces, experiment, trace_ids=[trace])
    do("search_traces after", client.search_traces, [experiment], show=len)


def _stored(client: MlflowClient, trace: str) -> None:
    """Servers may store spans a moment after they have been sent."""
    for _ in range(100):
        try:
            if len(client.get_trace(trace, display=False).data.spans) == 2:
                return
        except Exception as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(last)


def prompts(client: MlflowClient, do: Record, run: str, model: str) -> None:
    shown = lambda p: (p.name, p.version, p.template, p.commit_message, p.tags, sorted(p.aliases))  # noqa: E731
    do("create_prompt", client.create_prompt, "bare", description="d", tags={"a": "b"}, show=lambda p: (p.name, p.description, p.tags))
    do("create_prompt again", client.create_prompt, "bare")
    do("get_prompt", client.get_prompt, "bare", show=lambda p: (p.name, p.description))
    do("get_prompt unknown", client.get_prompt, "nothing")
    do("create_prompt_version", client.create_prompt_version, "bare", "Hello {{name}}", description="first", tags={"x": "y"}, show=shown)
    do("register_prompt", client.register_prompt, "ask", "Ask {{it}}", commit_message="one", tags={"k": "v"}, show=shown)
    do("register_prompt again", client.register_prompt, "ask", [{"role": "user", "content": "{{it}}"}], commit_message="two", show=shown)
    do("register_prompt, bad name", client.register_prompt, "a/b c", "x")
    do("get_prompt_version", client.get_prompt_version, "ask", 1, show=shown)
    do("get_prompt_version unknown", client.get_prompt_version, "ask", 77)
    do("load_prompt", client.load_prompt, "prompts:/ask/2", show=shown)
    do("load_prompt missing", client.load_prompt, "nothing", 1, allow_missing=True)
    do("load_prompt unknown", client.load_prompt, "prompts:/nothing/1")
    do("parse_prompt_uri", client.parse_prompt_uri, "prompts:/ask/2")
    do("set_prompt_alias", client.set_prompt_alias, "ask", "prod", 1)
    do("get_prompt_version_by_alias", client.get_prompt_version_by_alias, "ask", "prod", show=shown)
    do("delete_prompt_alias", client.delete_prompt_alias, "ask", "prod")
    do("get_prompt_version_by_alias gone", client.get_prompt_version_by_alias, "ask", "prod")
    do("set_prompt_tag", client.set_prompt_tag, "ask", "team", "a")
    do("delete_prompt_tag", client.delete_prompt_tag, "ask", "team")
    do("set_prompt_version_tag", client.set_prompt_version_tag, "ask", 1, "checked", "yes")
    do("delete_prompt_version_tag", client.delete_prompt_version_tag, "ask", 1, "checked")
    do("search_prompts", client.search_prompts, show=lambda found: [p.name for p in found])
    do("search_prompts by name", client.search_prompts, "name = 'ask'", show=lambda found: [p.name for p in found])
    do("search_prompts refused", client.search_prompts, "nothing = 'x'")
    do("search_prompt_versions", client.search_prompt_versions, "ask", show=lambda found: sorted(v.version for v in found))
    do("link_prompt_version_to_run", client.link_prompt_version_to_run, run, "prompts:/ask/1")
    do("list_logged_prompts", client.list_logged_prompts, run, show=lambda found: [p.name for p in found])
    do("detach_prompt_from_run", client.detach_prompt_from_run, run, "prompts:/ask/1")
    do("link_prompt_version_to_model", client.link_prompt_version_to_model, "ask", "1", model)
    span = client.start_trace("prompted")
    client.end_trace(span.trace_id)
    __import__("mlflow").flush_trace_async_logging()
    do("link_prompt_versions_to_trace", client.link_prompt_versions_to_trace, [client.get_prompt_version("ask", 1)], span.trace_id)
    do("delete_prompt with versions", client.delete_prompt, "ask")
    do("delete_prompt_version", client.delete_prompt_version, "bare", "1")
    do("delete_prompt", client.delete_prompt, "bare")
    do("delete_prompt again", client.delete_prompt, "bare")


def datasets(client: MlflowClient, do: Record, experiment: str) -> None:
    made = do("create_dataset", client.create_dataset, "qa", experiment, {"a": "b"}, show=lambda d: (d.name, d.tags.get("a")))
    id_ = made.dataset_id
    do("get_dataset", client.get_dataset, id_, show=lambda d: (d.name, d.tags.get("a")))
    do("get_dataset unknown", client.get_dataset, "d-" + "0" * 32)
    do("add_dataset_to_experiments", client.add_dataset_to_experiments, id_, ["0"], show=lambda d: len(d.experiment_ids))
    do("remove_dataset_from_experiments", client.remove_dataset_from_experiments, id_, ["0"], show=lambda d: len(d.experiment_ids))
    do("set_dataset_tags", client.set_dataset_tags, id_, {"a": "c", "d": "e"})
    do("delete_dataset_tag", client.delete_dataset_tag, id_, "d")
    do("search_datasets", client.search_datasets, [experiment], show=lambda found: [d.name for d in found])
    for text in ("name = 'qa'", "name LIKE 'q%'", "tags.a = 'c'", "name = 'x'"):
        do(f"search_datasets {text}", client.search_datasets, [experiment], text, show=lambda found: [d.name for d in found])
    do("search_datasets refused", client.search_datasets, [experiment], "nothing = 'x'")
    do("delete_dataset", client.delete_dataset, id_)
    do("delete_dataset again", client.delete_dataset, id_)


def webhooks(client: MlflowClient, do: Record) -> None:
    shown = lambda w: (w.name, w.url, [str(e) for e in w.events], w.description, w.status, w.secret)  # noqa: E731
    made = do("create_webhook", client.create_webhook, "hook", "https://93.184.215.14/hook", ["registered_model.created"], "about", show=shown)
    do("create_webhook without events", client.create_webhook, "hook2", "https://93.184.215.14", [])
    do("create_webhook, bad name", client.create_webhook, "a b/c", "https://93.184.215.14", ["registered_model.created"])
    do("create_webhook, bad address", client.create_webhook, "hook3", "file:///etc/passwd", ["registered_model.created"])
    if made is None:
        return
    do("get_webhook", client.get_webhook, made.webhook_id, show=shown)
    do("get_webhook unknown", client.get_webhook, "0" * 8)
    do("list_webhooks", client.list_webhooks, show=lambda found: [w.name for w in found])
    do("update_webhook", client.update_webhook, made.webhook_id, name="renamed", events=["model_version.created"], show=shown)
    do("test_webhook unknown", client.test_webhook, "0" * 8)
    do("delete_webhook", client.delete_webhook, made.webhook_id)
    do("delete_webhook again", client.delete_webhook, made.webhook_id)
