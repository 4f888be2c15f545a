from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai.grammars import EVAL_DATASET_ORDERS, EVAL_DATASETS
from lazward.domain.tracking.filter import parse_filter, parse_orders
from lazward.storage import eval_datasets, experiments, runs
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)


def make(db, name, tags=None, at=NOW, key=KEY, experiment_ids=()):
    return db.write_now(eval_datasets.create, key, name, tags or {}, experiment_ids, at)


def search(db, text=None, orders=(), limit=10, token=None, experiment_ids=(), key=KEY):
    found, token = db.read_now(eval_datasets.search, key, experiment_ids, parse_filter(text, EVAL_DATASETS), parse_orders(list(orders), EVAL_DATASET_ORDERS), limit, token)
    return [one.name for one in found], token


def test_life(db):
    made = make(db, "a", {"mlflow.user": "me"}, NOW + 0.0004)
    assert (made.created, made.created_by, made.schema, made.profile, made.id[:2]) == (NOW, "me", None, None, "d-")
    assert db.write_now(eval_datasets.set_tags, KEY, made.id, {"t": "1"}).tags == {"mlflow.user": "me", "t": "1"}
    db.write_now(eval_datasets.delete_tag, KEY, made.id, "t")
    db.write_now(eval_datasets.delete_tag, KEY, made.id, "t")
    db.write_now(eval_datasets.delete_tag, KEY, "d-none", "t")
    assert db.read_now(eval_datasets.get, KEY, made.id).tags == {"mlflow.user": "me"}
    db.write_now(eval_datasets.delete, KEY, made.id)
    db.write_now(eval_datasets.delete, KEY, made.id)
    with pytest.raises(MlflowError, match="not found"):
        db.read_now(eval_datasets.get, KEY, made.id)


def test_search_and_its_pages(db):
    for index, name in enumerate(("b", "a", "c", "D")):
        make(db, name, {"t": name}, NOW + index // 2, experiment_ids=["0"] if index else [])
    assert sorted(search(db)[0][:2]) == ["D", "c"]  # newest first
    assert search(db, "name IN ('a', 'b')", ["name"])[0] == ["a", "b"]
    assert search(db, "tags.t = 'c' OR name ILIKE 'd'", ["name ASC"])[0] == ["D", "c"]
    assert search(db, f"created_time = {round(NOW * 1000)}", ["name DESC"])[0] == ["b", "a"]
    assert search(db, "created_by IS NULL", ["name"])[0] == ["D", "a", "b", "c"]
    assert sorted(search(db, experiment_ids=["0", "x"])[0]) == ["D", "a", "c"]
    seen, token = [], None
    while True:
        found, token = search(db, orders=["created_time"], limit=1, token=token)
        seen += found
        if not token:
            break
    assert sorted(seen[:2]) == ["a", "b"] and sorted(seen[2:]) == ["D", "c"]


def test_experiments(db):
    other = db.write_now(experiments.create, KEY, "e", NOW)
    made = make(db, "a", experiment_ids=[other.id, other.id, "0"])
    assert sorted(made.experiments) == sorted(["0", other.id])
    assert db.write_now(eval_datasets.remove_experiments, KEY, made.id, [other.id, "x"], NOW + 5).experiments == ["0"]
    found = db.write_now(eval_datasets.add_experiments, KEY, made.id, [other.id, "0"], NOW + 6)
    assert (sorted(found.experiments), found.updated) == (sorted(["0", other.id]), NOW + 6)
    with pytest.raises(MlflowError, match="No Experiment"):
        db.write_now(eval_datasets.add_experiments, KEY, made.id, ["none"], NOW)


def test_s5_what_another_workspace_has_is_as_good_as_none(db):
    theirs = make(db, "t", key=OTHER.key)
    experiment = db.write_now(experiments.create, OTHER.key, "e", NOW)
    assert search(db) == ([], None)
    for call in (eval_datasets.get, eval_datasets.set_tags):
        with pytest.raises(MlflowError, match="not found"):
            db.write_now(call, KEY, theirs.id, *([{}] if call is eval_datasets.set_tags else []))
    db.write_now(eval_datasets.delete, KEY, theirs.id)
    assert search(db, key=OTHER.key)[0] == ["t"]
    with pytest.raises(MlflowError, match="No Experiment"):
        make(db, "m", experiment_ids=[experiment.id])


def test_they_end_with_their_workspace(db):
    make(db, "a", experiment_ids=["0"])
    theirs = make(db, "t", key=OTHER.key)
    db.write_now(runs.delete_workspace, KEY)
    assert search(db)[0] == []
    assert db.read_now(eval_datasets.get, OTHER.key, theirs.id).name == "t"
