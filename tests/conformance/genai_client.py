"""Autologging of OpenAI's client, evaluation with scorers and judges, and a plain OpenTelemetry exporter, against the tracking URI of
the environment. Run by test_tracing.py."""

from __future__ import annotations

import json
import os

import mlflow
import openai
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Feedback
from mlflow.genai.scorers import Correctness, Guidelines, scorer
from openai_server import openai_server


def autolog(client: MlflowClient, experiment: str, url: str) -> None:
    mlflow.openai.autolog()
    chat = openai.OpenAI(base_url=url, api_key="none").chat.completions
    said = chat.create(model="gpt-none", messages=[{"role": "system", "content": "be short"}, {"role": "user", "content": "The capital of France?"}], temperature=0.1)
    assert said.choices[0].message.content == "Paris is the capital of France."
    streamed = "".join(c.choices[0].delta.content or "" for c in chat.create(model="gpt-none", messages=[{"role": "user", "content": "and Peru?"}], stream=True) if c.choices)
    assert streamed == "Lima is the capital of Peru."
    mlflow.flush_trace_async_logging()
    mlflow.openai.autolog(disable=True)
    second, first = client.search_traces(locations=[experiment])
    (span,) = first.data.spans
    assert (span.span_type, span.inputs["temperature"], span.outputs["choices"][0]["message"]["content"]) == ("CHAT_MODEL", 0.1, "Paris is the capital of France.")
    assert first.info.token_usage == {"input_tokens": 6, "output_tokens": 6, "total_tokens": 12}
    assert (first.info.request_preview, first.info.response_preview) == ("The capital of France?", "Paris is the capital of France.")
    assert "Lima" in json.dumps(second.data.spans[0].outputs)
    found = client.search_traces(locations=[experiment], filter_string="span.type = 'CHAT_MODEL' AND span.attributes.`mlflow.llm.model` = 'gpt-none' AND text LIKE '%France%'") if os.environ.get("LAZWARD") else [first]
    assert [t.info.trace_id for t in found] == [first.info.trace_id]


@scorer
def short(outputs: str) -> bool:
    return len(outputs) < 40


@scorer
def length(outputs: str) -> Feedback:
    return Feedback(value=len(outputs), rationale="counted")


@scorer
def fails(outputs: str) -> int:
    raise ValueError("a scorer that fails")


def evaluation(client: MlflowClient, experiment: str, url: str) -> None:
    """Over a list with a function, with code and with judges."""
    os.environ.update(OPENAI_API_BASE=url, OPENAI_BASE_URL=url, OPENAI_API_KEY="none")
    chat = openai.OpenAI(base_url=url, api_key="none").chat.completions

    @mlflow.trace
    def predict(question: str) -> str:
        return chat.create(model="gpt-none", messages=[{"role": "user", "content": question}]).choices[0].message.content

    data = [
        {"inputs": {"question": "What is the capital of France?"}, "expectations": {"expected_response": "Paris is the capital of France"}},
        {"inputs": {"question": "What is the capital of Peru?"}, "expectations": {"expected_response": "Rome is the capital of Peru"}},
        {"inputs": {"question": "What is the capital of Nowhere?"}, "expectations": {"expected_response": "I do not know"}},
    ]
    judge = "openai:/gpt-judge"
    scorers = [short, length, fails, Correctness(model=judge), Guidelines(name="names_it", guidelines='The answer must hold "Paris"', model=judge)]
    result = mlflow.genai.evaluate(data=data, predict_fn=predict, scorers=scorers)
    metrics = result.metrics
    assert abs(metrics["correctness/mean"] - 2 / 3) < 1e-9 and abs(metrics["names_it/mean"] - 1 / 3) < 1e-9, metrics
    assert metrics["short/mean"] == 1 and metrics["length/mean"] == (31 + 28 + 14) / 3
    run = client.get_run(result.run_id)
    assert run.data.metrics["correctness/mean"] == metrics["correctness/mean"]
    found = client.search_traces(locations=[experiment], run_id=result.run_id)
    assert len(found) == 3
    by_question = {json.loads(t.data.request)["question"]: {a.name: a for a in t.info.assessments} for t in found}
    france, peru = by_question["What is the capital of France?"], by_question["What is the capital of Peru?"]
    assert (france["correctness"].value, peru["correctness"].value) == ("yes", "no")
    assert "missing: rome" in peru["correctness"].rationale.lower() and peru["correctness"].source.source_type == "LLM_JUDGE"
    assert france["length"].value == 31 and france["length"].rationale == "counted" and france["length"].source.source_type == "CODE"
    assert "a scorer that fails" in france["fails"].error.error_message
    assert france["expected_response"].value == "Paris is the capital of France"
    named = client.search_traces(locations=[experiment], filter_string=f"feedback.correctness = 'no' AND run_id = '{result.run_id}'")
    assert [json.loads(t.data.request)["question"] for t in named] == ["What is the capital of Peru?"]
    assert len(result.result_df) == 3

    table = pd.DataFrame([{"inputs": {"q": "France"}, "outputs": "Paris", "expectations": {"expected_response": "Paris"}}, {"inputs": {"q": "Peru"}, "outputs": "Cusco", "expectations": {"expected_response": "Lima"}}])
    again = mlflow.genai.evaluate(data=table, scorers=[Correctness(model=judge), short])
    assert again.metrics["correctness/mean"] == 0.5
    assert len(client.search_traces(locations=[experiment], run_id=again.run_id)) == 2
    # Traces that are there can be judged as well.
    third = mlflow.genai.evaluate(data=mlflow.search_traces(locations=[experiment], run_id=result.run_id), scorers=[short])
    assert third.metrics["short/mean"] == 1


def opentelemetry(client: MlflowClient) -> None:
    """No MLflow in it but to look."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import Status, StatusCode

    experiment = client.create_experiment("otel")
    headers = {"x-mlflow-experiment-id": experiment}
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["authorization"] = f"Bearer {token}"
    exporter = OTLPSpanExporter(f"{os.environ['MLFLOW_TRACKING_URI']}/v1/traces", headers=headers, compression=Compression.Gzip, certificate_file=os.environ.get("REQUESTS_CA_BUNDLE"))
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("request", attributes={"input.value": "two plus two", "session.id": "s9"}) as root:
        with tracer.start_as_current_span("chat", attributes={
            "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4, "gen_ai.request.model": "m1", "numbers": [1, 2],
        }) as span:
            span.add_event("said", {"what": "four"})
        root.set_status(Status(StatusCode.ERROR, "no money"))
    assert provider.force_flush()
    provider.shutdown()
    (trace,) = client.search_traces(locations=[experiment])
    assert trace.info.trace_id == f"tr-{root.get_span_context().trace_id:032x}"
    assert (trace.info.state.value, trace.info.tags["service.name"], trace.info.trace_metadata["mlflow.trace.session"]) == ("ERROR", "shop", "s9")
    assert trace.info.token_usage == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    request, chat = trace.data.spans
    assert (request.name, request.inputs, request.status.description) == ("request", "two plus two", "no money")
    assert (chat.span_type, chat.get_attribute("numbers"), chat.parent_id, chat.events[0].attributes) == ("CHAT_MODEL", [1, 2], request.span_id, {"what": "four"})


if __name__ == "__main__":
    client = MlflowClient()
    experiment = mlflow.set_experiment("genai").experiment_id
    with openai_server() as (url, _):
        autolog(client, experiment, url)
        evaluation(client, experiment, url)
    opentelemetry(client)
    print(json.dumps({"ok": True, "mlflow": mlflow.__version__}))
