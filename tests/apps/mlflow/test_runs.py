from __future__ import annotations

import json

import pytest

from lazward.storage import runs, tasks
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


class TestOwnId:
    ID = "0123456789abcdef" * 2

    async def test_the_same_thing_said_twice_is_done_once(self, app):
        wanted = {"experiment_id": "0", "start_time": 1000, "run_name": "n", "lazward_id": self.ID, "tags": [{"key": "a", "value": "1"}]}
        first, second = [await post(app, "runs/create", **wanted) for _ in range(2)]
        assert first[0] == second[0] == 200
        assert first[1]["run"]["info"] == second[1]["run"]["info"]
        assert first[1]["run"]["info"]["run_id"] == self.ID
        _, found = await post(app, "runs/search", experiment_ids=["0"])
        assert len(found["runs"]) == 1

    async def test_another_run_of_that_id_is_refused(self, app):
        await post(app, "runs/create", experiment_id="0", start_time=1000, lazward_id=self.ID)
        status, answer = await post(app, "runs/create", experiment_id="0", start_time=2000, lazward_id=self.ID)
        assert (status, answer["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")
        app.db.write_now(runs.create_job_run, KEY, "f" * 32, "Default", "n", "me", {}, 1.0)
        status, answer = await post(app, "runs/create", experiment_id="0", start_time=1000, lazward_id="f" * 32)
        assert (status, answer["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")

    async def test_its_form(self, app):
        for wrong in ("short", self.ID.upper(), "../" + self.ID[3:]):
            status, answer = await post(app, "runs/create", lazward_id=wrong)
            assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE") and "lazward_id" in answer["message"]

    async def test_of_an_experiment(self, app):
        own = "01234567-89ab-cdef-0123-456789abcdef"
        for _ in range(2):
            assert await post(app, "experiments/create", name="e", lazward_id=own) == (200, {"experiment_id": own})
        assert (await post(app, "experiments/create", name="e", lazward_id=own.replace("0", "1")))[1]["error_code"] == "RESOURCE_ALREADY_EXISTS"
        assert (await post(app, "experiments/create", name="other", lazward_id=own))[1]["error_code"] == "RESOURCE_ALREADY_EXISTS"

    async def test_of_a_logged_model(self, app):
        wanted = {"experiment_id": "0", "name": "m", "lazward_id": "m-" + self.ID}
        first, second = [await post(app, "logged-models", **wanted) for _ in range(2)]
        assert first == second and first[1]["model"]["info"]["model_id"] == "m-" + self.ID
        assert (await post(app, "logged-models", **{**wanted, "name": "other"}))[1]["error_code"] == "RESOURCE_ALREADY_EXISTS"


class TestHeartbeat:
    async def test_says_which_runs_go_on(self, app, run):
        await post(app, "runs/create", lazward_id=TestOwnId.ID, lazward_heartbeat=30)
        app.db.write_now(runs.create_job_run, KEY, "job1", "e", "n", "me", {}, NOW)
        status, answer = await post(app, "runs/heartbeat", run_ids=[TestOwnId.ID, run, "job1", "none"], interval=30)
        assert (status, set(answer["running"])) == (200, {TestOwnId.ID, run})
        await post(app, "runs/update", run_id=run, status="FINISHED")
        assert (await post(app, "runs/heartbeat", run_ids=[run]))[1] == {"running": []}
        open_ = app.db.read_now(tasks.open_of_kind, "run.watch")
        assert [task.state["run"] for task in open_] == [TestOwnId.ID]

    async def test_the_last_one(self, app):
        await post(app, "runs/create", lazward_id=TestOwnId.ID, lazward_heartbeat=30)
        assert (await post(app, "runs/heartbeat", run_ids=[TestOwnId.ID], interval=0))[1] == {"running": []}
        assert app.db.read_now(tasks.open_of_kind, "run.watch") == []
        assert (await get(app, "runs/get", run_id=TestOwnId.ID))[1]["run"]["info"]["status"] == "RUNNING"

    async def test_bad_ones(self, app):
        assert (await post(app, "runs/heartbeat", run_ids=[]))[0] == 400
        assert (await post(app, "runs/heartbeat", run_ids=["../x"]))[0] == 400
        assert (await post(app, "runs/heartbeat", run_ids=["a"], interval="x"))[0] == 400


async def test_the_plugins_asynchronous_batch_is_done_when_it_is_answered(app, run):
    body = {"run_id": run, "metrics": [{"key": "a", "value": 1, "timestamp": 1, "step": 0}]}
    async with app.client() as client:
        answer = await client.post(f"{PLAIN}/api/2.0/preview/mlflow/runs/log-batch-async", json=body)
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await get(app, "runs/get", run_id=run))[1]["run"]["data"]["metrics"][0]["value"] == 1
