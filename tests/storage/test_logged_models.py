from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.filter import LOGGED_MODELS, Order, parse_filter
from lazward.domain.tracking.names import Metric
from lazward.storage import logged_models, metrics, run_search
from tests.storage.tracking_data import KEY, NOW, OTHER, make_run, make_workspaces


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)
    make_run(db, "r1")
    for index, name in enumerate(("a", "b", "c")):
        db.write_now(logged_models.create, KEY, f"m-{name}", "0", name, "cls" if index else "", "r1", {"depth": str(index)}, {"t": name}, NOW + index)
    db.write_now(metrics.log, KEY, "r1", [
        Metric("acc", 1, 0, 0.9, model="m-a", dataset="iris", digest="1"), Metric("acc", 2, 0, 0.5, model="m-a", dataset="wine", digest="2"),
        Metric("acc", 1, 0, 0.7, model="m-b", dataset="iris", digest="1"),
    ])


def search(db, text=None, datasets=(), orders=(), limit=10, token=None):
    found, token = db.read_now(logged_models.search, KEY, ["0"], parse_filter(text, LOGGED_MODELS), datasets, orders, limit, token)
    return [m.model.id for m in found], token


def test_life(db):
    full = db.write_now(logged_models.finalize, KEY, "m-a", "LOGGED_MODEL_READY", NOW + 9)
    assert (full.model.status, full.model.updated) == ("LOGGED_MODEL_READY", NOW + 9)
    db.write_now(logged_models.set_tags, KEY, "m-a", [("x", "1"), ("t", "2")], NOW)
    db.write_now(logged_models.delete_tag, KEY, "m-a", "x", NOW)
    with pytest.raises(MlflowError, match="No tag"):
        db.write_now(logged_models.delete_tag, KEY, "m-a", "x", NOW)
    db.write_now(logged_models.log_params, KEY, "m-a", [("p", "1"), ("depth", "0")], NOW)
    with pytest.raises(MlflowError, match="Changing param"):
        db.write_now(logged_models.log_params, KEY, "m-a", [("p", "2")], NOW)
    full = db.read_now(logged_models.one, KEY, "m-a")
    assert (full.model.tags, full.model.params) == ({"t": "2"}, {"depth": "0", "p": "1"})
    assert [(m.point.value, m.dataset) for m in full.metrics] == [(0.9, "iris"), (0.5, "wine")]
    db.write_now(logged_models.delete, KEY, "m-a", NOW)
    with pytest.raises(MlflowError, match="not found"):
        db.read_now(logged_models.one, KEY, "m-a")
    assert db.read_now(logged_models.one, KEY, "m-a", True).model.stage == "deleted"
    with pytest.raises(MlflowError, match="not found"):
        db.read_now(logged_models.one, OTHER.key, "m-b")


@pytest.mark.parametrize(("text", "expected"), [
    (None, "m-c m-b m-a"), ("metrics.acc > 0.8", "m-a"), ("params.depth = '1'", "m-b"), ("tags.t != 'a'", "m-c m-b"), ("name IN ('a','c')", "m-c m-a"),
    ("model_type = 'cls' AND source_run_id = 'r1'", "m-c m-b"), (f"creation_timestamp > {int(NOW * 1000)}", "m-c m-b"), ("metrics.acc IS NULL", "m-c"),
    ("tags.`a\"b` = 'x'", ""), ("experiment_id = '0' AND name LIKE 'b'", "m-b"),
])
def test_filters(db, text, expected):
    assert search(db, text)[0] == expected.split()


def test_datasets_and_order(db):
    assert search(db, datasets=[("wine", "")])[0] == ["m-a"]
    assert search(db, "metrics.acc > 0.8", datasets=[("wine", "2")])[0] == []
    best = Order("metric", "acc", False)
    assert search(db, orders=[(best, "iris", "")])[0] == ["m-a", "m-b", "m-c"]
    assert search(db, orders=[(best, "", "")])[0] == ["m-b", "m-a", "m-c"]  # the newest value counts
    _, token = search(db, orders=[(best, "", "")], limit=2)
    assert search(db, orders=[(best, "", "")], limit=2, token=token) == (["m-c"], None)
    with pytest.raises(MlflowError, match="Only metrics"):
        search(db, orders=[(Order("param", "depth", True), "", "")])


def test_links(db):
    db.write_now(logged_models.log_inputs, KEY, "r1", [], ["m-a"])
    db.write_now(logged_models.log_outputs, KEY, "r1", [("m-b", 3), ("m-b", 3)])
    links = {(link.kind, link.ref, link.step) for link in db.read_now(run_search.one, KEY, "r1").links}
    assert links == {("model_in", "m-a", 0), ("model_out", "m-b", 3)}
    with pytest.raises(MlflowError, match="not found"):
        db.write_now(logged_models.log_outputs, KEY, "r1", [("m-none", 0)])


def test_a_dataset_is_kept_once(db):
    make_run(db, "r2")
    data = {"name": "iris", "digest": "1", "source_type": "local", "source": "s", "schema": "{}", "profile": None}
    for run in ("r1", "r2", "r2"):
        db.write_now(logged_models.log_inputs, KEY, run, [(data, {"mlflow.data.context": "eval"})], [])
    assert db.read_now(logged_models.datasets_of, KEY, ["0"]) == [("0", "iris", "1", "eval")]
    refs = {link.ref for run in ("r1", "r2") for link in db.read_now(run_search.one, KEY, run).links}
    assert len(refs) == 1
