"""What the conventions of other instrumentations say, in MLflow's words: a span's type, inputs, outputs, tokens, model, provider.

The first convention that says something of a fact wins. Attributes are JSON values; those that MLflow's own clients set are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from lazward.domain.tracking.spans import (
    FORMAT,
    INPUTS,
    MODEL,
    OUTPUTS,
    PROVIDER,
    TOOLS,
    TYPE,
    USAGE,
    Attributes,
    Event,
    Span,
)

_UNKNOWN = "UNKNOWN"
TOKENS = ("input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class Convention(msgspec.Struct, frozen=True):
    """tokens: the attribute for each of TOKENS, "" for none. A key that ends in * stands for KEY.N.REST with any number N."""

    kind: str = ""
    kinds: dict[str, str] = {}
    tokens: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    provider: str = ""
    tools: str = ""


_SAME = ("TOOL", "CHAIN", "LLM", "RETRIEVER", "EMBEDDING", "AGENT", "RERANKER", "GUARDRAIL", "EVALUATOR")
_GEN_AI_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "", "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens")
_MODELS = ("gen_ai.response.model", "gen_ai.request.model")
_VERCEL_LLM = ("generateText", "generateText.doGenerate", "streamText", "streamText.doStream", "generateObject", "generateObject.doGenerate", "streamObject", "streamObject.doStream")
_CLAUDE = Convention(
    "span.type", {f"{p}{k}": v for p in ("", "claude_code.") for k, v in (("interaction", "AGENT"), ("llm_request", "LLM"), ("tool", "TOOL"))},
    (), ("user_prompt", "tool_input"), ("response.model_output",),
)
_CONVENTIONS = (
    Convention(  # OpenInference
        "openinference.span.kind", {k: k for k in _SAME},
        ("llm.token_count.prompt", "llm.token_count.completion", "llm.token_count.total", "llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_write"),
        ("input.value",), ("output.value",), ("llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"), "llm.provider",
    ),
    _CLAUDE,
    Convention(  # OpenTelemetry's own, for generative AI
        "gen_ai.operation.name",
        {"chat": "CHAT_MODEL", "create_agent": "AGENT", "embeddings": "EMBEDDING", "execute_tool": "TOOL", "generate_content": "LLM", "invoke_agent": "AGENT",
         "text_completion": "LLM", "response": "LLM", "llm_call": "LLM", "tool_call": "TOOL", "agent_call": "AGENT"},
        _GEN_AI_TOKENS, ("gen_ai.input.messages", "gen_ai.tool.call.arguments"), ("gen_ai.output.messages", "gen_ai.tool.call.result"), _MODELS,
        "gen_ai.provider.name", "gen_ai.tool.definitions",
    ),
    Convention(  # Traceloop
        "traceloop.span.kind", {"workflow": "WORKFLOW", "task": "TASK", "agent": "AGENT", "tool": "TOOL"},
        ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "llm.usage.total_tokens", "", "gen_ai.usage.cache_creation.input_tokens"),
        ("traceloop.entity.input", "gen_ai.prompt.*.content"), ("traceloop.entity.output", "gen_ai.completion.*.content"), (), "gen_ai.system",
    ),
    Convention(  # Google's agent development kit
        inputs=("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"), outputs=("gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"),
    ),
    Convention(  # Vercel's AI SDK
        "ai.operationId",
        {**{f"ai.{k}": "LLM" for k in _VERCEL_LLM}, "ai.toolCall": "TOOL", "ai.embed": "EMBEDDING", "ai.embed.doEmbed": "EMBEDDING", "ai.embedMany": "EMBEDDING"},
        ("ai.usage.promptTokens", "ai.usage.completionTokens"),
        ("ai.prompt", "ai.prompt.messages", "ai.toolCall.args", "ai.value", "ai.values"),
        ("ai.response.text", "ai.toolCall.result", "ai.response.object", "ai.embedding", "ai.embeddings"), ("ai.response.model", "ai.model.id"), "ai.model.provider",
    ),
    Convention(  # VoltAgent
        "entity.type", {"agent": "AGENT", "llm": "LLM", "tool": "TOOL", "memory": "MEMORY"}, ("usage.prompt_tokens", "usage.completion_tokens", "usage.total_tokens"),
        ("agent.messages", "llm.messages"), (),
    ),
    Convention(  # LiveKit
        inputs=("lk.user_input", "lk.user_transcript", "lk.chat_ctx", "lk.input_text"), outputs=("lk.response.text", "lk.response.function_calls"),
    ),
    Convention(  # Laminar
        "lmnr.span.type",
        {"LLM": "LLM", "TOOL": "TOOL", "DEFAULT": "CHAIN", "PIPELINE": "CHAIN", "EXECUTOR": "AGENT", "EVALUATOR": "EVALUATOR", "HUMAN_EVALUATOR": "EVALUATOR", "EVALUATION": "EVALUATOR", "CACHED": "LLM"},
        (), ("lmnr.span.input",), ("lmnr.span.output",), _MODELS, "gen_ai.system",
    ),
    Convention(  # Langfuse
        "langfuse.observation.type",
        {"generation": "LLM", "embedding": "EMBEDDING", "tool": "TOOL", "retriever": "RETRIEVER", "agent": "AGENT", "chain": "CHAIN", "evaluator": "EVALUATOR", "guardrail": "GUARDRAIL"},
        (), ("langfuse.observation.input",), ("langfuse.observation.output",),
    ),
)
# Most spans speak one convention or none: the others are passed over at once.
_WORDS = [(c, frozenset(k for k in (c.kind, *c.tokens, *c.inputs, *c.outputs, *c.models, c.provider, c.tools) if k and "*" not in k)) for c in _CONVENTIONS]
_NUMBERED = ("gen_ai.prompt.", "gen_ai.completion.")
# How a chat is laid out, for who draws it.
_FORMATS = (("voltagent.", "voltagent"), ("lk.", "livekit"), ("lmnr.span.type", "openai"), ("ai.operationId", "vercel_ai"))
_FORMATTED = tuple(prefix for prefix, _ in _FORMATS)
_ROLES = {"gen_ai.system.message": "system", "gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant"}


def translate(span: Span) -> None:
    """Adds to the span's attributes what MLflow's names are for and is said in other words."""
    found = span.attributes
    if any(not name.startswith("mlflow.") for name in found) or span.events:
        _foreign(found, span.events)
    if MODEL not in found and (model := _model(found.get(INPUTS)) or _model(found.get(OUTPUTS))):
        found[MODEL] = model


def _foreign(found: Attributes, events: Sequence[Event]) -> None:
    numbered = any(name.startswith(_NUMBERED) for name in found)
    spoken = [c for c, known in _WORDS if not known.isdisjoint(found) or (numbered and c.kind == "traceloop.span.kind")]
    if not spoken and not events:
        return _show(found)
    said = {
        TYPE: (_kind, found.get(TYPE) in (None, _UNKNOWN)), INPUTS: (lambda a, c: _first(a, c.inputs), INPUTS not in found),
        OUTPUTS: (lambda a, c: _first(a, c.outputs), OUTPUTS not in found), USAGE: (_usage, USAGE not in found),
        TOOLS: (lambda a, c: _first(a, (c.tools,)), TOOLS not in found), MODEL: (lambda a, c: _first(a, c.models), MODEL not in found),
        PROVIDER: (lambda a, c: _first(a, (c.provider,)), PROVIDER not in found),
    }
    for name, (fact, wanted) in said.items():
        value = _of_any(found, spoken, fact) if wanted else None
        if value is None and wanted and name in (INPUTS, OUTPUTS):
            value = _of_events(events, name == INPUTS)
        if value is not None:
            found[name] = value
    _show(found)


def _show(found: Attributes) -> None:
    first = next((name for name in found if name.startswith(_FORMATTED)), None)
    if first is not None and FORMAT not in found:
        found[FORMAT] = next(f for prefix, f in _FORMATS if first.startswith(prefix))


def _of_any(found: Attributes, spoken: Sequence[Convention], fact: Callable[[Attributes, Convention], Any]) -> Any:
    return next((value for c in spoken if (value := fact(found, c)) is not None), None)


def _kind(found: Attributes, c: Convention) -> str | None:
    kind = _plain(found.get(c.kind)) if c.kind else None
    return c.kinds.get(kind) if isinstance(kind, str) else None


def _first(found: Attributes, keys: Sequence[str]) -> Any:
    """The first of these attributes that says something."""
    for key in keys:
        head, star, tail = key.partition("*")
        names = [key] if not star else [n for n in found if n.startswith(head) and n.endswith(tail) and n[len(head) : len(n) - len(tail)].isdigit()]
        for name in names:
            if found.get(name) not in (None, "", [], {}):
                return found[name]
    return None


def _usage(found: Attributes, c: Convention) -> dict[str, int] | None:
    if c is _CLAUDE and _kind(found, c) == "LLM":  # names that mean this of no other span; its input leaves out what was cached
        read, made = _count(found.get("cache_read_tokens")), _count(found.get("cache_creation_tokens"))
        asked, said = _count(found.get("input_tokens")), _count(found.get("output_tokens"))
        counts = (None if asked is None else asked + (read or 0) + (made or 0), said, None, read, made)
        return _totalled({name: count for name, count in zip(TOKENS, counts, strict=True) if count is not None})
    usage = {name: count for name, key in zip(TOKENS, c.tokens, strict=False) if key and (count := _count(found.get(key))) is not None}
    return _totalled(usage)


def _totalled(usage: dict[str, int]) -> dict[str, int] | None:
    if not usage.keys() & set(TOKENS[:3]):
        return None
    if "total_tokens" not in usage and "input_tokens" in usage and "output_tokens" in usage:
        usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]
    return usage


def _count(value: Any) -> int | None:
    value = _plain(value)
    if isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain(value: Any) -> Any:
    """Some makers send JSON texts where a value is meant."""
    if isinstance(value, str) and value[:1] in ('"', "{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def _of_events(events: Sequence[Event], asked: bool) -> Any:
    """What was asked or answered, where events tell the messages."""
    messages = []
    for event in events:
        said = event.attributes.get("content")
        if asked and event.name in _ROLES and said:
            messages.append({"role": _ROLES[event.name], "content": _plain(said)})
        elif not asked and event.name == "gen_ai.choice" and said:
            messages.append({"role": _plain(event.attributes.get("role", "assistant")), "content": _plain(said)})
        else:
            name = "prompt" if asked else "completion"
            if event.name == f"gen_ai.content.{name}" and (whole := event.attributes.get(f"gen_ai.{name}")):
                return whole
    return messages or None


def _model(said: Any) -> str | None:
    """The model that a request or answer names itself."""
    if isinstance(said, str):
        said = _plain(said) if '"model"' in said else None
    model = said.get("model") if isinstance(said, dict) else None
    return model if isinstance(model, str) and model else None
