from __future__ import annotations

import math

import pytest

from lazward.domain.tracking.filter import RUNS, parse_filter, parse_orders
from lazward.storage import experiments, logged_models, metrics, run_search, runs
from tests.storage.tracking_data import KEY, NOW, OTHER, make_run, make_workspaces, value

RUN = {"r1": (0.1, "sgd"), "r2": (0.5, "Adam"), "r3": (math.nan, "adam"), "r4": (None, None), "r5": (math.inf, "100%_x")}


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)
    for index, (id_, (loss, optimizer)) in enumerate(RUN.items()):
        make_run(db, id_, started=NOW + index, tags=(("group", "odd" if index % 2 else "even"),))
        if loss is not None:
            db.write_now(metrics.log, KEY, id_, [value("loss", loss)])
        if optimizer:
            db.write_now(runs.log_param, KEY, id_, "optimizer", optimizer)
    db.write_now(runs.update, KEY, "r2", "FINISHED", NOW + 60, None)
    make_run(db, "gone")
    db.write_now(runs.delete, KEY, "gone", NOW)
    make_run(db, "foreign", key=OTHER.key)
    data = {"name": "iris", "digest": "d1", "source_type": "local", "source": "{}", "schema": None, "profile": None}
    db.write_now(logged_models.log_inputs, KEY, "r1", [(data, {"mlflow.data.context": "training"}), ({**data, "name": "wine"}, {})], [])


def uri(run, experiment):
    return "mlflow-artifacts:/" + run + "/artifacts"


def search(db, text=None, orders=(), limit=100, token=None, stages=("active",), ids=("0",)):
    found, token = db.read_now(run_search.search, KEY, ids, parse_filter(text, RUNS), stages, parse_orders(list(orders), RUNS), limit, token, uri)
    return [f.run.id for f in found], token


@pytest.mark.parametrize(("text", "expected"), [
    ("metrics.loss < 0.3", "r1"), ("metrics.loss > 0", "r1 r2 r5"), ("metrics.loss != 0.1", "r2 r3 r5"), ("metrics.loss >= 1e308", "r5"),
    ("metrics.loss IS NULL", "r4"), ("NOT metrics.loss < 0.3", "r2 r3 r4 r5"), ("params.optimizer = 'adam'", "r3"), ("params.optimizer ILIKE 'ADAM'", "r2 r3"),
    ("params.optimizer LIKE 'a%'", "r3"), ("params.optimizer LIKE '100%'", "r5"), ("params.optimizer NOT IN ('sgd')", "r2 r3 r5"), ("params.optimizer LIKE '_dam'", "r2 r3"),
    ("tags.group = 'odd' AND metrics.loss > 0", "r2"), ("tags.group = 'odd' OR metrics.loss = 0.1", "r1 r2 r4"), ("status = 'FINISHED'", "r2"),
    (f"end_time = {int((NOW + 60) * 1000)}", "r2"), ("NOT end_time > 0", "r1 r3 r4 r5"), ("end_time IS NULL", "r1 r3 r4 r5"), ("run_id IN ('r1','r4','gone')", "r1 r4"),
    ("run_name = 'name of r3'", "r3"), (f"start_time > {int((NOW + 2) * 1000)}", "r4 r5"), ("start_time > '2030-01-01'", ""), ("user_id = 'me'", "r1 r2 r3 r4 r5"),
    ("dataset.name = 'iris'", "r1"), ("dataset.context = 'training'", "r1"), ("dataset.name != 'iris'", "r1"), ("dataset.name IN ('x')", ""),
    ("artifact_uri LIKE '%/r4/artifacts'", "r4"), ("params.nothing = 'x'", ""), ("metrics.loss BETWEEN 0.1 AND 0.5", "r1 r2"), ("params.`x'; --` = 'y'", ""),
])
def test_filters(db, text, expected):
    assert set(search(db, text)[0]) == set(expected.split())


@pytest.mark.parametrize(("orders", "expected"), [
    ([], "r5 r4 r3 r2 r1"), (["metrics.loss"], "r1 r2 r5 r3 r4"), (["metrics.loss DESC"], "r5 r2 r1 r3 r4"), (["params.optimizer"], "r5 r2 r3 r1 r4"),
    (["params.optimizer DESC"], "r1 r3 r2 r5 r4"), (["tags.group", "start_time ASC"], "r1 r3 r5 r2 r4"), (["end_time"], "r2 r5 r4 r3 r1"), (["run_id"], "r1 r2 r3 r4 r5"),
    (["artifact_uri DESC"], "r5 r4 r3 r2 r1"), (["status", "metrics.loss DESC"], "r2 r5 r1 r3 r4"),
])
def test_orders_and_their_pages(db, orders, expected):
    assert search(db, orders=orders)[0] == expected.split()
    seen, token = [], None
    while True:
        page, token = search(db, orders=orders, limit=1, token=token)
        seen += page
        if token is None:
            break
    assert seen == expected.split()


def test_stages_and_experiments(db):
    assert search(db, stages=("deleted",))[0] == ["gone"]
    assert set(search(db, stages=("active", "deleted"))[0]) == {*RUN, "gone"}
    other = db.write_now(experiments.create, KEY, "other", NOW)
    make_run(db, "o1", experiment=other.id, started=NOW + 2.5)
    assert search(db, ids=(other.id, "0"))[0] == ["r5", "r4", "o1", "r3", "r2", "r1"]
    assert search(db, ids=("nothing",)) == ([], None)


def test_a_run_comes_with_what_it_logged(db):
    full = db.read_now(run_search.one, KEY, "r1")
    assert full.metrics == [("loss", 0.1, False, 1, 0)]
    assert full.params == [("optimizer", "sgd")]
    assert {link.doc["name"]: link.tags for link in full.links} == {"iris": {"mlflow.data.context": "training"}, "wine": {}}
    assert full.links[0].doc["digest"] == "d1"
