from __future__ import annotations

import pytest

from lazward.contract.caller import Caller
from lazward.storage import run_search, runs
from tests.apps.tracking_app import HISTORY
from tests.storage.tracking_data import KEY, NOW, OTHER, WORKSPACE, make_run, value


@pytest.fixture(autouse=True)
def job(app):
    app.db.write_now(runs.create_job_run, KEY, "job1", "train", "A job", "ann", {"team": "a"}, NOW)
    app.db.write_now(runs.set_status, KEY, "job1", "Running", NOW)
    app.put_job(
        "job1", status="Failed", startTimeUtc="2027-01-15T08:00:00.000000Z", endTimeUtc="2027-01-15T08:01:00.000000Z", error={"code": "UserError", "message": "exit code 3"},
        tags={"team": "b"}, properties={"n": 5}, services={"Tracking": {"jobServiceType": "Tracking", "endpoint": "azureml://x"}},
        inputs={"data": {"jobInputType": "uri_file", "uri": "azureml://d"}, "lr": {"jobInputType": "literal", "value": "1"}},
        outputs={"default": {"jobOutputType": "uri_folder", "uri": "x"}, "model": {"jobOutputType": "mlflow_model", "uri": "y"}, "data": {"uri": "z", "assetId": "azureml://given"}},
    )


async def request(app, method, path, /, **body):
    async with app.client() as client:
        answer = await (client.get(HISTORY + path, params=body) if method == "GET" else client.request(method, HISTORY + path, json=body))
    return answer.status_code, answer.json()


class TestRead:
    async def test_a_jobs_facts_are_its_documents(self, app):
        status, run = await request(app, "GET", "/runs/job1")
        assert status == 200
        assert (run["status"], run["displayName"], run["experimentName"], run["tags"]["team"], run["properties"], run["hidden"]) == ("Failed", "job1", "train", "b", {"n": "5"}, False)
        assert (run["startTimeUtc"], run["endTimeUtc"]) == ("2027-01-15T08:00:00.000000Z", "2027-01-15T08:01:00.000000Z")
        assert run["error"] == {"error": {"code": "UserError", "message": "exit code 3"}}
        assert run["inputs"] == {"data": {"assetId": "azureml://d", "type": "uri_file"}}
        assert run["outputs"] == {
            "model": {"assetId": "azureml://locations/local/workspaces/Ws/data/azureml_job1_output_data_model/versions/1", "type": "uri_folder"},
            "data": {"assetId": "azureml://given", "type": "uri_folder"},
        }
        assert (await request(app, "GET", "/experiments/train/runs/job1"))[1]["runId"] == "job1"

    async def test_details_lead_to_the_logs(self, app):
        await app.blobs.ensure_container("stws", "azureml")
        for name in ("user_logs/std_log.txt", "azureml-logs/20_image.txt", "outputs/x.bin"):
            await app.blobs.put("stws", "azureml", f"ExperimentRun/dcid.job1/{name}", b"hello")
        _, details = await request(app, "GET", "/runs/job1/details")
        assert set(details["logFiles"]) == {"user_logs/std_log.txt", "azureml-logs/20_image.txt"}
        assert "/stws.blob.core.windows.net/azureml/ExperimentRun/dcid.job1/user_logs/std_log.txt?" in details["logFiles"]["user_logs/std_log.txt"]
        assert (details["status"], details["error"]["error"]["message"]) == ("Failed", "exit code 3")

    async def test_why_it_waits_and_what_failed_before_are_warnings(self, app):
        assert (await request(app, "GET", "/runs/job1/details"))[1]["warnings"] is None
        app.put_job("job1", status="Queued", waitingFor="Waiting for Godot.", attempts=[
            {"attempt": 1, "status": "Failed", "logs": "user_logs/attempt_1", "error": {"code": "UserError", "message": "exit code 3\nand more"}}, {"attempt": 2, "status": "Running"},
        ])
        assert (await request(app, "GET", "/runs/job1/details"))[1]["warnings"] == [
            {"source": "Attempts", "message": "Attempt 1 failed (its log is in user_logs/attempt_1): exit code 3"}, {"source": "Queue", "message": "Waiting for Godot."},
        ]

    async def test_run_data(self, app):
        _, answer = await request(app, "POST", "/rundata", runId="job1", selectRunMetadata=True, selectRunDefinition=True)
        assert answer["runMetadata"]["runId"] == "job1"
        assert (await request(app, "POST", "/rundata"))[0] == 400
        assert (await request(app, "POST", "/rundata", runId="none"))[0] == 404

    async def test_a_run_alone(self, app):
        make_run(app.db, "r1", tags=(("mlflow.note.content", "a note"), ("mlflow.parentRunId", "job1")))
        _, run = await request(app, "GET", "/runs/r1")
        assert (run["status"], run["description"], run["parentRunId"], run["rootRunId"], run["error"], run["startTimeUtc"]) == ("Running", "a note", "job1", "job1", None, "2027-01-15T08:00:00.000000Z")
        _, listed = await request(app, "GET", "/runs/job1/children")
        assert [r["runId"] for r in listed["value"]] == ["r1"]

    async def test_times_no_calendar_has(self, app):
        make_run(app.db, "r1", started=9.2e15)
        assert (await request(app, "GET", "/runs/r1"))[1]["startTimeUtc"] is None

    async def test_experiments_and_metrics(self, app):
        from lazward.storage import metrics

        _, listed = await request(app, "GET", "/experiments")
        assert {e["name"] for e in listed["value"]} == {"Default", "train"}
        assert (await request(app, "GET", "/experiments/train"))[1]["experimentId"] == next(e["experimentId"] for e in listed["value"] if e["name"] == "train")
        assert (await request(app, "GET", "/experimentids/0"))[1]["name"] == "Default"
        app.db.write_now(metrics.log, KEY, "job1", [value("m", float("inf"), step=1, at=5)])
        _, found = await request(app, "GET", "/runs/job1/metrics")
        assert [(m["name"], [v["data"] for v in m["value"]]) for m in found["value"]] == [("m", [{"m": "Infinity"}])]

    async def test_errors_are_arms(self, app):
        make_run(app.db, "theirs", key=OTHER.key)
        for path in ("/runs/none", "/runs/theirs", "/runs/none/details", "/runs/none/children", "/experiments/none"):
            status, answer = await request(app, "GET", path)
            assert (status, answer["error"]["code"]) == (404, "NotFound"), path
        async with app.client() as client:
            assert (await client.get(f"/history/v1.0{WORKSPACE}x/runs/r")).status_code == 404


class TestPatch:
    async def test_a_job_is_changed_in_its_document(self, app):
        _, run = await request(app, "PATCH", "/experiments/train/runs/job1", hidden=True, displayName="New", description="why", tags={"k": 1}, properties={"p": "q"})
        assert (run["hidden"], run["displayName"], run["description"], run["tags"]["k"], run["properties"]["p"]) == (True, "New", "why", "1", "q")
        assert app.jobs.docs[KEY, "job1"]["isArchived"] is True
        full = app.db.read_now(run_search.one, KEY, "job1")
        assert (full.run.name, full.run.stage, dict(full.tags)["mlflow.note.content"]) == ("New", "active", "why")
        _, run = await request(app, "PATCH", "/experiments/train/runs/job1", hidden=False)
        assert run["hidden"] is False

    async def test_a_run_alone_goes_into_the_bin(self, app):
        make_run(app.db, "r1")
        assert (await request(app, "PATCH", "/experiments/x/runs/r1", hidden=True))[1]["hidden"] is True
        assert app.db.read_now(runs.get, KEY, "r1").stage == "deleted"
        assert (await request(app, "PATCH", "/experimentids/0/runs/r1", hidden=False))[1]["hidden"] is False

    @pytest.mark.parametrize("body", [{"hidden": "yes"}, {"tags": []}, {"tags": {"": "x"}}, {"tags": {"a": "\0"}}, {"displayName": 5}, {"description": "\0"}, {"properties": {"x" * 513: "y"}}])
    async def test_bad_changes_change_nothing(self, app, body):
        before = app.db.read_now(run_search.one, KEY, "job1")
        assert (await request(app, "PATCH", "/experiments/train/runs/job1", **body))[0] == 400
        assert app.db.read_now(run_search.one, KEY, "job1") == before


class TestToken:
    async def test_only_the_run_renews_its_token(self, app):
        app.jobs.docs[KEY, "job1"]["status"] = "Running"
        path = HISTORY + "/experiments/train/runs/job1/token"
        for who in ("owner", "other-run", "other-workspace"):
            app.authority.rights[who] = [("*", "/")]
        app.authority.callers["other-run"] = Caller(id="other-run", name="x", run="job2", bound_to=KEY)
        app.authority.callers["other-workspace"] = Caller(id="other-workspace", name="x", run="job1", bound_to=OTHER.key)
        for who in ("owner", "other-run", "other-workspace"):
            async with app.client(who) as client:
                assert (await client.get(path)).status_code == 403, who
        app.authority.rights["job"] = []
        app.authority.callers["job"] = Caller(id="job", name="job1", run="job1", bound_to=KEY)
        async with app.client("job") as client:
            for call in (client.get, client.post):
                assert (await call(path)).json() == {"token": "fresh-token", "expiryTimeUtc": "2030-03-17T17:46:40.000000Z"}
            app.jobs.docs[KEY, "job1"]["status"] = "Completed"
            assert (await client.get(path)).json()["error"]["code"] == "RunEnded"


async def test_services_of_a_job_are_for_those_who_may_change_it(app):
    assert (await request(app, "GET", "/runs/job1/serviceinstances/0"))[1]["instances"]["my_jupyter"]["endpoint"] == "https://x"
    app.authority.rights["reader"] = [("*/read", "/")]
    async with app.client("reader") as client:
        assert (await client.get(HISTORY + "/runs/job1/serviceinstances/0")).status_code == 403
    assert (await request(app, "GET", "/runs/none/serviceinstances/0"))[0] == 404
