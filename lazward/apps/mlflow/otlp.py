"""Spans over OTLP/HTTP: POST .../v1/traces in protobuf or JSON, for MLflow's client and for any OpenTelemetry exporter or collector.

The header x-mlflow-experiment-id says where they go; x-mlflow-run-id links the traces to a run. One transaction takes a request; a span
that is none is left out and counted in the answer (partial success), so that its neighbours are not sent again and again for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import zlib
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.responses import Response

from lazward.apps.chain import json_response
from lazward.apps.mlflow.call import Call
from lazward.contract.json_body import read_json
from lazward.contract.mlflow import MlflowError, invalid
from lazward.domain.tracking import names
from lazward.domain.tracking.spans import ERROR, OK, UNSET, Attributes, Event, Link, Span, fault
from lazward.domain.tracking.trace_summary import TraceBatch, batches
from lazward.storage import spans

PROTOBUF, JSON = "application/x-protobuf", "application/json"
EXPERIMENT, RUN = "x-mlflow-experiment-id", "x-mlflow-run-id"
_STATUS = {1: OK, 2: ERROR, "STATUS_CODE_OK": OK, "STATUS_CODE_ERROR": ERROR}
_MAX_TOLD = 5  # faults that an answer names
_LARGE = 64 * 1024  # bytes; some milliseconds of work


async def export(call: Call) -> Response:
    headers = call.ctx.request.headers
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in (PROTOBUF, JSON):
        raise invalid(f"Invalid Content-Type: {kind[:100]!r}. Expected: {PROTOBUF} or {JSON}", "content-type")
    experiment, run = headers.get(EXPERIMENT, ""), headers.get(RUN) or None
    if not experiment:
        raise invalid(f"Missing value for required header '{EXPERIMENT}': the id of the experiment the spans go to.", EXPERIMENT)
    if run is not None:
        names.check_run_id(run, RUN)
    body = inflated(await call.ctx.body(), headers.get("content-encoding", "identity").strip().lower(), call.ctx.route.max_body)
    # What would hold up other requests is read on a thread.
    found, faults = await asyncio.to_thread(_prepared, kind, body) if len(body) > _LARGE else _prepared(kind, body)
    told = None
    if found:
        told = await call.write(spans.log, experiment, found, run, call.now)
    elif not faults:
        raise invalid("Invalid OpenTelemetry format: there are no spans.", "body")
    return _answer(kind, faults, told)


def _prepared(kind: str, body: bytes) -> tuple[list[TraceBatch], list[str]]:
    found, faults = _from_protobuf(body) if kind == PROTOBUF else from_json(read_json(body))
    return batches(found), faults


def _answer(kind: str, faults: list[str], told: str | None) -> Response:
    """told: what is wrong besides, though all spans are kept."""
    message = "; ".join([*faults[:_MAX_TOLD], *([told] if told else [])])
    if kind == JSON:
        return json_response({"partialSuccess": {"rejectedSpans": len(faults), "errorMessage": message}} if message else {})
    answer = ExportTraceServiceResponse()
    if message:
        answer.partial_success.rejected_spans = len(faults)
        answer.partial_success.error_message = message
    return Response(answer.SerializeToString(), media_type=PROTOBUF)


def inflated(body: bytes, encoding: str, limit: int | None) -> bytes:
    """The body, unpacked. MlflowError 413 as soon as it grows beyond the limit, whatever it would become."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise invalid(f"Unsupported Content-Encoding: {encoding[:60]}", "content-encoding")
    bits = 16 + zlib.MAX_WBITS if encoding == "gzip" else zlib.MAX_WBITS if body[:1] == b"\x78" else -zlib.MAX_WBITS
    unpack = zlib.decompressobj(bits)
    try:
        out = unpack.decompress(body, (limit or 0) + 1 if limit is not None else 0)
    except zlib.error:
        raise invalid(f"Failed to decompress {encoding} payload", "body") from None
    if limit is not None and len(out) > limit:
        raise MlflowError("REQUEST_LIMIT_EXCEEDED", f"The request body is larger than the {limit} bytes accepted here.", "body")
    if not unpack.eof:
        raise invalid(f"Failed to decompress {encoding} payload: it ends too early", "body")
    return out


def _sorted_out(all_spans: Iterable[Span]) -> tuple[list[Span], list[str]]:
    """(spans to keep, what is wrong with the others)."""
    kept, faults = [], []
    for span in all_spans:
        why = fault(span)
        if why:
            faults.append(f"span {_clean(span.name)[:60]!r}: {why}")
        else:
            kept.append(span)
    return kept, faults


# ---- protobuf ---------------------------------------------------------------------------------------------------------------


def _from_protobuf(body: bytes) -> tuple[list[Span], list[str]]:
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise invalid("Invalid OpenTelemetry format: the body is no ExportTraceServiceRequest.", "body") from None
    return _sorted_out(_read(request))


def _read(request: Any) -> Iterable[Span]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for s in scope.spans:
                yield Span(
                    s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex() or None, _clean(s.name), s.start_time_unix_nano, s.end_time_unix_nano or None,
                    _STATUS.get(s.status.code, UNSET), _clean(s.status.message), _attributes(s.attributes),
                    [Event(_clean(e.name), e.time_unix_nano, _attributes(e.attributes)) for e in s.events],
                    [Link(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes)) for link in s.links if _whole(link.trace_id.hex(), link.span_id.hex())],
                    resource,
                )


def _attributes(pairs: Any) -> Attributes:
    return {_clean(pair.key): _value(pair.value) for pair in pairs}


def _value(any_value: Any) -> Any:
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "string_value":
        return _clean(any_value.string_value)
    if kind == "array_value":
        return [_value(v) for v in any_value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(any_value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(any_value.bytes_value).decode()
    return getattr(any_value, kind) if kind in ("bool_value", "int_value", "double_value") else None


# ---- JSON -------------------------------------------------------------------------------------------------------------------


def from_json(raw: Any) -> tuple[list[Span], list[str]]:
    """ids are hexadecimal, numbers of 64 bits may be text, as OTLP has it. MlflowError for what is no request at all."""
    kept: list[Span] = []
    faults: list[str] = []
    for group in _list(raw, "resourceSpans", "body"):
        resource = _json_attributes(_object(group, "resourceSpans").get("resource") or {})
        for scope in _list(group, "scopeSpans", "resourceSpans"):
            for s in _list(scope, "spans", "scopeSpans"):
                try:
                    some, why = _sorted_out([_json_span(_object(s, "spans"), resource)])
                except MlflowError as error:
                    some, why = [], [error.message]
                kept += some
                faults += why
    return kept, faults


def _json_span(s: dict[str, Any], resource: Attributes) -> Span:
    status = _object(s.get("status") or {}, "status")
    code = status.get("code")
    return Span(
        _hex(s, "traceId"), _hex(s, "spanId"), _hex(s, "parentSpanId") or None, _text(s, "name"), _time(s, "startTimeUnixNano"), _time(s, "endTimeUnixNano") or None,
        _STATUS.get(code, UNSET) if isinstance(code, (int, str)) else UNSET, _text(status, "message"), _json_attributes(s),
        [Event(_text(e, "name"), _time(e, "timeUnixNano"), _json_attributes(e)) for e in (_object(e, "events") for e in _list(s, "events", "spans"))],
        [Link(_hex(link, "traceId"), _hex(link, "spanId"), _json_attributes(link)) for link in (_object(link, "links") for link in _list(s, "links", "spans"))
         if _whole(_hex(link, "traceId"), _hex(link, "spanId"))],
        resource,
    )


def _json_attributes(holder: dict[str, Any]) -> Attributes:
    return {_text(pair, "key"): _json_value(pair.get("value")) for pair in (_object(p, "attributes") for p in _list(_object(holder, "resource"), "attributes", "spans"))}


def _json_value(raw: Any) -> Any:
    if raw is None:
        return None
    held = _object(raw, "value")
    if held.get("stringValue") is not None:
        return _text(held, "stringValue")
    if held.get("intValue") is not None:
        return names.integer(held["intValue"], "intValue")
    if held.get("doubleValue") is not None:
        return names.number(held["doubleValue"], "doubleValue")
    if held.get("boolValue") is not None:
        return held["boolValue"] is True
    if held.get("arrayValue") is not None:
        return [_json_value(v) for v in _list(_object(held["arrayValue"], "arrayValue"), "values", "arrayValue")]
    if held.get("kvlistValue") is not None:
        return {_text(p, "key"): _json_value(p.get("value")) for p in (_object(p, "values") for p in _list(_object(held["kvlistValue"], "kvlistValue"), "values", "kvlistValue"))}
    return _text(held, "bytesValue") if held.get("bytesValue") is not None else None


def _object(raw: Any, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise invalid(f"Invalid OpenTelemetry format: what is in '{where}' must be an object.", where)
    return raw


def _list(raw: Any, name: str, where: str) -> list[Any]:
    found = _object(raw, where).get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise invalid(f"Invalid OpenTelemetry format: '{name}' must be a list.", name)
    return found


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(f"Invalid OpenTelemetry format: '{name}' must be a string.", name)
    return _clean(value)


def _hex(raw: dict[str, Any], name: str) -> str:
    """An id in hexadecimal digits; "" for what is none, which fault() names."""
    text = _text(raw, name)
    try:
        return binascii.unhexlify(text).hex()
    except ValueError:
        return ""


def _time(raw: dict[str, Any], name: str) -> int:
    """Nanoseconds; above what 64 bits hold, -1, which fault() names."""
    value = raw.get(name)
    if value is None:
        return 0
    if isinstance(value, str) and value.isdecimal() and len(value) <= 20:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _whole(trace: str, span: str) -> bool:
    """Links with ids of other lengths are left out: some makers have them, and spans are not lost for it."""
    return len(trace) == 32 and len(span) == 16


def _clean(text: str) -> str:
    """Without NUL, which no text column of PostgreSQL takes."""
    return text.replace("\0", "") if "\0" in text else text
