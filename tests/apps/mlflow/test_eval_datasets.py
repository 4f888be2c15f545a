from __future__ import annotations

import json

import pytest

from tests.apps.tracking_app import PLAIN, PLUGIN

API = "/api/3.0/mlflow/datasets/"


async def ask(app, method, path, /, *, prefix=PLAIN, **body):
    async with app.client() as client:
        answer = await (client.get(prefix + API + path, params=body) if method == "GET" else client.request(method, prefix + API + path, json=body))
    return answer.status_code, answer.json()


@pytest.fixture
async def dataset(app) -> str:
    status, answer = await ask(app, "POST", "create", name="qa", experiment_ids=["0"], tags='{"team": "a", "mlflow.user": "me"}')
    assert status == 200, answer
    return answer["dataset"]["dataset_id"]


async def test_a_dataset_as_clients_read_it(app, dataset):
    for prefix in (PLAIN, PLUGIN):
        _, answer = await ask(app, "GET", dataset, prefix=prefix)
        shown = answer["dataset"]
        assert (shown["name"], json.loads(shown["tags"]), shown["experiment_ids"], shown["created_by"]) == ("qa", {"team": "a", "mlflow.user": "me"}, ["0"], "me")
        assert not {"schema", "profile"} & set(shown)
    await ask(app, "PATCH", f"{dataset}/tags", tags='{"x/y": "1"}')
    await ask(app, "DELETE", f"{dataset}/tags/x/y")
    assert (await ask(app, "GET", f"{dataset}/experiment-ids"))[1] == {"experiment_ids": ["0"]}
    _, answer = await ask(app, "POST", f"{dataset}/remove-experiments", experiment_ids=["0"])
    assert answer["dataset"]["experiment_ids"] == []
    assert (await ask(app, "POST", f"{dataset}/add-experiments", experiment_ids=["0"]))[0] == 200
    assert (await ask(app, "DELETE", dataset)) == (200, {})
    assert (await ask(app, "DELETE", dataset)) == (200, {})


async def test_records_as_clients_read_them(app, dataset):
    sent = [{"inputs": {"q": "?"}, "outputs": "!", "expectations": {"e": 1}, "tags": {"mlflow.user": "me"}, "source": {"source_type": "HUMAN", "source_data": {}}}, {"inputs": {"q": 2}}]
    assert (await ask(app, "POST", f"{dataset}/records", records=json.dumps(sent)))[1] == {"inserted_count": 2, "updated_count": 0}
    _, answer = await ask(app, "GET", f"{dataset}/records", max_results=1)
    (first,) = json.loads(answer["records"])
    assert first["dataset_id"] == dataset
    assert {k: v for k, v in first.items() if k not in ("dataset_record_id", "dataset_id", "created_time", "last_update_time")} == {
        "inputs": {"q": "?"}, "outputs": "!", "expectations": {"e": 1}, "tags": {"mlflow.user": "me"}, "source": {"source_type": "HUMAN", "source_data": {}},
        "source_type": "HUMAN", "created_by": "me", "last_updated_by": "me",
    }
    _, more = await ask(app, "GET", f"{dataset}/records", page_token=answer["next_page_token"])
    (second,) = json.loads(more["records"])
    assert (second["outputs"], second["tags"], "next_page_token" in more) == ({}, {}, False)
    assert (await ask(app, "DELETE", f"{dataset}/records", dataset_record_ids=[second["dataset_record_id"]]))[1] == {"deleted_count": 1}


async def test_search(app, dataset):
    for method in ("GET", "POST"):
        _, found = await ask(app, method, "search", experiment_ids=["0"], filter_string="tags.team = 'a'", order_by=["created_time DESC"], max_results=5)
        assert [one["dataset_id"] for one in found["datasets"]] == [dataset]
    assert (await ask(app, "POST", "search", filter_string="name = 'no'"))[1] == {"datasets": []}


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("POST", "create", {}, 400), ("POST", "create", {"name": " "}, 400), ("POST", "create", {"name": "a" * 501}, 400), ("POST", "create", {"name": "a", "tags": "x"}, 400),
    ("POST", "create", {"name": "a", "experiment_ids": ["none"]}, 404), ("GET", "d-none", {}, 404), ("PATCH", "d-none/tags", {"tags": "{}"}, 404),
    ("POST", "d-none/records", {"records": "[]"}, 404), ("POST", "d-none/records", {}, 400), ("GET", "d-none/records", {}, 404), ("DELETE", "d-none/records", {}, 404),
    ("GET", "d-none/experiment-ids", {}, 404), ("POST", "d-none/add-experiments", {}, 404), ("POST", "search", {"order_by": ["digest"]}, 400), ("POST", "search", {"max_results": 0}, 400),
    ("POST", "search", {"filter_string": "params.a = '1'"}, 400), ("GET", "d-none/records", {"page_token": "x"}, 404),
])
async def test_refusals(app, method, path, body, status):
    got, answer = await ask(app, method, path, **body)
    assert (got, answer["error_code"]) == (status, "INVALID_PARAMETER_VALUE" if status == 400 else "RESOURCE_DOES_NOT_EXIST")


async def test_s19_lists_longer_than_a_statement_takes(app, dataset):
    many = [f"e{index}" for index in range(200_000)]
    for method, path, body in (("POST", "search", {"experiment_ids": many}), ("POST", f"{dataset}/remove-experiments", {"experiment_ids": many})):
        assert (await ask(app, method, path, **body))[0] == 400
    assert (await ask(app, "DELETE", f"{dataset}/records", dataset_record_ids=many))[1] == {"deleted_count": 0}
