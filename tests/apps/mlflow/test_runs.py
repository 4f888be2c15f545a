from __future__ import annotations

import json

import pytest

from lazward.storage import runs
from tests.apps.tracking_app import PLAIN
from tests.storage.tracking_data import KEY, NOW, make_run

API = PLAIN + "/api/2.0/mlflow/"


async def post(app, name, /, **body):
    async with app.client() as client:
        answer = await client.post(API + name, json=body)
    return answer.status_code, answer.json()


async def get(app, name, /, **query):
    async with app.client() as client:
        answer = await client.get(API + name, params=query)
    return answer.status_code, answer.json()


@pytest.fixture
def run(app):
    make_run(app.db, "r1")
    return "r1"


class TestCreate:
    async def test_names(self, app):
        _, made = await post(app, "runs/create", experiment_id="0", start_time=12345, user_id="ann", tags=[{"key": "mlflow.runName", "value": "mine"}])
        info = made["run"]["info"]
        assert (info["run_name"], info["start_time"], info["user_id"], info["status"], info["run_id"]) == ("mine", 12345, "ann", "RUNNING", info["run_uuid"])
        _, made = await post(app, "runs/create")
        assert made["run"]["info"]["run_name"].count("-") == 2
        assert made["run"]["info"]["experiment_id"] == "0"
        status, answer = await post(app, "runs/create", run_name="a", tags=[{"key": "mlflow.runName", "value": "b"}])
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")

    async def test_not_in_the_bin(self, app):
        _, made = await post(app, "experiments/create", name="a")
        await post(app, "experiments/delete", **made)
        status, answer = await post(app, "runs/create", **made)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert (await post(app, "runs/create", experiment_id="no"))[0] == 404


class TestUpdate:
    async def test_status_end_and_name(self, app, run):
        _, answer = await post(app, "runs/update", run_id=run, status="FINISHED", end_time="1800000001500", run_name="new")
        assert (answer["run_info"]["status"], answer["run_info"]["end_time"], answer["run_info"]["run_name"]) == ("FINISHED", 1_800_000_001_500, "new")
        _, answer = await post(app, "runs/update", run_uuid=run, status=4)
        assert answer["run_info"]["status"] == "FAILED"
        assert (await post(app, "runs/update", run_id=run, status="DONE"))[0] == 400

    async def test_a_job_keeps_the_servers_status(self, app):
        app.db.write_now(runs.create_job_run, KEY, "job1", "e", "n", "me", {}, NOW)
        app.db.write_now(runs.set_status, KEY, "job1", "Completed", NOW)
        _, answer = await post(app, "runs/update", run_id="job1", status="RUNNING")
        assert answer["run_info"]["status"] == "FINISHED"


class TestLogging:
    async def test_extreme_numbers_come_back_as_protobuf_writes_them(self, app, run):
        for key, value in (("nan", "NaN"), ("inf", "Infinity"), ("ninf", "-Infinity"), ("text", "1.5"), ("whole", 3), ("tiny", 5e-324)):
            assert await post(app, "runs/log-metric", run_id=run, key=key, value=value, timestamp=1) == (200, {})
        _, found = await get(app, "runs/get", run_id=run)
        assert {m["key"]: m["value"] for m in found["run"]["data"]["metrics"]} == {
            "nan": "NaN", "inf": "Infinity", "ninf": "-Infinity", "text": 1.5, "whole": 3.0, "tiny": 5e-324,
        }
        assert (await get(app, "metrics/get-history", run_id=run, metric_key="inf"))[1] == {"metrics": [{"key": "inf", "value": "Infinity", "timestamp": 1, "step": 0}]}

    async def test_batches(self, app, run):
        metrics = [{"key": f"m{i % 7}", "value": i, "timestamp": i, "step": i} for i in range(1000)]
        assert await post(app, "runs/log-batch", run_id=run, metrics=metrics) == (200, {})
        params = [{"key": f"p{i}", "value": str(i)} for i in range(100)]
        assert await post(app, "runs/log-batch", run_id=run, params=params, tags=[{"key": "mlflow.runName", "value": "x"}]) == (200, {})
        _, found = await get(app, "runs/get", run_id=run)
        assert found["run"]["info"]["run_name"] == "x"
        assert len(found["run"]["data"]["params"]) == 100
        assert {m["key"]: m["value"] for m in found["run"]["data"]["metrics"]}["m6"] == 999 - 999 % 7 + 6 - 7 * (999 % 7 < 6)
        for body in ({"metrics": [*metrics, metrics[0]]}, {"params": [*params, {"key": "more"}]}, {"params": [{"key": "a"}, {"key": "a"}]}, {"metrics": [{"key": "a"}]}, {"tags": [{}]}):
            status, answer = await post(app, "runs/log-batch", run_id=run, **body)
            assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), body

    async def test_long_values_are_kept_whole(self, app, run):
        text = "ä" * 200_000
        assert (await post(app, "runs/set-tag", run_id=run, key="long", value=text))[0] == 200
        assert (await post(app, "runs/log-parameter", run_id=run, key="long", value=text))[0] == 200
        _, found = await get(app, "runs/get", run_id=run)
        assert {t["key"]: t["value"] for t in found["run"]["data"]["tags"]}["long"] == text
        assert found["run"]["data"]["params"] == [{"key": "long", "value": text}]
        assert (await post(app, "runs/set-tag", run_id=run, key="long", value="x" * 1_000_001))[0] == 400

    async def test_the_history_of_models_of_mlflow_2(self, app, run):
        model = {"artifact_path": "m", "flavors": {"sklearn": {"config": 1, "v": 2}}, "utc_time_created": "now", "run_id": run, "signature": "x" * 100_000}
        for _ in range(2):
            assert await post(app, "runs/log-model", run_id=run, model_json=json.dumps(model)) == (200, {})
        _, found = await get(app, "runs/get", run_id=run)
        kept = json.loads({t["key"]: t["value"] for t in found["run"]["data"]["tags"]}["mlflow.log-model.history"])
        assert kept == [{"run_id": run, "utc_time_created": "now", "artifact_path": "m", "flavors": {"sklearn": {"v": 2}}}] * 2
        for bad in ("{", "[]", "{}", "null"):
            assert (await post(app, "runs/log-model", run_id=run, model_json=bad))[0] == 400

    async def test_inputs_and_outputs(self, app, run):
        _, made = await post(app, "logged-models", experiment_id="0", source_run_id=run)
        model = made["model"]["info"]["model_id"]
        assert (await post(app, "runs/outputs", run_id=run, models=[{"model_id": model, "step": "2"}]))[0] == 200
        assert (await post(app, "runs/log-inputs", run_id=run, models=[{"model_id": model}]))[0] == 200
        _, found = await get(app, "runs/get", run_id=run)
        assert found["run"]["outputs"] == {"model_outputs": [{"model_id": model, "step": 2}]}
        assert found["run"]["inputs"]["model_inputs"] == [{"model_id": model}]
        for name, body in (("runs/outputs", {}), ("runs/outputs", {"models": [{}]}), ("runs/log-inputs", {"datasets": [{}]}), ("runs/log-inputs", {"datasets": [{"dataset": {"name": "a"}}]})):
            assert (await post(app, name, run_id=run, **body))[0] == 400, (name, body)
        assert (await post(app, "runs/outputs", run_id=run, models=[{"model_id": "m-none"}]))[0] == 404


class TestHistory:
    async def test_pages_bulk_and_samples(self, app, run):
        for start in range(0, 3000, 1000):
            await post(app, "runs/log-batch", run_id=run, metrics=[{"key": "m", "value": i, "timestamp": i, "step": i} for i in range(start, start + 1000)])
        seen, token = [], ""
        while True:
            _, page = await get(app, "metrics/get-history", run_id=run, metric_key="m", max_results=700, **({"page_token": token} if token else {}))
            seen += [m["step"] for m in page["metrics"]]
            token = page.get("next_page_token")
            if not token:
                break
        assert seen == list(range(3000))
        _, bulk = await get(app, "metrics/get-history-bulk", run_id=run, metric_key="m", max_results=5)
        assert [(m["step"], m["run_id"]) for m in bulk["metrics"]] == [(i, run) for i in range(5)]
        _, sampled = await get(app, "metrics/get-history-bulk-interval", run_ids=run, metric_key="m", start_step=10, end_step=20, max_results=320)
        assert [m["step"] for m in sampled["metrics"]] == list(range(10, 21))
        for query in ({"max_results": 0}, {"metric_key": ""}, {"page_token": "x"}):
            assert (await get(app, "metrics/get-history", **{"run_id": run, "metric_key": "m", **query}))[0] == 400
        assert (await get(app, "metrics/get-history-bulk-interval", run_ids=run, metric_key="m", start_step=10))[0] == 400
        assert (await get(app, "metrics/get-history", run_id="none", metric_key="m"))[0] == 404
        async with app.client() as client:
            many = "&".join(f"run_ids=r{i}" for i in range(101))
            assert (await client.get(f"{API}metrics/get-history-bulk-interval?metric_key=m&{many}")).status_code == 400


class TestSearch:
    async def test_views_pages_and_filters(self, app):
        for i in range(5):
            make_run(app.db, f"r{i}", started=NOW + i)
        app.db.write_now(runs.delete, KEY, "r4", NOW)
        _, found = await post(app, "runs/search", experiment_ids=["0"], max_results=3)
        assert [r["info"]["run_id"] for r in found["runs"]] == ["r3", "r2", "r1"]
        _, rest = await post(app, "runs/search", experiment_ids=["0"], max_results=3, page_token=found["next_page_token"])
        assert [r["info"]["run_id"] for r in rest["runs"]] == ["r0"]
        assert "next_page_token" not in rest
        for view, expected in (("DELETED_ONLY", {"r4"}), (3, {"r0", "r1", "r2", "r3", "r4"})):
            _, found = await post(app, "runs/search", experiment_ids=["0"], run_view_type=view)
            assert {r["info"]["run_id"] for r in found["runs"]} == expected
        _, found = await post(app, "runs/search", experiment_ids=["0"], filter="artifact_uri = 'mlflow-artifacts:/r1/artifacts'")
        assert [r["info"]["run_id"] for r in found["runs"]] == ["r1"]
        assert (await post(app, "runs/search", experiment_ids=[]))[1] == {"runs": []}
