from __future__ import annotations

import pytest

from lazward.domain.tracking.span_conventions import translate
from lazward.domain.tracking.spans import FORMAT, INPUTS, MODEL, OUTPUTS, PROVIDER, TOOLS, TYPE, USAGE, Event
from tests.storage.trace_data import make_span


def said(events=(), **attributes):
    span = make_span(1, 1, events=list(events))
    span.attributes = dict(attributes)
    translate(span)
    return {k: v for k, v in span.attributes.items() if k not in attributes}


@pytest.mark.parametrize(("attributes", "expected"), [
    ({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": "4", "gen_ai.request.model": "asked", "gen_ai.response.model": "gpt", "gen_ai.provider.name": "openai",
      "gen_ai.input.messages": '[{"role": "user"}]', "gen_ai.output.messages": [], "gen_ai.tool.definitions": "[1]"},
     {TYPE: "CHAT_MODEL", USAGE: {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}, MODEL: "gpt", PROVIDER: "openai", INPUTS: '[{"role": "user"}]', TOOLS: "[1]"}),
    ({"openinference.span.kind": "RETRIEVER", "input.value": "q", "output.value": "a", "llm.token_count.total": 9, "llm.token_count.prompt_details.cache_read": 2},
     {TYPE: "RETRIEVER", INPUTS: "q", OUTPUTS: "a", USAGE: {"total_tokens": 9, "cache_read_input_tokens": 2}}),
    ({"traceloop.span.kind": "workflow", "gen_ai.prompt.0.content": "p", "gen_ai.completion.0.content": "c", "gen_ai.usage.prompt_tokens": 1, "gen_ai.system": "x"},
     {TYPE: "WORKFLOW", INPUTS: "p", OUTPUTS: "c", USAGE: {"input_tokens": 1}, PROVIDER: "x"}),
    ({"ai.operationId": "ai.toolCall", "ai.toolCall.args": "{}", "ai.toolCall.result": "r"}, {TYPE: "TOOL", INPUTS: "{}", OUTPUTS: "r", FORMAT: "vercel_ai"}),
    ({"span.type": "claude_code.llm_request", "input_tokens": 5, "output_tokens": 2, "cache_read_tokens": 10, "cache_creation_tokens": 1},
     {TYPE: "LLM", USAGE: {"input_tokens": 16, "output_tokens": 2, "total_tokens": 18, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 1}}),
    ({"input_tokens": 5}, {}), ({"gen_ai.operation.name": ["chat"], "gen_ai.usage.input_tokens": True}, {}), ({"gen_ai.usage.input_tokens": "9" * 30}, {}),
    ({"langfuse.observation.type": "generation", "langfuse.observation.input": "i"}, {TYPE: "LLM", INPUTS: "i"}), ({"lk.user_input": "hi"}, {INPUTS: "hi", FORMAT: "livekit"}),
    ({"mlflow.spanInputs": {"model": "gpt-4", "messages": []}}, {MODEL: "gpt-4"}), ({"mlflow.spanOutputs": '{"model": "m"}'}, {MODEL: "m"}), ({"mlflow.spanInputs": '{"model": 1}'}, {}),
])
def test_conventions(attributes, expected):
    assert said(**attributes) == expected


def test_what_mlflow_says_itself_stays():
    mine = {TYPE: "AGENT", INPUTS: "mine", USAGE: {"total_tokens": 1}, MODEL: "m", "openinference.span.kind": "LLM", "input.value": "theirs", "llm.token_count.total": 9}
    assert said(**mine) == {}
    span = make_span(1, 1)
    span.attributes = {TYPE: "UNKNOWN", "openinference.span.kind": "LLM"}
    translate(span)
    assert span.attributes[TYPE] == "LLM"


def test_messages_in_events():
    events = [Event("gen_ai.system.message", 1, {"content": "be kind"}), Event("gen_ai.user.message", 2, {"content": '"hello"'}), Event("gen_ai.choice", 3, {"content": "hi"})]
    assert said(events) == {INPUTS: [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}], OUTPUTS: [{"role": "assistant", "content": "hi"}]}
    assert said([Event("gen_ai.content.prompt", 1, {"gen_ai.prompt": "p"}), Event("gen_ai.content.completion", 2, {"gen_ai.completion": "c"})]) == {INPUTS: "p", OUTPUTS: "c"}
