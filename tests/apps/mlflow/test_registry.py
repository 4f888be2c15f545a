from __future__ import annotations

import json

import pytest

from lazward.storage import logged_models
from tests.apps.tracking_app import HISTORY, PLAIN, PLUGIN
from tests.storage.tracking_data import WORKSPACE, make_run

API = "/api/2.0/mlflow/"


@pytest.fixture(autouse=True)
def run(app):
    make_run(app.db, "r1")


async def request(app, method, path, /, *, prefix=PLAIN, **body):
    async with app.client() as client:
        answer = await (client.get(prefix + API + path, params=body) if method == "GET" else client.request(method, prefix + API + path, json=body))
    return answer.status_code, answer.json()


async def make(app, name="m", **body):
    await request(app, "POST", "registered-models/create", name=name)  # there already, maybe
    status, answer = await request(app, "POST", "model-versions/create", **{"name": name, "source": "runs:/r1/model", "run_id": "r1", **body})
    assert status == 200, answer
    return answer["model_version"]


async def test_versions_count_and_know_where_they_are_from(app):
    await request(app, "POST", "registered-models/create", name="m", description="d", tags=[{"key": "a", "value": "b"}])
    first, second = await make(app), await make(app, description="x", tags=[{"key": "v", "value": "2"}])
    assert (first["version"], second["version"], second["run_id"], second["source"], second["status"], second["description"]) == ("1", "2", "r1", "runs:/r1/model", "READY", "x")
    _, shown = await request(app, "GET", "registered-models/get", name="m")
    model = shown["registered_model"]
    assert (model["description"], [v["version"] for v in model["latest_versions"]], model["tags"]) == ("d", ["2"], [{"key": "a", "value": "b"}])
    assert (await app.models.version(WORKSPACE.key, "m", "1")).uri.endswith("/datastores/workspaceartifactstore/paths/ExperimentRun/dcid.r1/model")


async def test_downloads_go_by_the_prefix(app):
    await make(app)
    await app.blobs.ensure_container("stws", "azureml")
    await app.blobs.put("stws", "azureml", "ExperimentRun/dcid.r1/model/MLmodel", b"hi")
    _, plain = await request(app, "GET", "model-versions/get-download-uri", name="m", version="1")
    _, plugin = await request(app, "GET", "model-versions/get-download-uri", prefix=PLUGIN, name="m", version="1")
    assert plain == {"artifact_uri": "mlflow-artifacts:/m:1/artifacts"}
    assert plugin == {"artifact_uri": f"azureml://localhost:8443{WORKSPACE}/experiments/models/runs/m:1/artifacts"}
    async with app.client() as client:
        assert (await client.get(f"{PLAIN}/api/2.0/mlflow-artifacts/artifacts/m:1/artifacts/MLmodel")).content == b"hi"
        assert (await client.get(f"{PLAIN}/api/2.0/mlflow-artifacts/artifacts/m:2/artifacts/MLmodel")).status_code == 404


async def test_the_files_of_a_version_are_never_changed_by_its_name(app):
    await make(app)
    await app.blobs.ensure_container("stws", "azureml")
    await app.blobs.put("stws", "azureml", "ExperimentRun/dcid.r1/model/MLmodel", b"hi")
    files = f"{PLAIN}/api/2.0/mlflow-artifacts"
    async with app.client() as client:
        for answer in (
            await client.put(f"{files}/artifacts/m:1/artifacts/MLmodel", content=b"evil"), await client.delete(f"{files}/artifacts/m:1/artifacts"),
            await client.post(f"{files}/mpu/create/m:1/artifacts", json={"path": "MLmodel", "num_parts": 1}),
            await client.post(f"{files}/mpu/complete/m:1/artifacts", json={"path": "MLmodel", "upload_id": "0" * 32, "parts": [{"part_number": 1}]}),
        ):
            assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer.text
        answer = await client.post(f"{HISTORY}/experiments/models/runs/m:1/artifacts/batch/metadata", json={"paths": [{"path": "MLmodel"}]})
        assert list(answer.json()["errors"]) == ["MLmodel"]
    assert await app.blobs.read_all("stws", "azureml", "ExperimentRun/dcid.r1/model/MLmodel") == b"hi"


async def test_aliases(app):
    for _ in range(3):
        await make(app)
    assert (await request(app, "POST", "registered-models/alias", name="m", alias="champion", version="2"))[0] == 200
    assert (await request(app, "GET", "registered-models/alias", name="m", alias="champion"))[1]["model_version"]["aliases"] == ["champion"]
    assert (await request(app, "GET", "registered-models/alias", name="m", alias="latest"))[1]["model_version"]["version"] == "3"
    for alias in ("latest", "v1", "a b", "", "x" * 256):
        assert (await request(app, "POST", "registered-models/alias", name="m", alias=alias, version="2"))[0] == 400
    assert (await request(app, "POST", "registered-models/alias", name="m", alias="a", version="9"))[0] == 404
    await request(app, "DELETE", "model-versions/delete", name="m", version="2")  # its alias goes with it
    assert (await request(app, "GET", "registered-models/alias", name="m", alias="champion"))[0] == 400
    _, shown = await request(app, "GET", "registered-models/get", name="m")
    assert shown["registered_model"]["aliases"] == []


async def test_stages(app):
    for _ in range(3):
        await make(app)
    await request(app, "POST", "model-versions/transition-stage", name="m", version="1", stage="production")
    _, moved = await request(app, "POST", "model-versions/transition-stage", name="m", version="2", stage="Production", archive_existing_versions=True)
    assert moved["model_version"]["current_stage"] == "Production"
    _, latest = await request(app, "POST", "registered-models/get-latest-versions", name="m", stages=["Production", "Archived"])
    assert {(v["version"], v["current_stage"]) for v in latest["model_versions"]} == {("2", "Production"), ("1", "Archived")}
    assert (await request(app, "POST", "model-versions/transition-stage", name="m", version="1", stage="Gone"))[0] == 400
    assert (await request(app, "POST", "model-versions/transition-stage", name="m", version="1", stage="None", archive_existing_versions=True))[0] == 400


async def test_search(app):
    for name in ("a", "b", "b"):
        await make(app, name, tags=[{"key": "t", "value": name}])
    await request(app, "POST", "registered-models/create", name="p", tags=[{"key": "mlflow.prompt.is_prompt", "value": "true"}])
    _, found = await request(app, "GET", "registered-models/search", filter="name LIKE '%' AND tag.`mlflow.prompt.is_prompt` != 'true'", max_results=1)
    assert [m["name"] for m in found["registered_models"]] == ["a"]
    _, more = await request(app, "GET", "registered-models/search", filter="name LIKE '%'", max_results=1, page_token=found["next_page_token"])
    assert [m["name"] for m in more["registered_models"]] == ["b"]
    assert [m["name"] for m in (await request(app, "GET", "registered-models/search", filter="tags.`mlflow.prompt.is_prompt` = 'true'"))[1]["registered_models"]] == ["p"]
    _, found = await request(app, "GET", "model-versions/search", filter="name = 'b' AND tags.t = 'b'", order_by=["version_number DESC"])
    assert [v["version"] for v in found["model_versions"]] == ["2", "1"]
    assert len((await request(app, "GET", "model-versions/search", filter="run_id IN ('r1')"))[1]["model_versions"]) == 3
    assert (await request(app, "GET", "model-versions/search", filter="metrics.a > 1"))[0] == 400
    assert (await request(app, "GET", "model-versions/search", page_token="x"))[0] == 400


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), [
    ("GET", "registered-models/get", {"name": "none"}, 404, "RESOURCE_DOES_NOT_EXIST"), ("DELETE", "registered-models/delete", {"name": "none"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ("PATCH", "registered-models/update", {"name": "none"}, 404, "RESOURCE_DOES_NOT_EXIST"), ("POST", "registered-models/create", {"name": "a/b"}, 400, "INVALID_PARAMETER_VALUE"),
    ("POST", "registered-models/create", {"name": ".."}, 400, "INVALID_PARAMETER_VALUE"), ("POST", "registered-models/create", {}, 400, "INVALID_PARAMETER_VALUE"),
    ("POST", "registered-models/rename", {"name": "a", "new_name": "b"}, 404, "RESOURCE_DOES_NOT_EXIST"), ("POST", "registered-models/rename", {"name": "a"}, 400, "INVALID_PARAMETER_VALUE"),
    ("POST", "model-versions/create", {"name": "a", "source": "runs:/r1/m", "run_id": "r1"}, 404, "RESOURCE_DOES_NOT_EXIST"), ("GET", "model-versions/get", {"name": "a", "version": "1"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ("PATCH", "model-versions/update", {"name": "a", "version": "1"}, 404, "RESOURCE_DOES_NOT_EXIST"), ("POST", "model-versions/create", {"name": "a"}, 400, "INVALID_PARAMETER_VALUE"),
    ("POST", "model-versions/create", {"name": "a", "source": "runs:/r1/m", "run_id": "none"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ("POST", "model-versions/create", {"name": "a", "source": "runs:/r1/m", "run_id": "r2"}, 400, "INVALID_PARAMETER_VALUE"),
    ("GET", "registered-models/alias", {"name": "empty", "alias": "latest"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ("POST", "model-versions/create", {"name": "a", "source": "runs:/r1/m", "model_id": "m-none"}, 404, "RESOURCE_DOES_NOT_EXIST"),
])
async def test_refusals(app, method, path, body, status, code):
    make_run(app.db, "r2")
    await request(app, "POST", "registered-models/create", name="empty")
    got, answer = await request(app, method, path, **body)
    assert (got, answer["error_code"]) == (status, code)


async def test_a_version_knows_what_its_source_is(app):
    model = "m-" + "a" * 32
    app.db.write_now(logged_models.create, WORKSPACE.key, model, "0", "clf", "", "r1", {}, {}, 1.0)
    first = await make(app, source=f"models:/{model}", run_id="")
    assert (first["run_id"], first["model_id"]) == ("r1", model)
    second = await make(app, "n", source="models:/m/1", run_id="")
    assert (second["run_id"], second["model_id"]) == ("r1", model)
    assert (await make(app, "n", run_id=""))["run_id"] == "r1"
    tags = app.db.read_now(logged_models.get, WORKSPACE.key, model).tags
    assert json.loads(tags["mlflow.modelVersions"]) == [{"name": "m", "version": 1}, {"name": "n", "version": 1}]


async def test_rename(app):
    await make(app, "a", tags=[{"key": "k", "value": "v"}])
    await request(app, "POST", "registered-models/alias", name="a", alias="best", version="1")
    status, answer = await request(app, "POST", "registered-models/rename", name="a", new_name="b")
    assert (status, answer["registered_model"]["name"], [v["name"] for v in answer["registered_model"]["latest_versions"]]) == (200, "b", ["b"])
    assert (await request(app, "GET", "registered-models/alias", name="b", alias="best"))[1]["model_version"]["tags"] == [{"key": "k", "value": "v"}]
    assert (await request(app, "GET", "registered-models/get", name="a"))[0] == 404
    await make(app, "c")
    status, answer = await request(app, "POST", "registered-models/rename", name="c", new_name="b")
    assert (status, answer["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")


IS_PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}


async def test_prompts(app):
    await request(app, "POST", "registered-models/create", name="greet", description="says hello", tags=[IS_PROMPT, {"key": "team", "value": "a"}])
    body = {"name": "greet", "source": "dummy-source", "description": "first", "tags": [IS_PROMPT, {"key": "mlflow.prompt.text", "value": "Hello {{name}}" + "!" * 50_000}]}
    status, answer = await request(app, "POST", "model-versions/create", **body)
    assert (status, answer["model_version"]["version"], answer["model_version"]["source"]) == (200, "1", "dummy-source")
    await request(app, "POST", "registered-models/alias", name="greet", alias="prod", version="1")
    assert (await request(app, "GET", "registered-models/alias", name="greet", alias="prod"))[1]["model_version"]["description"] == "first"
    wanted = "tags.`mlflow.prompt.is_prompt` = 'true'"
    for more, names in (("", ["greet"]), (" AND tags.team = 'a' AND name LIKE 'g%'", ["greet"]), (" AND tags.team = 'b'", [])):
        _, found = await request(app, "GET", "registered-models/search", filter=wanted + more)
        assert [m["name"] for m in found["registered_models"]] == names
    assert (await request(app, "GET", "registered-models/search"))[1]["registered_models"] == []
    assert (await request(app, "GET", "model-versions/search"))[1]["model_versions"] == []
    assert len((await request(app, "GET", "model-versions/search", filter=f"name = 'greet' AND {wanted}"))[1]["model_versions"]) == 1
    for wrong in ({"source": "runs:/r1/model"}, {"tags": []}, {"source": "/etc/passwd"}, {"source": "runs:/r1/model", "tags": []}):
        assert (await request(app, "POST", "model-versions/create", **{**body, **wrong}))[0] == 400, wrong
    await make(app, "model")
    assert (await request(app, "POST", "model-versions/create", **{**body, "name": "model"}))[0] == 400
    for name, tag in (("model", IS_PROMPT), ("greet", {**IS_PROMPT, "value": "false"})):
        assert (await request(app, "POST", "registered-models/set-tag", name=name, **tag))[0] == 400
    assert (await request(app, "DELETE", "registered-models/delete-tag", name="greet", key=IS_PROMPT["key"]))[0] == 400
    assert (await request(app, "DELETE", "registered-models/delete", name="greet"))[0] == 200
