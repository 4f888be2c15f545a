"""What an application does with MLflow's tracing, against the tracking URI of the environment. Run by test_tracing.py."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import SpanType
from mlflow_client import refused

NEWEST = tuple(int(n) for n in mlflow.__version__.split(".")[:2]) >= (3, 14)


def flushed() -> None:
    mlflow.flush_trace_async_logging()


@mlflow.trace(span_type=SpanType.CHAIN, attributes={"kind": "outer"})
def answer(question: str) -> str:
    with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
        span.set_inputs({"q": question})
        span.set_outputs([{"page_content": "Paris is the capital of France", "metadata": {"doc_uri": "a"}}])
    return complete(question, temperature=0.5)


@mlflow.trace(span_type=SpanType.LLM)
def complete(question: str, temperature: float) -> str:
    span = mlflow.get_current_active_span()
    span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})
    span.set_attribute("gen_ai.request.model", "gpt-none")
    return f"answer to {question}: ä😀"


@mlflow.trace
def broken() -> None:
    raise ValueError("it is broken")


@mlflow.trace
async def slow(n: int) -> int:
    await asyncio.sleep(0)
    with mlflow.start_span(f"inner {n}"):
        await asyncio.sleep(0)
    return n


def decorated(client: MlflowClient, experiment: str) -> str:
    assert answer("What is the capital?").startswith("answer")
    flushed()
    id_ = mlflow.get_last_active_trace_id()
    trace = client.get_trace(id_)
    assert (trace.info.state.value, trace.info.experiment_id, trace.info.tags["mlflow.traceName"]) == ("OK", experiment, "answer")
    assert trace.info.tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    root, retrieve, llm = (trace.search_spans(name=n)[0] for n in ("answer", "retrieve", "complete"))
    assert (root.parent_id, retrieve.parent_id, llm.parent_id) == (None, root.span_id, root.span_id)
    assert (root.span_type, retrieve.span_type, llm.span_type) == ("CHAIN", "RETRIEVER", "LLM")
    assert root.inputs == {"question": "What is the capital?"} and root.outputs.endswith("ä😀")
    assert retrieve.outputs[0]["page_content"].startswith("Paris")
    assert (root.get_attribute("kind"), llm.get_attribute("mlflow.chat.tokenUsage")["total_tokens"]) == ("outer", 15)
    assert llm.inputs == {"question": "What is the capital?", "temperature": 0.5}
    assert trace.info.token_usage["total_tokens"] == 15
    assert trace.info.execution_duration >= 0 and abs(trace.info.request_time / 1000 - time.time()) < 600
    assert "capital" in trace.info.request_preview and "answer to" in trace.info.response_preview
    assert root.start_time_ns <= llm.start_time_ns <= llm.end_time_ns <= root.end_time_ns
    return id_


def failures(client: MlflowClient) -> None:
    try:
        broken()
    except ValueError:
        pass
    flushed()
    trace = client.get_trace(mlflow.get_last_active_trace_id())
    assert trace.info.state.value == "ERROR"
    (span,) = trace.data.spans
    assert span.status.status_code.value == "ERROR" and "it is broken" in span.status.description
    (event,) = span.events
    assert event.name == "exception" and event.attributes["exception.message"] == "it is broken"
    assert "ValueError" in event.attributes["exception.type"]


def concurrent(client: MlflowClient, experiment: str) -> None:
    async def together() -> None:
        assert await asyncio.gather(*(slow(n) for n in range(5))) == list(range(5))

    asyncio.run(together())
    threads = [threading.Thread(target=answer, args=(f"thread {n}",)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flushed()
    found = mlflow.search_traces(locations=[experiment], filter_string="trace.name = 'slow'", return_type="list")
    assert [len(t.data.spans) for t in found] == [2] * 5
    assert sorted(t.search_spans(name="slow")[0].outputs for t in found) == list(range(5))
    found = mlflow.search_traces(locations=[experiment], filter_string="trace.text LIKE '%thread 3%'", return_type="list")
    assert [len(t.data.spans) for t in found] == [3]


def searches(client: MlflowClient, experiment: str, first: str) -> None:
    def ids(text: str | None = None, **more) -> list[str]:
        return [t.info.trace_id for t in client.search_traces(locations=[experiment], filter_string=text, **more)]

    everything = ids()
    assert len(everything) == 12 and everything[-1] == first
    client.set_trace_tag(first, "team", "vision")
    client.set_trace_tag(first, "gone", "x")
    client.delete_trace_tag(first, "gone")
    refused(client.delete_trace_tag, first, "gone", code="RESOURCE_DOES_NOT_EXIST")
    for text in (
        "tags.team = 'vision'", "tags.team ILIKE 'VIS%'", "tags.team RLIKE '^vis.on$'", "tags.team IS NOT NULL", "trace.text LIKE '%What is the capital%'",
        "span.name = 'retrieve' AND span.type = 'RETRIEVER' AND tags.team = 'vision'", "span.attributes.kind LIKE '%outer%' AND tags.team = 'vision'",
        "metadata.`mlflow.trace_schema.version` LIKE '3%' AND tags.team != 'x'", f"request_id = '{first}'", f"request_id IN ('{first}')",
    ):
        assert ids(text) == [first], text
    assert ids("status = 'ERROR'") == ids("span.status = 'ERROR'") == [i for i in everything if client.get_trace(i).info.state.value == "ERROR"]
    assert ids("span.name = 'retrieve' AND span.type = 'LLM'") == []
    assert ids("timestamp_ms > 0 AND execution_time_ms >= 0 AND tags.team IS NULL") == everything[:-1]
    times = [t.info.request_time for t in client.search_traces(locations=[experiment], order_by=["timestamp_ms ASC"])]
    assert times == sorted(times) and len(times) == 12
    pages, token = [], None
    while True:
        page = client.search_traces(locations=[experiment], max_results=5, page_token=token, include_spans=False, order_by=["tags.`mlflow.traceName` DESC"])
        pages.append([t.info.trace_id for t in page])
        token = page.token
        if not token:
            break
    assert [len(p) for p in pages] == [5, 5, 2] and sorted(i for p in pages for i in p) == sorted(everything)
    refused(client.search_traces, locations=[experiment], filter_string="nothing >> 1", code="INVALID_PARAMETER_VALUE")
    refused(client.get_trace, "tr-" + "0" * 32, code="RESOURCE_DOES_NOT_EXIST")
    table = mlflow.search_traces(locations=[experiment], filter_string="tags.team = 'vision'")
    assert list(table.trace_id) == [first] and len(table.spans[0]) == 3


def assessed(client: MlflowClient, experiment: str, first: str) -> None:
    from mlflow.entities import AssessmentError, AssessmentSource

    human = AssessmentSource(source_type="HUMAN", source_id="me@example.com")
    feedback = mlflow.log_feedback(trace_id=first, name="good", value=True, source=human, rationale="clear", metadata={"round": "1"})
    mlflow.log_feedback(trace_id=first, name="score", value=0.75, source=human)
    mlflow.log_feedback(trace_id=first, name="failed", error=AssessmentError(error_code="TIMEOUT", error_message="too late"), source=human)
    expectation = mlflow.log_expectation(trace_id=first, name="expected", value={"facts": ["Paris", "France"]})
    mlflow.log_expectation(trace_id=first, name="short", value="Paris")
    said = {a.name: a for a in client.get_trace(first).info.assessments}
    assert said["good"].value is True and said["good"].rationale == "clear" and said["good"].metadata == {"round": "1"}
    assert (said["good"].source.source_type, said["good"].source.source_id) == ("HUMAN", "me@example.com")
    assert said["expected"].value == {"facts": ["Paris", "France"]} and said["short"].value == "Paris"
    assert said["failed"].feedback.error.error_code == "TIMEOUT"
    assert mlflow.get_assessment(first, feedback.assessment_id).name == "good"
    mlflow.update_assessment(first, feedback.assessment_id, type(feedback)(name="good", value=False, rationale="on second thought"))
    again = mlflow.get_assessment(first, feedback.assessment_id)
    assert (again.value, again.rationale, again.metadata) == (False, "on second thought", {"round": "1"})
    over = mlflow.override_feedback(trace_id=first, assessment_id=feedback.assessment_id, value=True, source=human)
    assert not mlflow.get_assessment(first, feedback.assessment_id).valid
    assert over.overrides == feedback.assessment_id
    mlflow.delete_assessment(trace_id=first, assessment_id=over.assessment_id)
    assert mlflow.get_assessment(first, feedback.assessment_id).valid
    mlflow.delete_assessment(trace_id=first, assessment_id=expectation.assessment_id)
    refused(mlflow.get_assessment, first, expectation.assessment_id, code="RESOURCE_DOES_NOT_EXIST")
    for text in ("feedback.good = 'false'", "feedback.score > 0.5", "expectation.short = 'Paris'", "feedback.score IS NOT NULL"):
        assert [t.info.trace_id for t in client.search_traces(locations=[experiment], filter_string=text)] == [first], text
    assert client.search_traces(locations=[experiment], filter_string="feedback.score > 0.8") == []


def with_run(client: MlflowClient, experiment: str) -> None:
    with mlflow.start_run(experiment_id=experiment) as run:
        answer("inside a run")
    flushed()
    (inside,) = client.search_traces(locations=[experiment], run_id=run.info.run_id)
    assert inside.info.trace_metadata["mlflow.sourceRun"] == run.info.run_id
    other = client.search_traces(locations=[experiment], filter_string="status = 'ERROR'")[0]
    client.link_traces_to_run([other.info.trace_id], run.info.run_id)
    assert {t.info.trace_id for t in client.search_traces(locations=[experiment], run_id=run.info.run_id)} == {inside.info.trace_id, other.info.trace_id}
    with mlflow.start_span("in session"):
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "s1", "mlflow.trace.user": "u1"}, tags={"a": "b"}, client_request_id="req-1")
    flushed()
    (found,) = client.search_traces(locations=[experiment], filter_string="metadata.`mlflow.trace.session` = 's1'")
    assert (found.info.client_request_id, found.info.tags["a"], found.info.trace_metadata["mlflow.trace.user"]) == ("req-1", "b", "u1")


def sums(experiment: str) -> None:
    from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
    from mlflow.tracking._tracking_service.utils import _get_store

    store = _get_store()

    def ask(view, name, *kinds, **more):
        return [(p.dimensions, p.values) for p in store.query_trace_metrics([experiment], view, name, list(kinds), **more)]

    count, p50 = MetricAggregation(AggregationType.COUNT), MetricAggregation(AggregationType.PERCENTILE, 50.0)
    assert ask(MetricViewType.TRACES, "trace_count", count) == [({}, {"COUNT": 14.0})]
    states = {d["trace_status"]: v["COUNT"] for d, v in ask(MetricViewType.TRACES, "trace_count", count, dimensions=["trace_status"])}
    assert states == {"OK": 13.0, "ERROR": 1.0}
    assert ask(MetricViewType.TRACES, "total_tokens", MetricAggregation(AggregationType.SUM), p50) == [({}, {"SUM": 105.0, "P50.0": 15.0})]
    assert ask(MetricViewType.SPANS, "span_count", count, filters=["span.name = 'retrieve'"]) == [({}, {"COUNT": 7.0})]
    assert ask(MetricViewType.ASSESSMENTS, "assessment_value", MetricAggregation(AggregationType.AVG), filters=["assessment.name = 'score'"]) == [({}, {"AVG": 0.75})]
    now = int(time.time() * 1000)
    buckets = ask(MetricViewType.TRACES, "trace_count", count, time_interval_seconds=3600, start_time_ms=now - 3_600_000, end_time_ms=now + 60_000)
    assert sum(v["COUNT"] for _, v in buckets) == 14
    together = store.calculate_trace_filter_correlation([experiment], "name = 'answer'", "span.type = 'LLM'")
    assert (together.filter1_count, together.filter2_count, together.joint_count, together.total_count) == (7, 7, 7, 14)
    assert abs(together.npmi - 1) < 1e-9 and 0.5 < together.npmi_smoothed < 1


def attached(client: MlflowClient) -> None:
    from mlflow.tracing.attachments import Attachment

    with mlflow.start_span("with a file") as span:
        span.set_inputs({"image": Attachment(content_type="image/png", content_bytes=b"\x89PNG 123")})
    flushed()
    trace = client.get_trace(span.trace_id)
    assert "attachment" in json.dumps(trace.data.spans[0].inputs)
    (file,) = mlflow.artifacts.list_artifacts(artifact_uri=f"{trace.info.tags['mlflow.artifactLocation']}/attachments")
    assert not file.is_dir and file.file_size in (len(b"\x89PNG 123"), None, 0, -1)  # the plugin does not tell sizes


def deleted(client: MlflowClient, experiment: str, first: str) -> None:
    assert client.delete_traces(experiment, trace_ids=[first]) == 1
    refused(client.get_trace, first, code="RESOURCE_DOES_NOT_EXIST")
    before = client.search_traces(locations=[experiment], include_spans=False, order_by=["timestamp_ms ASC"])
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000, max_traces=3) == 3
    left = client.search_traces(locations=[experiment], include_spans=False, order_by=["timestamp_ms ASC"])
    assert [t.info.trace_id for t in left] == [t.info.trace_id for t in before[3:]]
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000) == len(left)
    assert client.search_traces(locations=[experiment]) == []


def everything() -> None:
    client = MlflowClient()
    experiment = mlflow.set_experiment("traced").experiment_id
    first = decorated(client, experiment)
    failures(client)
    concurrent(client, experiment)
    searches(client, experiment, first)
    assessed(client, experiment, first)
    with_run(client, experiment)
    if NEWEST:
        sums(experiment)
        attached(client)
    deleted(client, experiment, first)


def old() -> None:
    """Clients of MLflow 2 and early 3: spans are uploaded as traces.json."""
    client = MlflowClient()
    experiment = mlflow.set_experiment("old").experiment_id
    root = client.start_trace("root", inputs={"x": 1}, tags={"a": "b"}, experiment_id=experiment)
    child = client.start_span("child", trace_id=root.trace_id, parent_id=root.span_id) if mlflow.__version__[0] == "3" else client.start_span("child", root.request_id, parent_id=root.span_id)
    client.end_span(getattr(child, "trace_id", None) or child.request_id, child.span_id, outputs={"y": 2})
    id_ = getattr(root, "trace_id", None) or root.request_id
    client.end_trace(id_, outputs={"z": 3})
    if hasattr(mlflow, "flush_trace_async_logging"):
        flushed()
    id_ = mlflow.get_last_active_trace_id() if hasattr(mlflow, "get_last_active_trace_id") and mlflow.get_last_active_trace_id() else id_
    trace = client.get_trace(id_)
    assert {s.name for s in trace.data.spans} == {"root", "child"}
    assert trace.info.tags["a"] == "b" and str(getattr(trace.info.status, "value", trace.info.status)).endswith("OK")
    client.set_trace_tag(id_, "c", "d")
    found = client.search_traces(experiment_ids=[experiment], filter_string="tags.c = 'd'")
    assert [len(t.data.spans) for t in found] == [2]
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000) == 1


if __name__ == "__main__":
    {"everything": everything, "old": old}[sys.argv[1]]()
    print(json.dumps({"ok": True, "mlflow": mlflow.__version__}))
