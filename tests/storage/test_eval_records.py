from __future__ import annotations

import json

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai.records import parse_records
from lazward.storage import eval_datasets, eval_records
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces


@pytest.fixture
def dataset(db) -> str:
    make_workspaces(db)
    return db.write_now(eval_datasets.create, KEY, "a", {}, [], NOW).id


def upsert(db, dataset, *given, at=NOW):
    return db.write_now(eval_records.upsert, KEY, dataset, parse_records(json.dumps(given)), at)


def every(db, dataset, limit=1000):
    found, token = [], None
    while True:
        some, token = db.read_now(eval_records.page, KEY, dataset, limit, token)
        found += some
        if not token:
            return found


def test_equal_inputs_are_one_record(db, dataset):
    assert upsert(db, dataset, {"inputs": {"q": 1, "p": 2}, "expectations": {"a": 1}}, {"inputs": {"q": 2}}) == (2, 0)
    assert upsert(db, dataset, {"inputs": {"p": 2, "q": 1}, "expectations": {"b": 2}}, {"inputs": {"q": 3}}, {"inputs": {"q": 3}, "tags": {"t": "1"}}, at=NOW + 5) == (1, 2)
    found = every(db, dataset, limit=2)
    assert [one.doc["inputs"] for one in found] == [{"q": 1, "p": 2}, {"q": 2}, {"q": 3}]
    assert (found[0].doc["expectations"], found[0].created, found[0].updated) == ({"a": 1, "b": 2}, NOW, NOW + 5)
    assert found[2].doc["tags"] == {"t": "1"}
    shown = db.read_now(eval_datasets.get, KEY, dataset)
    assert (json.loads(shown.profile), json.loads(shown.schema)["expectations"], shown.updated) == ({"num_records": 3}, {"a": "integer", "b": "integer"}, NOW + 5)


def test_thousands_at_once_and_page_by_page(db, dataset):
    rows = [{"inputs": {"q": index}} for index in range(2500)]
    assert upsert(db, dataset, *rows) == (2500, 0)
    assert upsert(db, dataset, *rows) == (0, 2500)
    assert [one.doc["inputs"]["q"] for one in every(db, dataset, limit=999)] == list(range(2500))


def test_what_no_json_column_holds_comes_back(db, dataset):
    upsert(db, dataset, {"inputs": {"b": "\0", "a": "\ud800", "n": float("nan"), "big": 10**40}})
    assert json.dumps(every(db, dataset)[0].doc["inputs"]) == '{"b": "\\u0000", "a": "\\ud800", "n": NaN, "big": 1' + "0" * 40 + "}"


def test_deletion(db, dataset):
    upsert(db, dataset, *({"inputs": {"q": index}} for index in range(3)))
    before = db.read_now(eval_datasets.get, KEY, dataset)
    ids = [one.id for one in every(db, dataset)]
    assert db.write_now(eval_records.delete, KEY, dataset, [*ids[:2], "dr-none"], NOW + 1) == 2
    after = db.read_now(eval_datasets.get, KEY, dataset)
    assert (json.loads(after.profile), after.digest == before.digest) == ({"num_records": 1}, False)
    assert db.write_now(eval_records.delete, KEY, dataset, ids[:2], NOW + 1) == 0
    db.write_now(eval_datasets.delete, KEY, dataset)
    with pytest.raises(MlflowError, match="not found"):
        every(db, dataset)


def test_s5_the_records_of_another_workspace_are_out_of_reach(db, dataset):
    upsert(db, dataset, {"inputs": {}})
    for call, args in ((eval_records.upsert, ([], NOW)), (eval_records.page, (5, None)), (eval_records.delete, ([every(db, dataset)[0].id], NOW))):
        with pytest.raises(MlflowError, match="not found"):
            db.write_now(call, OTHER.key, dataset, *args)
    assert len(every(db, dataset)) == 1


@pytest.mark.parametrize("token", ["x", "cg==", "cjE=x", "é", "cg" * 50])
def test_tokens_of_nobody(db, dataset, token):
    with pytest.raises(MlflowError, match="page token"):
        db.read_now(eval_records.page, KEY, dataset, 1, token)
