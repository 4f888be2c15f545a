from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.storage import traces
from tests.apps.tracking_app import PLAIN
from tests.storage.trace_data import S, id_of, log, make_span, start
from tests.storage.tracking_data import KEY, OTHER, make_run

V2, V3 = PLAIN + "/api/2.0/mlflow/", PLAIN + "/api/3.0/mlflow/"
HERE = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]
T = id_of(1)


def info(id_=T, **more):
    return {"trace": {"trace_info": {"trace_id": id_, "trace_location": HERE[0], "request_time": "2027-01-01T00:00:00.5Z", "execution_duration": "1.250s", "state": "OK", **more}}}


async def post(client, path, body, status=200, base=V3):
    answer = await client.post(base + path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_version_3(app):
    async with app.client() as client:
        made = (await post(client, "traces", info(tags={"mlflow.traceName": "n"}, trace_metadata={"a": "b"}, client_request_id="c")))["trace"]["trace_info"]
        assert made == (await client.get(V3 + f"traces/{T}")).json()["trace"]["trace_info"]
        assert made == {
            "trace_id": T, "trace_location": HERE[0], "request_time": "2027-01-01T00:00:00.500Z", "execution_duration": "1.250s", "state": "OK", "client_request_id": "c",
            "trace_metadata": {"a": "b", "mlflow.trace.infoFinalized": "true"}, "tags": {"mlflow.traceName": "n", "mlflow.artifactLocation": f"mlflow-artifacts:/{T}/artifacts"},
        }
        assert (await post(client, "traces/search", {"locations": HERE}))["traces"] == [made]
        assert (await post(client, "traces/batchGetInfos", {"trace_ids": [T, "none"]}))["trace_infos"] == [made]
        assert (await client.get(V3 + f"traces/batchGet?trace_ids={T}")).json()["traces"] == []  # its spans are not here
        assert (await client.get(V3 + f"traces/get?trace_id={T}")).json()["error_code"] == "INVALID_PARAMETER_VALUE"
        assert (await client.get(V3 + "traces/get?trace_id=none")).status_code == 404


async def test_version_2(app):
    async with app.client() as client:
        made = (await post(client, "traces", {"experiment_id": "0", "timestamp_ms": 1000, "tags": [{"key": "a", "value": "b"}]}, base=V2))["trace_info"]
        id_ = made["request_id"]
        assert (made["status"], made["execution_time_ms"], made["timestamp_ms"], id_[:3]) == ("IN_PROGRESS", 0, 1000, "tr-")
        ended = (await client.patch(V2 + f"traces/{id_}", json={"timestamp_ms": 1500, "status": "OK", "request_metadata": [{"key": "m", "value": "n"}]})).json()["trace_info"]
        assert (ended["status"], ended["execution_time_ms"], ended["request_metadata"]) == ("OK", 500, [{"key": "m", "value": "n"}])
        assert (await client.get(V2 + f"traces/{id_}/info")).json()["trace_info"] == ended
        assert (await client.get(V2 + "traces?experiment_ids=0&filter=status%20%3D%20'OK'&max_results=5")).json()["traces"] == [ended]


async def test_spans_are_answered(app):
    log(app.db, make_span(1, 1, name="root"), make_span(1, 2, 1, name="child"))
    log(app.db, make_span(2, 2, 1, name="half"))
    async with app.client() as client:
        whole = (await client.get(V3 + f"traces/get?trace_id={T}")).json()["trace"]
        assert [s["name"] for s in whole["spans"]] == ["root", "child"] and whole["trace_info"]["trace_id"] == T
        many = (await client.get(V3 + f"traces/batchGet?trace_ids={id_of(2)}&trace_ids={T}")).json()["traces"]
        assert [[s["name"] for s in t["spans"]] for t in many] == [["half"], ["root", "child"]]
        file = await client.get(PLAIN + f"/ajax-api/3.0/mlflow/get-trace-artifact?request_id={T}")
        assert [s["name"] for s in file.json()["spans"]] == ["root", "child"] and "attachment" in file.headers["content-disposition"]


async def test_spans_on_their_way_are_waited_for(app, monkeypatch):
    monkeypatch.setattr("lazward.apps.mlflow.traces._PAUSES_S", (0.0,))
    log(app.db, make_span(1, 1))
    start(app.db, 1, metadata={"mlflow.trace.sizeStats": '{"num_spans": 2}'})
    async with app.client() as client:
        answer = await client.get(V3 + f"traces/get?trace_id={T}")
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        assert "not fully exported yet" in answer.json()["message"]
        assert len((await client.get(V3 + f"traces/get?trace_id={T}&allow_partial=True")).json()["trace"]["spans"]) == 1
        assert (await client.get(V3 + f"traces/batchGet?trace_ids={T}")).json()["traces"] == []
        log(app.db, make_span(1, 2, 1))
        assert len((await client.get(V3 + f"traces/get?trace_id={T}")).json()["trace"]["spans"]) == 2


async def test_artifacts_of_clients_that_send_no_spans(app):
    start(app.db, 1)
    file = f"{PLAIN}/api/2.0/mlflow-artifacts/artifacts/{T}/artifacts/"
    async with app.client() as client:
        assert (await client.put(file + "traces.json", content=b'{"spans": []}')).status_code == 200
        await client.put(file + "attachments/a b", content=b"png")
        assert (await client.get(V3 + f"get-trace-artifact?request_id={T}")).content == b'{"spans": []}'
        assert (await client.get(V3 + f"get-trace-artifact?request_id={T}&path=a%20b")).content == b"png"
        for path in ("../traces.json", "none", "%2e%2e/x"):
            assert (await client.get(V3 + f"get-trace-artifact?request_id={T}&path={path}")).status_code in (400, 404), path
        assert await post(client, "traces/delete-traces", {"experiment_id": "0", "request_ids": [T]}, base=V2) == {"traces_deleted": 1}
        assert (await client.get(file + "traces.json")).status_code == 404
    assert [b.name for b in (await app.blobs.list("stws", "azureml")).blobs] == []


async def test_deleting(app):
    for n in range(1, 6):
        log(app.db, make_span(n, 1, start=n))
    async with app.client() as client:
        for body in ({}, {"max_timestamp_millis": 5, "request_ids": [T]}, {"request_ids": [T], "max_traces": 1}, {"max_timestamp_millis": 5, "max_traces": 0}, {"request_ids": ["../x"]}, {"request_ids": ["a"] * 10_001}):
            assert (await post(client, "traces/delete-traces", {"experiment_id": "0", **body}, 400))["error_code"] == "INVALID_PARAMETER_VALUE", body
        until = (S + 4) * 1000
        assert await post(client, "traces/delete-traces", {"experiment_id": "0", "max_timestamp_millis": until, "max_traces": 3}) == {"traces_deleted": 3}
        assert await post(client, "traces/delete-traces", {"experiment_id": "0", "max_timestamp_millis": until}) == {"traces_deleted": 1}
        assert [t["trace_id"] for t in (await post(client, "traces/search", {"locations": HERE}))["traces"]] == [id_of(5)]


async def test_tags_and_links(app):
    make_run(app.db, "r1")
    start(app.db, 1)
    async with app.client() as client:
        assert (await client.patch(V2 + f"traces/{T}/tags", json={"key": "a", "value": "b"})).status_code == 200
        assert (await client.request("DELETE", V2 + f"traces/{T}/tags", json={"key": "a"})).status_code == 200
        assert (await client.request("DELETE", V2 + f"traces/{T}/tags?key=a")).status_code == 404
        assert (await client.patch(V3 + f"traces/{T}/tags", json={"key": "mlflow.artifactLocation", "value": "file:///"})).status_code == 400
        await post(client, "traces/link-to-run", {"trace_ids": [T], "run_id": "r1"}, base=V2)
        await post(client, "traces/link-prompts", {"trace_id": T, "prompt_versions": [{"name": "p", "version": "3"}]}, base=V2)
        for text in ("run_id = 'r1'", "prompt = 'p/3'"):
            assert len((await post(client, "traces/search", {"locations": HERE, "filter": text}))["traces"]) == 1
        await post(client, "traces/link-to-run", {"trace_ids": ["x"] * 101, "run_id": "r1"}, 400, V2)
        await post(client, "traces/link-prompts", {"trace_id": T, "prompt_versions": [{"name": "p", "version": "x"}]}, 400, V2)


async def test_sums(app):
    log(app.db, make_span(1, 1))
    async with app.client() as client:
        found = await post(client, "traces/metrics", {"experiment_ids": ["0"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}]})
        assert found == {"data_points": [{"metric_name": "trace_count", "dimensions": {}, "values": {"COUNT": 1.0}}]}
        found = await post(client, "traces/calculate-filter-correlation", {"experiment_ids": ["0"], "filter_string1": "status = 'OK'", "filter_string2": "name = 'none'"})
        assert found == {"filter1_count": 1, "filter2_count": 0, "joint_count": 0, "total_count": 1}
        await post(client, "traces/calculate-filter-correlation", {"experiment_ids": ["0"], "filter_string1": "status = 'OK'"}, 400)


async def test_what_mlflow_has_for_one_service_alone(app):
    async with app.client() as client:
        for path in ("get-online-trace-details", "unified-traces"):
            answer = await client.get(V2 + path)
            assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")


async def test_s5_traces_of_another_workspace_are_as_good_as_none(app):
    log(app.db, make_span(1, 1), key=OTHER.key)
    app.authority.rights["member"] = [("*", KEY + "/")]
    before = app.db.read_now(traces.one, OTHER.key, T)
    async with app.client("member") as client:
        for method, path, body in (
            ("GET", f"traces/{T}", None), ("GET", f"traces/{T}/info", None), ("GET", f"traces/get?trace_id={T}", None), ("PATCH", f"traces/{T}", {}), ("PATCH", f"traces/{T}/tags", {"key": "a"}),
            ("DELETE", f"traces/{T}/tags", {"key": "a"}), ("POST", f"traces/{T}/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}}}), ("GET", f"traces/{T}/assessments/a", None),
            ("DELETE", f"traces/{T}/assessments/a", {}), ("POST", "traces/link-prompts", {"trace_id": T, "prompt_versions": [{"name": "p", "version": "1"}]}), ("GET", f"get-trace-artifact?request_id={T}", None),
        ):
            answer = await client.request(method, V3 + path, json=body)
            assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), path
        assert (await client.get(f"{PLAIN}/api/2.0/mlflow-artifacts/artifacts/{T}/artifacts/traces.json")).status_code == 404
        assert (await post(client, "traces/batchGetInfos", {"trace_ids": [T]})) == {"trace_infos": []}
        assert (await post(client, "traces/search", {"locations": HERE})) == {"traces": []}
        assert (await post(client, "traces/delete-traces", {"experiment_id": "0", "request_ids": [T]})) == {"traces_deleted": 0}
        for path in ("traces/search", "traces/metrics"):
            assert (await client.post(V3.replace("/Ws", "/other") + path, json={})).status_code == 403
    assert app.db.read_now(traces.one, OTHER.key, T) == before


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20) | st.sampled_from([T, "0", "\0", "OK", "-5s", "1.5s", "2027-01-01T00:00:00Z", "feedback", "a-1", "COUNT", "TRACES", "9" * 30, 2**63 - 1, -(2**63), 253_402_300_799_999, -62_135_596_800_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "value", "mlflow_experiment", "experiment_id", "name", "version", "feedback", "expectation", "serialized_value", "error", "paths", "aggregation_type", "percentile_value"]), inner, max_size=4),
    max_leaves=6,
)
WHOLE = {
    "traces": info(assessments=[{"assessment_name": "a", "feedback": {"value": 1}}])["trace"]["trace_info"] | {"tags": {}, "trace_metadata": {"mlflow.trace.tokenUsage": "{}"}},
    "assessments": {"assessment_name": "a", "feedback": {"value": 1}, "source": {}, "create_time": "2027-01-01T00:00:00Z", "metadata": {}, "overrides": "x", "rationale": "r", "valid": True, "span_id": "s"},
    "begin": {"experiment_id": "0", "timestamp_ms": 5, "request_metadata": [{"key": "mlflow.trace.tokenUsage", "value": '{"\\u0000": 1}'}], "tags": []},
    "end": {"timestamp_ms": 5, "status": "OK", "request_metadata": [], "tags": [{"key": "a", "value": "b"}]},
    "search": {"locations": HERE, "filter": "status = 'OK'", "order_by": ["name"], "max_results": 5, "page_token": "x"},
    "metrics": {"experiment_ids": ["0"], "view_type": "SPANS", "metric_name": "latency", "aggregations": [{"aggregation_type": "AVG"}], "dimensions": ["span_name"], "filters": ["span.name = 'x'"],
                "time_interval_seconds": 60, "start_time_ms": 0, "end_time_ms": 10, "max_results": 5},
    "delete": {"experiment_id": "0", "request_ids": ["x"], "max_timestamp_millis": 5, "max_traces": 1},
    "correlate": {"experiment_ids": ["0"], "filter_string1": "status = 'OK'", "filter_string2": "status = 'OK'", "base_filter": "timestamp > 5"},
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
@given(data=st.data())
async def test_bad_input_is_never_a_500(app, data):
    """Right requests with one or two members replaced by anything."""
    what = data.draw(st.sampled_from(sorted(WHOLE)))
    body = dict(WHOLE[what])
    for name in data.draw(st.lists(st.sampled_from(sorted(body)), min_size=0, max_size=2)):
        body[name] = data.draw(values)
    try:
        start(app.db, 1)
    except MlflowError:
        pass
    method, path, sent = {
        "begin": ("POST", "traces", body), "end": ("PATCH", f"traces/{T}", body), "traces": ("POST", "traces", {"trace": {"trace_info": body}}), "search": ("POST", "traces/search", body), "metrics": ("POST", "traces/metrics", body),
        "delete": ("POST", "traces/delete-traces", body), "correlate": ("POST", "traces/calculate-filter-correlation", body),
        "assessments": data.draw(st.sampled_from([("POST", f"traces/{T}/assessments", {"assessment": body}), ("PATCH", f"traces/{T}/assessments/a-1", {"assessment": body, "update_mask": data.draw(values)})])),
    }[what]
    async with app.client() as client:
        answer = await client.request(method, V3 + path, json=sent)
        assert answer.status_code in (200, 400, 404), (path, sent, answer.text)
        for asked in ({}, {"order_by": ["end_time"]}, {"filter": "end_time > 0"}):
            assert (await client.post(V3 + "traces/search", json={"locations": HERE, **asked})).status_code == 200
        buckets = {**WHOLE["metrics"], "view_type": "TRACES", "metric_name": "latency", "dimensions": [], "filters": [], "start_time_ms": -(2**63), "end_time_ms": 2**63 - 1, "time_interval_seconds": 10**9}
        assert (await client.post(V3 + "traces/metrics", json=buckets)).status_code == 200


@pytest.mark.parametrize("body", [{}, {"locations": []}, {"locations": ["0"]}, {"locations": HERE, "max_results": 501}, {"locations": HERE, "max_results": 0}, {"locations": HERE, "order_by": ["name", "name"]}, {"locations": [{"inference_table": {}}]}])
async def test_bad_searches(app, body):
    async with app.client() as client:
        assert (await post(client, "traces/search", body, 400))["error_code"] == "INVALID_PARAMETER_VALUE"
