"""What the spans of one request say of their traces: times, state, tokens, cost, previews, session. Pure, so that it is ready before the
database is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking import names
from lazward.domain.tracking.span_conventions import TOKENS, translate
from lazward.domain.tracking.spans import (
    COST,
    ERROR,
    INPUTS,
    MODEL,
    OUTPUTS,
    PROVIDER,
    TYPE,
    USAGE,
    Span,
    content,
    dumped,
)

NAME, SESSION, USER, SOURCE_RUN = "mlflow.traceName", "mlflow.trace.session", "mlflow.trace.user", "mlflow.sourceRun"
TOKEN_USAGE, TRACE_COST, FINAL = "mlflow.trace.tokenUsage", "mlflow.trace.cost", "mlflow.trace.infoFinalized"
SPANS_LOCATION, TRACKING_STORE = "mlflow.trace.spansLocation", "TRACKING_STORE"
ARTIFACTS, SIZES = "mlflow.artifactLocation", "mlflow.trace.sizeStats"
MAX_PREVIEW = 1000
COSTS = ("input_cost", "output_cost", "total_cost")
COUNTS = (*TOKENS, "cache_creation_input_tokens_above_1hr")
_TAG = "mlflow.traceTag."
_MAX_DIMENSION = 500

Numbers = dict[str, Any]


class Node(msgspec.Struct):
    """One span in the tree that numbers are summed over."""

    id: str
    parent: str | None
    usage: Numbers | None
    cost: Numbers | None


class TraceBatch(msgspec.Struct):
    """Spans of one trace that came together. Times are milliseconds; end is None while all of them run. state: of the root, when it is
    among them. rows: for the table of spans, still without the number of their trace."""

    id: str
    start: int
    end: int | None = None
    state: str | None = None
    name: str | None = None
    session: str | None = None
    user: str | None = None
    request: str | None = None
    response: str | None = None
    tags: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    nodes: list[Node] = []

    @property
    def counts(self) -> bool:
        return any(node.usage or node.cost for node in self.nodes)


def batches(spans: Sequence[Span]) -> list[TraceBatch]:
    """In the order of the traces' ids, so that writers meet them in one order. A span sent twice counts once, as it was last."""
    by_trace: dict[str, dict[str, Span]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, {})[span.id] = span
    return [_batch(id_, list(of.values())) for id_, of in sorted(by_trace.items())]


def _batch(id_: str, spans: list[Span]) -> TraceBatch:
    ends = [s.end for s in spans if s.end is not None]
    out = TraceBatch(id_, min(s.start for s in spans) // 1_000_000, max(ends) // 1_000_000 if ends else None)
    for span in spans:
        translate(span)
        found = span.attributes
        usage, cost = numbers(found.get(USAGE), COUNTS), numbers(found.get(COST), COSTS)
        out.nodes.append(Node(span.id, span.parent, usage, cost))
        out.session = out.session or _text(found.get("session.id") or found.get("gen_ai.conversation.id"))
        out.user = out.user or _text(found.get("user.id"))
        out.rows.append({
            "id": span.id, "parent": span.parent, "name": span.name, "type": _text(found.get(TYPE)), "status": span.status, "started": span.start,
            "ended": span.end, "model": (_text(found.get(MODEL)) or "")[:_MAX_DIMENSION] or None, "provider": (_text(found.get(PROVIDER)) or "")[:_MAX_DIMENSION] or None,
            "usage": usage, "cost": cost, "content": content(span),
        })
        for name, value in span.resource.items():
            if not name.startswith(("telemetry.sdk.", "mlflow.")):
                _tag(out.tags, name, value)
        if span.parent is None:
            _root(out, span)
    return out


def _root(out: TraceBatch, span: Span) -> None:
    out.state = "ERROR" if span.status == ERROR else "OK"
    out.name = span.name or None
    if INPUTS in span.attributes:
        out.request = preview(dumped(span.attributes[INPUTS]), "user")
    if OUTPUTS in span.attributes:
        out.response = preview(dumped(span.attributes[OUTPUTS]), "assistant")
    for name, value in span.attributes.items():
        if name.startswith(_TAG):
            _tag(out.tags, name[len(_TAG) :], value)
    out.name = out.tags.pop(NAME, None) or out.name


def _tag(tags: dict[str, str], name: str, value: Any) -> None:
    """What is no tag by its name or size is left out: spans are not lost for it."""
    try:
        tags[names.check_key(name)] = names.check_value(value if isinstance(value, str) else dumped(value))
    except MlflowError:
        return


def _text(value: Any) -> str | None:
    if isinstance(value, str) and value[:1] == '"':
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            pass
    return _without_nul(value) or None if isinstance(value, str) else None


def _without_nul(text: str) -> str:
    """JSON in an attribute may hold what no text column of PostgreSQL takes."""
    return text.replace("\0", "") if "\0" in text else text


def numbers(raw: Any, known: Sequence[str]) -> Numbers | None:
    """The numbers of these names in a document, which may be JSON text; tokens are whole. None where there is no document."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            return None
    if not isinstance(raw, dict):
        return None
    return {name: n for name in known if name in raw and (n := _number(raw[name], known is COUNTS)) is not None}


def _number(value: Any, whole: bool) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -(2**63) < value < 2**63:  # nor NaN
        return None
    return (int(value) if float(value).is_integer() else None) if whole else float(value)


def totals(nodes: Sequence[Node]) -> tuple[Numbers | None, Numbers | None]:
    """(usage, cost) of a trace. A span above that gives numbers speaks for all below it, so that sums of agents and their calls are not
    counted twice."""
    return _sum(nodes, "usage", TOKENS[:3], COUNTS[3:], 0), _sum(nodes, "cost", COSTS, (), 0.0)


def _sum(nodes: Sequence[Node], of: str, always: Sequence[str], sometimes: Sequence[str], zero: float) -> Numbers | None:
    known = {node.id: node for node in nodes}
    below: dict[str, list[Node]] = {}
    tops = []
    for node in known.values():
        if node.parent in known and node.parent != node.id:
            below.setdefault(node.parent, []).append(node)
        else:
            tops.append(node)
    out: Numbers | None = None
    while tops:  # circles have no top and count nothing
        node = tops.pop()
        found = getattr(node, of)
        if found is None:
            tops += below.get(node.id, ())
            continue
        out = out or dict.fromkeys(always, zero)
        for name in (*always, *(s for s in sometimes if s in found)):
            out[name] = out.get(name, zero) + found.get(name, zero)
    return out


def preview(text: str, role: str) -> str | None:
    """What a list shows of inputs or outputs: the last message of that role where they are a chat, else the JSON; at most 1,000 characters."""
    said: Any = None
    if '"content"' in text:
        try:
            said = _message(msgspec.json.decode(text), role, 0)
        except (msgspec.DecodeError, RecursionError):
            pass
    shown = _without_nul(said or text)
    return shown if len(shown) <= MAX_PREVIEW else shown[: MAX_PREVIEW - 3] + "..."


def _message(value: Any, role: str, depth: int) -> str | None:
    if not isinstance(value, dict) or depth > 3:
        return None
    choices = value.get("choices")
    answered = [choices[0].get("message")] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    for some in (value.get("messages"), answered, value.get("input"), value.get("output")):
        messages = [m for m in some if isinstance(m, dict) and "role" in m and "content" in m] if isinstance(some, list) else []
        if messages:
            return _content(next((m for m in reversed(messages) if m["role"] == role), messages[-1])["content"])
    return _message(value.get("request"), role, depth + 1)


def _content(said: Any) -> str | None:
    if isinstance(said, list):
        for part in said:
            if isinstance(part, str):
                return part
            if isinstance(part, dict) and part.get("type") in ("text", "output_text") and isinstance(part.get("text"), str):
                return part["text"]
        return None
    return said if isinstance(said, str) else None
