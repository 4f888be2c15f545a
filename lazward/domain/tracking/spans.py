"""Spans: as OTLP brings them, as they are kept (MLflow's own form, the one of its traces.json), and as clients read them back.

Kept are attributes as JSON texts, ids in base64. A value that is a JSON text already stays the text it is, so that what MLflow's clients
serialise themselves is not wrapped twice.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import msgspec

REQUEST_ID, INPUTS, OUTPUTS, TYPE = "mlflow.traceRequestId", "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType"
USAGE, COST, MODEL, PROVIDER = "mlflow.chat.tokenUsage", "mlflow.llm.cost", "mlflow.llm.model", "mlflow.llm.provider"
TOOLS, FORMAT = "mlflow.chat.tools", "mlflow.message.format"
UNSET, OK, ERROR = "UNSET", "OK", "ERROR"
INT64 = 2**63

Attributes = dict[str, Any]


class Event(msgspec.Struct):
    """at: nanoseconds."""

    name: str
    at: int
    attributes: Attributes


class Link(msgspec.Struct):
    """trace: 32, span: 16 hexadecimal digits."""

    trace: str
    span: str
    attributes: Attributes


class Span(msgspec.Struct):
    """trace: 32, id and parent: 16 hexadecimal digits. start, end: nanoseconds. status: UNSET | OK | ERROR. Attributes are JSON values."""

    trace: str
    id: str
    parent: str | None
    name: str
    start: int
    end: int | None
    status: str
    message: str
    attributes: Attributes
    events: list[Event]
    links: list[Link]
    resource: Attributes

    @property
    def trace_id(self) -> str:
        """MLflow's id of the trace."""
        return f"tr-{self.trace}"


def fault(span: Span) -> str | None:
    """Why it cannot be kept; None when it can."""
    for what, value, length in (("traceId", span.trace, 32), ("spanId", span.id, 16)):
        if len(value) != length or not value.strip("0"):
            return f"its {what} is missing or not of {length // 2} bytes"
    if span.parent is not None and len(span.parent) != 16:
        return "its parentSpanId is not of 8 bytes"
    if not 0 <= span.start < INT64 or (span.end is not None and not 0 <= span.end < INT64) or any(not 0 <= e.at < INT64 for e in span.events):
        return "a time of it is not between 1970 and 2262"
    return None


def dumped(value: Any) -> str:
    """An attribute's value as the JSON text that is kept."""
    if isinstance(value, str):
        if value[:1] in ("{", "[", '"') and value[-1:] in ("}", "]", '"'):
            try:
                msgspec.json.decode(value)
                return value
            except (msgspec.DecodeError, RecursionError):
                pass
        return msgspec.json.encode(value).decode()
    if type(value) is int:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def loaded(text: Any) -> Any:
    """The value of a kept attribute; the text itself when it is none of JSON (spans of other makers in a traces.json)."""
    if not isinstance(text, str):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            value = json.loads(text)  # knows NaN and infinities
            json.dumps(value, ensure_ascii=False).encode()  # and half characters, which nothing else takes
            return value
        except (ValueError, RecursionError):
            return text


def content(span: Span) -> str:
    """The span as it is kept."""
    attributes = {name: dumped(value) for name, value in span.attributes.items()}
    attributes[REQUEST_ID] = f'"{span.trace_id}"'
    return msgspec.json.encode({
        "trace_id": _base64(span.trace), "span_id": _base64(span.id), "parent_span_id": _base64(span.parent) if span.parent else None, "name": span.name,
        "start_time_unix_nano": span.start, "end_time_unix_nano": span.end,
        "events": [{"name": e.name, "time_unix_nano": e.at, "attributes": _plain(e.attributes)} for e in span.events],
        "status": {"code": f"STATUS_CODE_{span.status}", "message": span.message},
        "attributes": attributes,
        "links": [{"trace_id": f"tr-{link.trace}", "span_id": link.span, "attributes": _plain(link.attributes) or None} for link in span.links],
    }).decode()


def otlp(kept: str) -> dict[str, Any]:
    """A kept span as the JSON of OTLP's protobuf, which is how MLflow's calls answer spans."""
    raw = msgspec.json.decode(kept)
    out: dict[str, Any] = {name: raw[name] for name in ("trace_id", "span_id", "name", "start_time_unix_nano")}
    if raw.get("parent_span_id"):
        out["parent_span_id"] = raw["parent_span_id"]
    if raw.get("end_time_unix_nano") is not None:
        out["end_time_unix_nano"] = raw["end_time_unix_nano"]
    status = raw.get("status") or {}
    out["status"] = {"code": status.get("code") or "STATUS_CODE_UNSET"} | ({"message": status["message"]} if status.get("message") else {})
    out["attributes"] = [{"key": name, "value": any_value(loaded(text))} for name, text in (raw.get("attributes") or {}).items()]
    if raw.get("events"):
        out["events"] = [
            {"name": e["name"], "time_unix_nano": e["time_unix_nano"], "attributes": _pairs(e.get("attributes"))} for e in raw["events"]
        ]
    if raw.get("links"):
        out["links"] = [
            {"trace_id": _base64(link["trace_id"].removeprefix("tr-")), "span_id": _base64(link["span_id"]), "attributes": _pairs(link.get("attributes"))}
            for link in raw["links"]
        ]
    return out


def any_value(value: Any) -> dict[str, Any]:
    """A JSON value as OTLP's AnyValue."""
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, int):
        return {"int_value": value} if -INT64 <= value < INT64 else {"double_value": float(value) if abs(value) < 1e300 else str(value)}
    if isinstance(value, float):
        return {"double_value": value if math.isfinite(value) else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, dict):
        return {"kvlist_value": {"values": _pairs(value)}}
    return {"array_value": {"values": [any_value(item) for item in value]}}


def _pairs(attributes: Attributes | None) -> list[dict[str, Any]]:
    return [{"key": name, "value": any_value(value)} for name, value in (attributes or {}).items()]


def _plain(attributes: Attributes) -> Attributes:
    """JSON has no NaN and no infinities; in attributes of events they are told as text."""
    return {name: str(value) if isinstance(value, float) and not math.isfinite(value) else value for name, value in attributes.items()}


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()
