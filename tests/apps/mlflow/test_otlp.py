from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from lazward.storage import spans, traces
from tests.apps.tracking_app import PLAIN, PLUGIN
from tests.storage.trace_data import find, id_of
from tests.storage.tracking_data import KEY, make_run

PATH = PLAIN + "/v1/traces"
PROTOBUF = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}
JSON = {"content-type": "application/json; charset=utf-8", "x-mlflow-experiment-id": "0"}
NS = 1_800_000_000_000_000_000


def request(*numbers: int) -> ExportTraceServiceRequest:
    out = ExportTraceServiceRequest()
    group = out.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop\0"
    for number in numbers:
        span = group.scope_spans.add().spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=(1).to_bytes(8, "big"), name=f"n{number}\0", start_time_unix_nano=NS, end_time_unix_nano=NS + 10**9,
        )
        span.status.code = 2
        span.attributes.add(key="list").value.array_value.values.add().int_value = 5
        span.attributes.add(key="map").value.kvlist_value.values.add(key="k").value.double_value = 0.5
        span.attributes.add(key="raw").value.bytes_value = b"\xff"
        span.attributes.add(key="none")
        span.events.add(name="e", time_unix_nano=NS).attributes.add(key="x").value.bool_value = True
        span.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
        span.links.add(trace_id=b"\1" * 32, span_id=b"\2")
    return out


def as_json(*numbers: int) -> dict:
    return {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "scopeSpans": [{"spans": [
        {"traceId": f"{n:032X}", "spanId": "00000000000000AB", "name": f"n{n}", "startTimeUnixNano": str(NS), "endTimeUnixNano": NS + 10**9, "status": {"code": "STATUS_CODE_ERROR", "message": "m"},
         "attributes": [{"key": "list", "value": {"arrayValue": {"values": [{"intValue": "5"}]}}}, {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}}}],
         "events": [{"name": "e", "timeUnixNano": str(NS), "attributes": [{"key": "x", "value": {"boolValue": True}}]}]} for n in numbers]}]}]}


async def send(app, content, headers, path=PATH, token="owner"):
    async with app.client(token) as client:
        return await client.post(path, content=content, headers=headers)


def kept(app, number):
    _, (text,) = app.db.read_now(spans.whole, KEY, id_of(number))
    return json.loads(text)


@pytest.mark.parametrize("prefix", [PLAIN, PLUGIN, "/mlflow/workspaces/ws"])
async def test_protobuf_under_every_prefix(app, prefix):
    answer = await send(app, request(1, 2).SerializeToString(), PROTOBUF, prefix + "/v1/traces")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/x-protobuf", b"")
    span = kept(app, 1)
    assert (span["name"], span["status"]["code"], span["attributes"]["list"], span["attributes"]["map"], span["attributes"]["raw"], span["attributes"]["none"]) == ("n1", "STATUS_CODE_ERROR", "[5]", '{"k": 0.5}', '"/w=="', "null")
    assert [len(span[name]) for name in ("events", "links")] == [1, 1]
    trace = app.db.read_now(traces.one, KEY, id_of(2)).trace
    assert (trace.state, trace.duration, trace.tags["service.name"]) == ("ERROR", 1000, "shop")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda b: zlib.compress(b)[2:-4]), ("identity", bytes)])
async def test_json_packed_in_any_way(app, encoding, pack):
    answer = await send(app, pack(json.dumps(as_json(1)).encode()), {**JSON, "content-encoding": encoding})
    assert (answer.status_code, answer.json()) == (200, {})
    span = kept(app, 1)
    assert (span["name"], span["status"], span["attributes"]["list"], span["events"][0]["attributes"]) == ("n1", {"code": "STATUS_CODE_ERROR", "message": "m"}, "[5]", {"x": True})


async def test_a_span_that_is_none_does_not_stop_the_others(app):
    bad = request(1, 2)
    bad.resource_spans[0].scope_spans[0].spans[0].trace_id = b"\0" * 16
    answer = await send(app, bad.SerializeToString(), PROTOBUF)
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, told.rejected_spans) == (200, 1) and "'n1': its traceId" in told.error_message
    assert find(app.db)[0] == [2]
    wrong = as_json(3, 4)
    wrong["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["attributes"][0]["value"] = {"intValue": "many"}
    told = (await send(app, json.dumps(wrong), JSON)).json()["partialSuccess"]
    assert told["rejectedSpans"] == 1 and "intValue" in told["errorMessage"]
    assert sorted(find(app.db)[0]) == [2, 3]


async def test_runs(app):
    make_run(app.db, "r1")
    await send(app, json.dumps(as_json(1)), {**JSON, "x-mlflow-run-id": "r1"})
    assert find(app.db, "run_id = 'r1'")[0] == [1]
    told = (await send(app, json.dumps(as_json(2)), {**JSON, "x-mlflow-run-id": "none"})).json()["partialSuccess"]
    assert told["rejectedSpans"] == 0 and "not found" in told["errorMessage"]
    assert find(app.db)[0] == [1, 2]


@pytest.mark.parametrize(("content", "headers", "status"), [
    (b"", {}, 400), (b"{}", {}, 400), (b"[]", {}, 400), (b"x", {}, 400), (b'{"resourceSpans": 5}', {}, 400), (b'{"resourceSpans": [5]}', {}, 400), (b'{"resourceSpans": [{"scopeSpans": [{"spans": {}}]}]}', {}, 400),
    (b"{}", {"content-type": "text/plain"}, 400), (b"\xff\xff", PROTOBUF, 400), (b"", PROTOBUF, 400), (b"{}", {"x-mlflow-experiment-id": ""}, 400), (b"x", {"content-encoding": "gzip"}, 400), (b"x", {"content-encoding": "deflate"}, 400),
    (gzip.compress(b"{}", mtime=0)[:-3], {"content-encoding": "gzip"}, 400), (b"x", {"content-encoding": "zstd"}, 400), (json.dumps(as_json(1)).encode(), {"x-mlflow-experiment-id": "none"}, 404), (json.dumps(as_json(1)).encode(), {"x-mlflow-run-id": "../x"}, 400),
    (gzip.compress(b" " * 20 * 2**20, mtime=0), {"content-encoding": "gzip"}, 413), (b" " * 17 * 2**20, {}, 413),
])
async def test_what_is_refused(app, content, headers, status):
    answer = await send(app, content, {**JSON, **headers})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error_code", "message"}
    assert find(app.db)[0] == []


async def test_who_may_not_write_is_not_read(app):
    app.authority.rights["reader"] = [("*/read", "/")]
    assert (await send(app, b"\xff", PROTOBUF, token="reader")).status_code == 403
    assert (await send(app, b"\xff", PROTOBUF, token="nobody")).status_code == 401
    assert (await send(app, request(1).SerializeToString(), PROTOBUF, PATH.replace("/Ws", "/other"), "reader")).status_code == 403


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
@given(data=st.data())
async def test_bad_input_is_never_a_500(app, data):
    if data.draw(st.booleans()):
        raw = bytearray(request(1, 2).SerializeToString())
        span = request(1)
        for name in ("session.id", "mlflow.spanInputs", "mlflow.chat.tokenUsage", "mlflow.llm.cost", "mlflow.spanType", "mlflow.llm.model", "gen_ai.operation.name", "mlflow.traceTag.a", "user.id"):
            span.resource_spans[0].scope_spans[0].spans[0].attributes.add(key=name).value.string_value = data.draw(st.sampled_from(
                ['"a\\u0000"', '{"\\u0000": 1, "total_tokens": 1e400}', '{"messages": [{"role": "user", "content": "\\u0000"}]}', "[" * 2000, "NaN", '{"total_tokens": NaN}', '"\\ud800"', "x"],
            ))
        raw = bytearray(span.SerializeToString()) if data.draw(st.booleans()) else raw
        for _ in range(data.draw(st.integers(0, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        answer = await send(app, bytes(raw), PROTOBUF)
    else:
        body = as_json(1)
        span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        holder = data.draw(st.sampled_from([span, span["status"], span["events"][0], span["attributes"][0], span["attributes"][0]["value"], body["resourceSpans"][0]["resource"]]))
        holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(st.recursive(
            st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(codec="utf-8"), max_size=40), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["key", "value", "stringValue", "arrayValue", "values"]), inner), max_leaves=5,
        ))
        answer = await send(app, json.dumps(body), JSON)
    assert answer.status_code in (200, 400), answer.text
    async with app.client() as client:
        for number in find(app.db)[0][:3]:
            read = await client.get(f"{PLAIN}/api/3.0/mlflow/traces/get?trace_id={id_of(number)}&allow_partial=true")
            assert read.status_code == 200 and read.json()["trace"]["spans"], read.text
    assert find(app.db, "span.attributes.map LIKE '%' OR text LIKE '%x%'") is not None
