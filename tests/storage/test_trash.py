"""The bin: what is in it, what can be taken out again, what goes for good and in which pieces."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from lazward.contract.mlflow import MlflowError
from lazward.storage import experiments, logged_models, metrics, run_search, runs, tables, trash
from tests.storage.tracking_data import KEY, NOW, OTHER, make_run, make_workspaces, value

DAY = 86400.0


@pytest.fixture(autouse=True)
def workspaces(db):
    make_workspaces(db)


def rows(db, *names):
    """How many rows these tables have."""
    return [db.read_now(lambda tx, n=name: tx.execute(sa.select(sa.func.count()).select_from(getattr(tables, n))).scalar_one()) for name in names]


def binned(db, id_, days_ago=0.0):
    make_run(db, id_)
    db.write_now(runs.delete, KEY, id_, NOW - days_ago * DAY)


def listed(db):
    return [(i.kind, i.id) for i in db.read_now(trash.listed, KEY, 100)[0]]


def claim(db, **which):
    found = db.write_now(trash.claim, KEY, **which)
    return found.runs, found.experiments, found.models


def test_what_is_in_the_bin_longest_there_first(db):
    binned(db, "young", 1)
    binned(db, "old", 5)
    make_run(db, "alive")
    made = db.write_now(experiments.create, KEY, "e", NOW)
    make_run(db, "inside", experiment=made.id)
    db.write_now(experiments.delete, KEY, made.id, NOW - 3 * DAY)
    model = db.write_now(logged_models.create, KEY, "m-1", "0", "m", "", "", {}, {}, NOW)
    db.write_now(logged_models.delete, KEY, model.model.id, NOW)
    assert listed(db) == [("run", "old"), ("experiment", made.id), ("run", "young"), ("logged_model", "m-1")]
    first, token = db.read_now(trash.listed, KEY, 1)
    second, _ = db.read_now(trash.listed, KEY, 1, token)
    assert [i.id for i in first + second] == ["old", made.id]


def test_restored_it_is_what_it_was(db):
    binned(db, "r1")
    model = db.write_now(logged_models.create, KEY, "m-1", "0", "m", "", "", {}, {}, NOW)
    db.write_now(logged_models.delete, KEY, model.model.id, NOW)
    with pytest.raises(MlflowError, match="m-2"):
        db.write_now(trash.restore, KEY, ["r1"], [], ["m-2"], NOW)
    assert len(listed(db)) == 2, "all or none"
    db.write_now(trash.restore, KEY, ["r1"], [], ["m-1"], NOW)
    assert listed(db) == []
    assert db.read_now(runs.active, KEY, "r1").id == "r1"
    assert db.read_now(logged_models.get, KEY, "m-1").stage == "active"


def test_what_is_claimed_is_gone_for_everybody_at_once(db):
    binned(db, "r1")
    made = db.write_now(experiments.create, KEY, "name", NOW)
    make_run(db, "inside", experiment=made.id)
    db.write_now(experiments.delete, KEY, made.id, NOW)
    assert claim(db, run_ids=["r1"], experiment_ids=[made.id]) == (1, 1, 0)
    assert listed(db) == []
    for gone in (lambda: db.read_now(runs.get, KEY, "r1"), lambda: db.read_now(runs.get, KEY, "inside"), lambda: db.read_now(experiments.get, KEY, made.id),
                 lambda: db.write_now(runs.restore, KEY, "r1"), lambda: db.write_now(metrics.log, KEY, "r1", [value("m", 1.0)])):
        with pytest.raises(MlflowError, match="not found|No Experiment"):
            gone()
    assert db.write_now(experiments.create, KEY, "name", NOW).id != made.id, "the name is free"


def test_by_age_and_never_what_is_alive_or_another_workspaces(db):
    binned(db, "old", 31)
    binned(db, "young", 29)
    make_run(db, "alive")
    make_run(db, "theirs", key=OTHER.key)
    db.write_now(runs.delete, OTHER.key, "theirs", NOW - 99 * DAY)
    assert claim(db, before=NOW - 30 * DAY) == (1, 0, 0)
    assert claim(db, run_ids=["alive", "theirs"]) == (0, 0, 0)
    assert listed(db) == [("run", "young")]


def test_the_default_experiment_stays_and_its_runs_go(db):
    binned(db, "r1", 9)
    db.write_now(experiments.delete, KEY, "0", NOW - 9 * DAY)
    assert claim(db, before=NOW) == (1, 0, 0)
    assert db.read_now(experiments.get, KEY, "0").stage == "deleted"


def test_a_job_that_is_not_over_stays_with_its_experiment(db):
    id_ = db.write_now(runs.create_job_run, KEY, "job1", "train", "A job", "me", {}, NOW)
    db.write_now(experiments.delete, KEY, id_, NOW)
    assert claim(db, before=NOW + 1) == (0, 0, 0)
    db.write_now(runs.set_status, KEY, "job1", "Completed", NOW)
    assert claim(db, before=NOW + 1) == (0, 1, 0)
    found, _ = db.read_now(trash.left, KEY, 10)
    assert [(run.id, run.is_job) for run in found] == [("job1", True)]


def test_a_long_curve_goes_in_pieces(db, monkeypatch):
    monkeypatch.setattr(trash, "PIECE", 100)
    binned(db, "r1")
    db.write_now(runs.restore, KEY, "r1")
    for key in "ab":
        db.write_now(metrics.log, KEY, "r1", [value(key, float(i), step=i, at=i // 7) for i in range(500)])
    db.write_now(runs.delete, KEY, "r1", NOW)
    claim(db, run_ids=["r1"])
    (run,), _ = db.read_now(trash.left, KEY, 10)
    before, pieces = rows(db, "metric")[0], 0
    while db.write_now(trash.shrink, run.seq):
        now = rows(db, "metric")[0]
        assert 0 < before - now <= 107, "no more than a piece, but for values of one moment"
        before, pieces = now, pieces + 1
    assert before == 0 and pieces >= 10


def test_nothing_is_left_of_what_went(db):
    made = db.write_now(experiments.create, KEY, "e", NOW)
    make_run(db, "r1", experiment=made.id, tags=(("a", "b"),))
    db.write_now(metrics.log_batch, KEY, "r1", [value("m", 1.0)], [("p", "1")], [("t", "1")])
    doc = {"name": "d", "digest": "1", "source_type": "x", "source": "y", "schema": None, "profile": None}
    model = db.write_now(logged_models.create, KEY, "m-1", made.id, "m", "", "r1", {}, {}, NOW)
    db.write_now(logged_models.log_inputs, KEY, "r1", [(doc, {})], [model.model.id])
    db.write_now(experiments.delete, KEY, made.id, NOW)
    claim(db, experiment_ids=[made.id])
    db.write_now(trash.drop_experiments, KEY)
    assert rows(db, "experiment")[0] == 1, "not before what is in it"
    found, models = db.read_now(trash.left, KEY, 10)
    for run in found:
        while db.write_now(trash.shrink, run.seq):
            pass
        db.write_now(trash.drop_run, run.seq)
    for one in models:
        db.write_now(trash.drop_model, one.seq, one.id)
    db.write_now(trash.drop_experiments, KEY)
    assert rows(db, "experiment", "run", "metric", "latest_metric", "param", "run_tag", "run_link", "dataset", "logged_model") == [0] * 9


def test_folders_of_models_that_stay(db):
    make_run(db, "r1")
    first = db.write_now(logged_models.create, KEY, "m-1", "0", "clf", "", "r1", {}, {}, NOW)
    db.write_now(logged_models.create, KEY, "m-2", "0", "other", "", "r1", {}, {}, NOW)
    db.write_now(logged_models.delete, KEY, "m-2", NOW)
    claim(db, model_ids=["m-2"])
    assert db.read_now(trash.folders_in_use, KEY, "r1") == ["ExperimentRun/dcid.r1/clf"]
    assert first.model.run == "r1"


def test_search_shows_nothing_of_it(db):
    binned(db, "r1")
    claim(db, run_ids=["r1"])
    found, _ = db.read_now(run_search.search, KEY, ["0"], None, ("active", "deleted"), [], 10, None, lambda run, experiment: run)
    assert found == []
