"""The table of calls: who may do what, in which workspace, and that nothing a client sends is answered 500."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazward.apps.mlflow.calls import BY_PATH, PROXIED, RPC, SPANS
from lazward.contract.caller import Caller
from tests.apps.tracking_app import OWNER, PLAIN, PLUGIN
from tests.storage.tracking_data import KEY, OTHER, WORKSPACE, make_run

ML = "Microsoft.MachineLearningServices/workspaces"


def example(pattern: re.Pattern[str]) -> str:
    """A path that a pattern takes."""
    return re.sub(r"\(\?P<\w+>[^)]*\)", "x1", pattern.pattern)


CALLS = [
    *((method, f"/api/2.0/mlflow/{name}", rpc) for (method, name), rpc in RPC.items()),
    *((method, f"/api/2.0/mlflow/{example(pattern)}", rpc) for method, pattern, rpc in BY_PATH),
    *((method, f"/api/2.0/mlflow-artifacts/{example(pattern)}", rpc) for method, pattern, rpc in PROXIED),
    ("POST", "/v1/traces", SPANS),
]


def right_of(rpc) -> str:
    return rpc.right if isinstance(rpc.right, str) else "experiments/runs/write"


class TestAccess:
    @pytest.mark.parametrize("prefix", [PLAIN, PLUGIN, "/mlflow/workspaces/ws"])
    async def test_s4_nobody_is_refused_everywhere(self, app, prefix):
        async with app.client("unknown") as client:
            for method, path, _ in [*CALLS, ("GET", "/api/2.0/mlflow/nothing", None), ("POST", "/x", None), ("GET", "/api/3.0/mlflow/server-info", None)]:
                answer = await client.request(method, prefix + path, json={} if method != "GET" else None)
                assert answer.status_code == 401, (method, path, answer.text)
                assert answer.json()["error_code"] == "UNAUTHENTICATED"

    async def test_each_call_needs_its_own_right_and_no_other(self, app):
        rights = {right_of(rpc) for _, _, rpc in CALLS} | {"metrics/resource/write"}
        app.authority.rights["all-but"] = []
        app.authority.rights["only"] = []
        async with app.client("all-but") as without, app.client("only") as only:
            for method, path, rpc in CALLS:
                needed = right_of(rpc)
                body = {"params": [{"key": "a"}]} if "log-batch" in path else {}
                app.authority.rights["all-but"] = [(f"{ML}/{r}", "/") for r in rights - {needed}]
                answer = await without.request(method, PLAIN + path, json=body if method != "GET" else None)
                assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED"), (method, path)
                app.authority.rights["only"] = [(f"{ML}/{needed}", "/")]
                answer = await only.request(method, PLAIN + path, json=body if method != "GET" else None)
                assert answer.status_code not in (401, 403, 500), (method, path, answer.text)

    async def test_readers_only_read(self, app):
        app.authority.rights["reader"] = [("*/read", "/")]
        make_run(app.db, "r1")
        async with app.client("reader") as client:
            assert (await client.get(PLAIN + "/api/2.0/mlflow/runs/get?run_id=r1")).status_code == 200
            for path in ("runs/log-metric", "runs/create", "experiments/create", "runs/delete", "logged-models", "registered-models/create", "artifacts/presigned-upload-url"):
                assert (await client.post(f"{PLAIN}/api/2.0/mlflow/{path}", json={})).status_code == 403, path
            assert (await client.put(PLAIN + "/api/2.0/mlflow-artifacts/artifacts/r1/artifacts/a", content=b"x")).status_code == 403

    async def test_the_metrics_writer_writes_metrics(self, app):
        """The built-in role of that name may do this and nothing else."""
        make_run(app.db, "r1")
        app.authority.rights["writer"] = [(f"{ML}/metrics/*/write", "/")]
        metric = {"key": "m", "value": 1, "timestamp": 1}
        async with app.client("writer") as client:
            assert (await client.post(PLAIN + "/api/2.0/mlflow/runs/log-metric", json={"run_id": "r1", **metric})).status_code == 200
            assert (await client.post(PLAIN + "/api/2.0/mlflow/runs/log-batch", json={"run_id": "r1", "metrics": [metric]})).status_code == 200
            assert (await client.post(PLAIN + "/api/2.0/mlflow/runs/log-batch", json={"run_id": "r1", "metrics": [metric], "tags": [{"key": "a"}]})).status_code == 403

    async def test_s5_rights_in_one_workspace_do_not_reach_another(self, app):
        make_run(app.db, "mine")
        make_run(app.db, "theirs", key=OTHER.key)
        app.authority.rights["member"] = [("*", KEY + "/")]
        async with app.client("member") as client:
            assert (await client.get(PLAIN + "/api/2.0/mlflow/runs/get?run_id=mine")).status_code == 200
            assert (await client.get(PLAIN.replace("/Ws", "/other") + "/api/2.0/mlflow/runs/get?run_id=theirs")).status_code == 403
            assert (await client.get(PLAIN + "/api/2.0/mlflow/runs/get?run_id=theirs")).status_code == 404
            for path, body in (("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}), ("runs/update", {"status": "FAILED"}), ("runs/delete", {}), ("runs/set-tag", {"key": "a"})):
                assert (await client.post(f"{PLAIN}/api/2.0/mlflow/{path}", json={"run_id": "theirs", **body})).status_code == 404, path
            for path in ("artifacts/theirs/artifacts/x", "artifacts?path=theirs/artifacts", "presigned/theirs/artifacts/x"):
                assert (await client.get(f"{PLAIN}/api/2.0/mlflow-artifacts/{path}")).status_code == 404, path
            # The short address: a workspace without rights is as good as none.
            assert (await client.get("/mlflow/workspaces/other/api/2.0/mlflow/runs/get?run_id=theirs")).status_code == 404
            assert (await client.get("/mlflow/workspaces/WS/api/2.0/mlflow/runs/get?run_id=mine")).status_code == 200


class TestAddresses:
    async def test_artifact_uris_go_by_the_prefix(self, app):
        make_run(app.db, "r1")
        async with app.client() as client:
            uris = [(await client.get(f"{p}/api/2.0/mlflow/runs/get?run_id=r1")).json()["run"]["info"]["artifact_uri"] for p in (PLAIN, PLUGIN, "/mlflow/workspaces/ws")]
        assert uris == ["mlflow-artifacts:/r1/artifacts", f"azureml://localhost:8443{WORKSPACE}/experiments/0/runs/r1/artifacts", "mlflow-artifacts:/r1/artifacts"]

    async def test_what_clients_probe(self, app):
        async with app.client() as client:
            info = (await client.get(PLAIN + "/api/3.0/mlflow/server-info")).json()
            assert info["workspaces_enabled"] is False
            assert (await client.get(PLAIN + "/version")).text == "3.17.2"  # from 3.4 on clients send spans
            for path in ("/api/3.0/mlflow/traces/x/y", "/x", ""):
                answer = await client.post(PLAIN + path, json={})
                assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
            answer = await client.post(PLAIN + "/ajax-api/2.0/mlflow/experiments/search", json={})
            assert answer.status_code == 200

    async def test_unknown_workspaces(self, app):
        async with app.client() as client:
            for prefix in (PLAIN.replace("/Ws", "/none"), "/mlflow/workspaces/none"):
                for method, path, body in (("GET", "experiments/get?experiment_id=0", None), ("POST", "runs/create", {}), ("POST", "runs/search", {"experiment_ids": ["0"]}), ("POST", "experiments/search", {})):
                    answer = await client.request(method, f"{prefix}/api/2.0/mlflow/{path}", json=body)
                    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), path
                    assert "'none'" in answer.json()["message"]

    async def test_two_workspaces_of_one_name(self, app):
        from lazward.contract.ids import workspace_id
        from lazward.storage import resources

        app.db.write_now(resources.insert, workspace_id(WORKSPACE.subscription, "rg2", "ws"), {"properties": {}}, 1.0)
        async with app.client() as client:
            answer = await client.get("/mlflow/workspaces/ws/api/2.0/mlflow/experiments/get?experiment_id=0")
            assert answer.status_code == 400
            assert "say which" in answer.json()["message"]
        app.authority.rights["member"] = [("*", KEY + "/")]
        async with app.client("member") as client:
            assert (await client.get("/mlflow/workspaces/ws/api/2.0/mlflow/experiments/get?experiment_id=0")).status_code == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20) | st.sampled_from(["r1", "0", "\0", "a\0", "NaN"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "value", "timestamp", "step", "model_id", "dataset", "name", "path", "tags", "field_name"]), inner, max_size=4),
    max_leaves=8,
)
NAMES = ["run_id", "experiment_id", "experiment_ids", "key", "value", "timestamp", "step", "metrics", "params", "tags", "name", "new_name", "filter", "order_by", "max_results", "page_token", "run_view_type", "view_type", "status", "end_time", "start_time", "datasets", "models", "model_json", "run_name", "source", "version", "alias", "stage", "path", "parts", "num_parts", "upload_id", "metric_key", "run_ids", "start_step", "end_step", "artifact_location", "user_id",
    "filter_string", "records", "dataset_record_ids", "serialized_scorer", "scorer_ids", "sample_rate", "schema_id", "input", "type", "queue_id", "queue_type", "users", "schema_ids",
    "update_users", "update_schema_ids", "item_ids", "item_id", "item_type", "issue_id", "description", "severity", "root_causes", "url", "events", "secret", "event", "instruction",
    "enable_comment", "user", "new_owner", "completed_by", "include_trace_count"]


class TestBadInput:
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
    @given(data=st.data())
    async def test_anything_at_all_gets_an_mlflow_answer(self, app, data):
        method, path, _ = data.draw(st.sampled_from(CALLS))
        body = data.draw(st.dictionaries(st.sampled_from(NAMES), json_values, max_size=5))
        if data.draw(st.booleans()):
            body["run_id"] = "r1"
        try:
            make_run(app.db, "r1")
        except Exception:
            pass
        async with app.client() as client:
            if method == "GET":
                # NUL in an address is refused before anybody knows whose address it is.
                answer = await client.get(PLAIN + path, params={k: str(v).replace("\0", "") for k, v in body.items()})
            else:
                answer = await client.request(method, PLAIN + path, json=body)
        assert answer.status_code in (200, 400, 404, 409, 501), (method, path, body, answer.text)
        if answer.status_code != 200:
            assert set(answer.json()) == {"error_code", "message"}
            assert answer.json()["message"]

    @pytest.mark.parametrize("raw", [b"{", b"[]", b'"x"', b"null", b'{"a": 1e999}', b'{"run_id": "\xff"}', b"[" * 100_000, b'{"run_id": "a\\u0000b"}', b'{"key": "\\ud800"}'])
    async def test_malformed_bodies(self, app, raw):
        async with app.client() as client:
            answer = await client.post(PLAIN + "/api/2.0/mlflow/runs/set-tag", content=raw)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")

    async def test_s19_huge_bodies(self, app):
        async with app.client() as client:
            answer = await client.post(PLAIN + "/api/2.0/mlflow/runs/set-tag", content=b" " * (17 * 2**20))
        assert (answer.status_code, answer.json()["error_code"]) == (413, "REQUEST_LIMIT_EXCEEDED")

    @pytest.mark.parametrize("token", ["AAAA", "W10=", "'; DROP TABLE run; --", "é", "x" * 10_000])
    async def test_s22_page_tokens_and_order_by(self, app, token):
        make_run(app.db, "r1")
        async with app.client() as client:
            for body in ({"page_token": token}, {"order_by": [token]}, {"filter": f"tags.a = '{token}' OR"}):
                answer = await client.post(PLAIN + "/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"], **body})
                assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), body

    async def test_names_in_the_address(self, app):
        async with app.client() as client:
            for workspace in ("a%00b", "..%2f..", "%2e%2e", "x" * 300, "a%5cb"):
                answer = await client.get(f"{PLAIN[: -len('Ws')]}{workspace}/api/2.0/mlflow/experiments/get?experiment_id=0")
                assert answer.status_code in (400, 404), workspace


async def test_a_caller_without_a_name_is_told_by_id(app):
    app.authority.callers[OWNER] = Caller(id=OWNER, name="")
    async with app.client() as client:
        run = (await client.post(PLAIN + "/api/2.0/mlflow/runs/create", json={})).json()["run"]
    assert run["info"]["user_id"] == OWNER
